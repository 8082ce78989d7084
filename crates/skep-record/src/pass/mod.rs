//! The two passes on a linked program: one that has it write down what it sees, one that has it
//! see what was written down.

mod emit;
pub(crate) mod record;
pub(crate) mod replay;

pub(crate) use emit::Code;
