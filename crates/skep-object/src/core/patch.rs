//! Puts the numbers of CO-RE relocations into instructions.

use skep_btf::{Btf, Kind};
use skep_isa::{RawInsn, opcode};

use super::{
    Fault,
    value::{FieldSize, Value},
};
use crate::references::{CALL, LD_IMM64};

/// The helper that a poisoned instruction calls: no kernel has it.
const POISON: i32 = 0x0bad_2310;

/// What a patch came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Patched {
    Done,
    /// The access can't be made by this instruction.
    Poisoned(String),
}

/// Makes an instruction (both slots of a `ld_imm64`) one that no verifier accepts.
pub(super) fn poison(slots: &mut [RawInsn]) {
    let wide = slots.first().is_some_and(|first| first.opcode == LD_IMM64);
    for slot in slots.iter_mut().take(if wide { 2 } else { 1 }) {
        *slot = RawInsn {
            opcode: CALL,
            dst: 0,
            src: 0,
            offset: 0,
            imm: POISON,
        };
    }
}

/// What a load or store must become to have the size of the field in the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resize {
    /// The sizes are the same.
    No,
    /// Pointers and unsigned integers keep their value when they are widened.
    To { from: u64, to: u64 },
    /// Anything else would be read wrongly.
    Wrong { from: u64, to: u64 },
}

pub(super) fn resize(
    local: &Btf,
    old: Option<FieldSize>,
    target: &Btf,
    new: Option<FieldSize>,
) -> Result<Resize, Fault> {
    let bytes = |size: Option<FieldSize>| size.map_or(0, |size| size.bytes);
    let (from, to) = (bytes(old), bytes(new));
    if from == to {
        return Ok(Resize::No);
    }
    let (Some(old), Some(new)) = (old, new) else {
        return Ok(Resize::Wrong { from, to });
    };
    let (old, new) = (
        local.type_by_id(old.type_id)?.kind(),
        target.type_by_id(new.type_id)?.kind(),
    );
    Ok(match (old, new) {
        (Kind::Pointer { .. }, Kind::Pointer { .. }) => Resize::To { from, to },
        (Kind::Int(old), Kind::Int(new))
            if !old.encoding.is_signed() && !new.encoding.is_signed() =>
        {
            Resize::To { from, to }
        }
        _ => Resize::Wrong { from, to },
    })
}

/// Replaces the compiler's number `old` by the target's `new`.
pub(super) fn patch(
    slots: &mut [RawInsn],
    old: Value,
    new: u64,
    resize: Resize,
) -> Result<Patched, Fault> {
    let Some((first, rest)) = slots.split_first_mut() else {
        return Err(Fault::new("no instruction is there"));
    };
    let class = first.opcode & 0x07;
    match class {
        opcode::BPF_ALU | opcode::BPF_ALU64 if first.opcode & opcode::BPF_X == opcode::BPF_K => {
            expect(old, widened(first.imm))?;
            first.imm = low_half(new);
            Ok(Patched::Done)
        }
        opcode::BPF_LDX | opcode::BPF_ST | opcode::BPF_STX => {
            expect(old, i64::from(first.offset).cast_unsigned())?;
            let offset = i16::try_from(new).map_err(|_| {
                Fault::new(format!("offset {new} is too large for a load or store"))
            })?;
            match resize {
                Resize::No => {}
                Resize::Wrong { from, to } => {
                    return Ok(Patched::Poisoned(format!(
                        "the field has {to} bytes in the target and {from} here, and only \
                         pointers and unsigned integers can be read so: use BPF_CORE_READ or \
                         bpf_core_read()"
                    )));
                }
                Resize::To { from, to } => {
                    let accessed = access_bytes(first.opcode);
                    if accessed != from {
                        return Err(Fault::new(format!(
                            "a load or store of {accessed} bytes, expected {from} as the field has"
                        )));
                    }
                    let size = size_bits(to)
                        .ok_or_else(|| Fault::new(format!("no load or store takes {to} bytes")))?;
                    first.opcode = (first.opcode & !opcode::BPF_DW) | size;
                }
            }
            first.offset = offset;
            Ok(Patched::Done)
        }
        _ if first.opcode == LD_IMM64 => {
            let second = rest
                .first_mut()
                .ok_or_else(|| Fault::new("half a ld_imm64"))?;
            let plain = first.src == 0
                && first.offset == 0
                && *second
                    == RawInsn {
                        imm: second.imm,
                        ..RawInsn::default()
                    };
            if !plain {
                return Err(Fault::new("a ld_imm64 that loads no plain number"));
            }
            let low = u64::from(first.imm.cast_unsigned());
            expect(old, low | u64::from(second.imm.cast_unsigned()) << 32)?;
            first.imm = low_half(new);
            second.imm = low_half(new >> 32);
            Ok(Patched::Done)
        }
        _ => Err(Fault::new(format!(
            "an instruction of opcode {:#04x} has no number to relocate",
            first.opcode
        ))),
    }
}

/// The number in the instruction must be the one that the object's own types give.
fn expect(old: Value, found: u64) -> Result<(), Fault> {
    // 32-bit enumerators are sign-extended by some compilers and not by others.
    let same = old.number == found || old.number == u64::from(low_half(found).cast_unsigned());
    let same = same || low_half(old.number) == low_half(found) && found >> 32 == 0;
    if !old.exact || same {
        return Ok(());
    }
    let found = found.cast_signed();
    Err(Fault::new(format!(
        "the instruction has {found}, expected {}",
        old.number
    )))
}

fn widened(imm: i32) -> u64 {
    i64::from(imm).cast_unsigned()
}

fn low_half(number: u64) -> i32 {
    let [b0, b1, b2, b3, ..] = number.to_le_bytes();
    i32::from_le_bytes([b0, b1, b2, b3])
}

fn access_bytes(opcode: u8) -> u64 {
    match opcode & opcode::BPF_DW {
        opcode::BPF_B => 1,
        opcode::BPF_H => 2,
        opcode::BPF_W => 4,
        _ => 8,
    }
}

fn size_bits(bytes: u64) -> Option<u8> {
    match bytes {
        1 => Some(opcode::BPF_B),
        2 => Some(opcode::BPF_H),
        4 => Some(opcode::BPF_W),
        8 => Some(opcode::BPF_DW),
        _ => None,
    }
}
