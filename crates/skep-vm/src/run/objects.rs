//! Objects that a run has made or borrowed.

/// See above.
#[derive(Debug, Default)]
pub(crate) struct Objects {}
