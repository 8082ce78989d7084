//! Timers and work queues of a machine, and the thread that runs their callbacks.

/// See above.
#[derive(Debug, Default)]
pub(crate) struct Timers {}
