//! The network of a machine: devices, routes.

/// See above.
#[derive(Debug, Default)]
pub(crate) struct Net {}
