//! What a program holds and must give back: locks, references, records, sections.

/// See above.
#[derive(Debug, Default)]
pub(crate) struct Held {}
