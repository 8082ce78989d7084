//! eBPF instructions as data: decode, encode, disassemble, assemble. Everything of RFC 9669 and
//! what kernels added since; pure functions over bytes, the same answer on every machine.
//!
//! | from | to | with |
//! |---|---|---|
//! | bytes | [`RawInsn`] slots | [`decode_slots`], [`RawInsn::from_bytes`] |
//! | slots | typed [`Insn`] | [`decode_program`], [`Insn::decode_at`] |
//! | [`Insn`] | slots, bytes | [`Insn::encode`], [`encode_slots`] |
//! | [`Insn`] | text | its `Display`; with names and as a listing, [`Disassembler`] |
//! | text | slots | [`assemble`] |
//!
//! A slot is 8 bytes; an instruction takes one slot, `ld_imm64` two. Positions are always counted
//! in slots ([`InsnIndex`]), as the kernel, BTF's line info and jump offsets count them.
//!
//! ```
//! use skep_isa::{AluOp, Endian, Insn, Operand, Reg, Width, assemble, decode_program};
//!
//! let slots = assemble("
//!     r0 = 0
//! again:
//!     r0 += 2             ; counts to ten
//!     if r0 != 10 goto again
//!     exit
//! ")?;
//! assert_eq!(slots[1].to_bytes(Endian::Little), [0x07, 0, 0, 0, 2, 0, 0, 0]);
//!
//! let program = decode_program(&slots).collect::<Result<Vec<_>, _>>()?;
//! let (at, add) = program[1];
//! assert_eq!(
//!     add,
//!     Insn::Alu { width: Width::W64, op: AluOp::Add, dst: Reg::R0, src: Operand::Imm(2) }
//! );
//! let (jump_at, jump) = program[2];
//! assert_eq!(jump.to_string(), "if r0 != 0xa goto pc-2");
//! assert_eq!(jump.target(jump_at), Some(at));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is accepted
//! The rules are those of Linux 7.3: a field that an instruction does not use must be zero.
//! Where they differ from the kernel's, it is on purpose:
//! - `callx` decodes, since compilers emit it; the kernel refuses it.
//! - Two fields that the kernel ignores must be zero here, so that no bit is lost between
//!   decoding and encoding: the offset of `exit`, and the upper half of a subprogram's address
//!   ([`Imm64::Subprogram`]).
//!
//! Decoding says nothing about whether a program is safe: a shift by 99 or a jump out of the
//! program decodes, and is for a verifier to refuse.

#![warn(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::arithmetic_side_effects
)]
#![cfg_attr(
    test,
    allow(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::arithmetic_side_effects
    )
)]
#![forbid(unsafe_code)]

mod asm;
mod classify;
mod decode;
mod disasm;
mod encode;
mod error;
mod insn;
pub mod opcode;
mod operand;
mod raw;
mod reg;
mod slot;
mod syntax;
#[cfg(test)]
mod tests;
mod uses;

pub use asm::{AssembleError, AssembleErrorKind, assemble};
pub use decode::{DecodeProgram, decode_program};
pub use disasm::{Disassembler, NoSymbols, Symbols};
pub use encode::Encoded;
pub use error::{DecodeError, Field};
pub use insn::{CallTarget, Imm64, Insn};
pub use operand::{
    AluOp, ArenaCast, AtomicOp, ByteOrder, CompareOp, NarrowSize, Operand, SignExtension, Size,
    SwapWidth, Width,
};
pub use raw::{Endian, InsnIndex, RawInsn, decode_slots, encode_slots};
pub use reg::{Reg, StackArg};
pub use uses::Uses;
