//! What a test found otherwise than it expects.

use std::fmt;

use crate::source::Place;

/// One thing that a test expected and got otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mismatch {
    /// What: `return`, `maps.hits[10.0.0.7]`, `events.events[0].pid`, `packet.ip.ttl`.
    pub path: String,
    /// What was expected, as tests write it.
    pub expected: String,
    /// What there was.
    pub got: String,
    /// Where it is expected; `None` if Rust code does.
    pub place: Option<Place>,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            expected,
            got,
            ..
        } = self;
        write!(f, "{path}: expected {expected}, got {got}")
    }
}
