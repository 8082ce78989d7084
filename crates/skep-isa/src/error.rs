//! What can be wrong with bytecode, each error with the instruction and the field at fault.

use std::fmt;

use crate::raw::InsnIndex;

/// A field of an instruction's 8-byte slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// The opcode byte.
    Opcode,
    /// The destination register.
    Dst,
    /// The source register.
    Src,
    /// The 16-bit offset.
    Offset,
    /// The 32-bit immediate.
    Imm,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Opcode => "opcode",
            Self::Dst => "destination register",
            Self::Src => "source register",
            Self::Offset => "offset",
            Self::Imm => "immediate",
        })
    }
}

/// Why bytes are no eBPF instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes end inside a slot.
    #[error("{len} bytes after the last whole instruction, at byte {offset}: a slot takes 8")]
    PartialSlot {
        /// Where the partial slot begins, in bytes.
        offset: usize,
        /// How many bytes of it there are (1 to 7).
        len: usize,
    },
    /// There is no instruction at this position.
    #[error("instruction {index} is beyond the end of the program")]
    EndOfProgram {
        /// The position asked for.
        index: InsnIndex,
    },
    /// No instruction has this opcode.
    #[error("instruction {index}: unknown opcode {opcode:#04x}")]
    UnknownOpcode {
        /// The instruction.
        index: InsnIndex,
        /// Its opcode.
        opcode: u8,
    },
    /// A field that this instruction does not use is not zero.
    #[error("instruction {index} (opcode {opcode:#04x}): reserved {field} is {value}, not 0")]
    ReservedField {
        /// The instruction.
        index: InsnIndex,
        /// Its opcode.
        opcode: u8,
        /// The field at fault.
        field: Field,
        /// What it holds.
        value: i32,
    },
    /// A field that selects a variant of the instruction holds none of its variants.
    #[error(
        "instruction {index} (opcode {opcode:#04x}): {field} is {value:#x}, expected {expected}"
    )]
    InvalidField {
        /// The instruction.
        index: InsnIndex,
        /// Its opcode.
        opcode: u8,
        /// The field at fault.
        field: Field,
        /// What it holds.
        value: i32,
        /// What it may hold.
        expected: &'static str,
    },
    /// There is no such register, or this instruction can't use it.
    #[error(
        "instruction {index} (opcode {opcode:#04x}): {field} r{register} is out of range: r0 to \
         r10, or r11 for a stack argument"
    )]
    Register {
        /// The instruction.
        index: InsnIndex,
        /// Its opcode.
        opcode: u8,
        /// Which of the two registers.
        field: Field,
        /// Its number (11 to 15, or more in a [`RawInsn`](crate::RawInsn) made by hand).
        register: u8,
    },
    /// A `ld_imm64` (opcode 0x18) is the last slot: its second half is missing.
    #[error("instruction {index} (opcode 0x18): the program ends before its second half")]
    SecondHalfMissing {
        /// The first half.
        index: InsnIndex,
    },
    /// The second half of a `ld_imm64` (opcode 0x18) has more than an immediate.
    #[error("instruction {index} (opcode 0x18): {field} of its second half is {value}, not 0")]
    SecondHalfMalformed {
        /// The first half.
        index: InsnIndex,
        /// The field of the second half at fault.
        field: Field,
        /// What it holds.
        value: i32,
    },
}

impl DecodeError {
    /// The instruction at fault; `None` for [`DecodeError::PartialSlot`].
    pub fn index(&self) -> Option<InsnIndex> {
        match *self {
            Self::PartialSlot { .. } => None,
            Self::EndOfProgram { index }
            | Self::UnknownOpcode { index, .. }
            | Self::ReservedField { index, .. }
            | Self::InvalidField { index, .. }
            | Self::Register { index, .. }
            | Self::SecondHalfMissing { index }
            | Self::SecondHalfMalformed { index, .. } => Some(index),
        }
    }
}
