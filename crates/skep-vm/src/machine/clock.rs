//! The clocks of a machine: real ones, or one that a test moves.

/// See above.
#[derive(Debug, Default)]
pub(crate) struct Clock {}
