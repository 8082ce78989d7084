//! The things of a machine: by descriptor, by id, by pin.

/// See above.
#[derive(Debug, Default)]
pub(crate) struct Registry {}
