//! Who the program runs for: the current task, what it is attached to, and why.

/// See above.
#[derive(Debug, Default)]
pub(crate) struct Current {}
