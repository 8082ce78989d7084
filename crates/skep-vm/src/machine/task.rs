//! The tasks of a machine: who programs run for, and what they can see of them.

/// See above.
#[derive(Debug, Default)]
pub(crate) struct Tasks {}
