//! What programs print: the trace pipe.

/// See above.
#[derive(Debug, Default)]
pub(crate) struct Trace {}
