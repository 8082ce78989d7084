//! What can be wrong with assembly text, with the line and column of the word at fault.

/// Why a text does not assemble, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {kind}")]
#[non_exhaustive]
pub struct AssembleError {
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
    /// What is wrong there.
    pub kind: AssembleErrorKind,
}

/// What is wrong with assembly text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AssembleErrorKind {
    /// Something else should stand here.
    #[error("expected {expected}, found {found}")]
    Expected {
        /// What should.
        expected: String,
        /// What does: a quoted word, or `the end of the line`.
        found: String,
    },
    /// A character that begins nothing.
    #[error("unexpected character {0:?}")]
    Character(char),
    /// A number of no known form, or above 64 bits.
    #[error("`{0}` is no number of at most 64 bits: write 12, -12 or 0x1f")]
    Number(String),
    /// A number that does not fit where it stands.
    #[error("{value} is out of range for {what}: {min} to {max}")]
    OutOfRange {
        /// What the number is for.
        what: &'static str,
        /// The number.
        value: i128,
        /// The least it may be.
        min: i64,
        /// The most it may be.
        max: i64,
    },
    /// A jump or call to a label that stands nowhere.
    #[error("there is no label `{0}`")]
    UnknownLabel(String),
    /// A label that stands twice.
    #[error("the label `{name}` stands already in line {first_line}")]
    DuplicateLabel {
        /// The label.
        name: String,
        /// The line of the first one.
        first_line: usize,
    },
    /// A label too far away for the instruction's 16-bit offset.
    #[error("the label `{name}` is {distance} slots away, more than 16 bits: use gotol")]
    TooFar {
        /// The label.
        name: String,
        /// The offset that it would take.
        distance: i64,
    },
    /// More instructions than an index can count.
    #[error("the program has more than 2^31 slots")]
    TooLong,
}
