//! The hooks of a machine: places where it, or its embedder, fires programs.

/// See above.
#[derive(Debug, Default)]
pub(crate) struct Hooks {}
