//! The packet that a program works on, and what it asked to be done with it.

/// See above.
#[derive(Debug, Default)]
pub(crate) struct Packet {}
