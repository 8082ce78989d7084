//! What a host has that no kernel has: helpers and hooks of the program that it is built into.

/// What a host adds to what kernels have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Extensions {
    /// Helpers of its own.
    pub helpers: Vec<CustomHelper>,
    /// Whether it has hooks of its own, to which programs of type `tracepoint` attach: their
    /// contexts begin with the first byte, and may be written.
    pub hooks: bool,
}

/// A helper that no kernel has. It returns a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomHelper {
    /// Its number.
    pub id: u32,
    /// Its name, for messages.
    pub name: String,
    /// What it takes, in R1 and on.
    pub parameters: Vec<CustomParameter>,
}

/// What a helper that no kernel has takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CustomParameter {
    /// A number.
    Number,
    /// A pointer to so many bytes, which it reads.
    Value(u32),
    /// A pointer to so many bytes, which it writes.
    ValueMut(u32),
    /// A pointer to bytes that it reads, and their number in the next register.
    Bytes,
    /// A pointer to bytes that it writes, and their number in the next register.
    BytesMut,
}
