//! Comparisons of packet pointers with the end of their packet (and of pointers to metadata with
//! the packet's start): how far they may read.

use skep_isa::{CompareOp, Operand, Width};

use super::Comparison;
use crate::state::{Id, Kind, PointerFlags, Register, State};

/// The most bytes that a packet has (`MAX_PACKET_OFF`).
const MOST: u64 = 0xffff;

/// A comparison read as `pointer op end`.
fn normalised(op: CompareOp, reversed: bool) -> CompareOp {
    if !reversed {
        return op;
    }
    match op {
        CompareOp::Gt => CompareOp::Lt,
        CompareOp::Lt => CompareOp::Gt,
        CompareOp::Ge => CompareOp::Le,
        CompareOp::Le => CompareOp::Ge,
        other => other,
    }
}

/// Whether the comparison holds, if an earlier one with the end has told.
pub(super) fn outcome(op: CompareOp, left: &Register, right: &Register) -> Option<bool> {
    let (pointer, reversed) = match (left.kind, right.kind) {
        (_, Kind::PacketEnd) => (left, false),
        (Kind::PacketEnd, _) => (right, true),
        _ => return None,
    };
    let beyond = pointer.flags.contains(PointerFlags::BEYOND_END);
    let at = pointer.flags.contains(PointerFlags::AT_END);
    match normalised(op, reversed) {
        CompareOp::Gt if beyond => Some(true),
        CompareOp::Le if beyond => Some(false),
        CompareOp::Ge if beyond || at => Some(true),
        CompareOp::Lt if beyond || at => Some(false),
        _ => None,
    }
}

/// Teaches one side; `false` if these are no pointers that can be compared for this.
pub(super) fn learn(state: &mut State, comparison: &Comparison, holds: bool) -> bool {
    let Operand::Reg(src) = comparison.src else {
        return false;
    };
    if comparison.width == Width::W32 {
        return false;
    }
    let (left, right) = (state.register(comparison.dst), state.register(src));
    let (reg, reversed) = if is_pair(left, right) {
        (comparison.dst, false)
    } else if is_pair(right, left) {
        (src, true)
    } else {
        return false;
    };
    match (normalised(comparison.op, reversed), holds) {
        (CompareOp::Gt, true) | (CompareOp::Le, false) => {
            mark_end(state.register_mut(reg), PointerFlags::BEYOND_END);
        }
        (CompareOp::Ge, true) | (CompareOp::Lt, false) => {
            mark_end(state.register_mut(reg), PointerFlags::AT_END);
        }
        (CompareOp::Gt, false) | (CompareOp::Le, true) => {
            let pointer = state.register(reg).clone();
            extend(state, &pointer, false);
        }
        (CompareOp::Ge, false) | (CompareOp::Lt, true) => {
            let pointer = state.register(reg).clone();
            extend(state, &pointer, true);
        }
        _ => return false,
    }
    true
}

/// Whether the second is the end of what the first points into.
fn is_pair(pointer: &Register, end: &Register) -> bool {
    match (pointer.kind, end.kind) {
        (Kind::Packet, Kind::PacketEnd) => true,
        // Metadata ends where the packet starts.
        (Kind::PacketMeta, Kind::Packet) => {
            end.id == Id::NONE && end.offset == 0 && end.value.as_constant() == Some(0)
        }
        _ => false,
    }
}

fn mark_end(pointer: &mut Register, flag: PointerFlags) {
    if pointer.kind == Kind::Packet {
        pointer.range = 0;
        pointer
            .flags
            .remove(PointerFlags::BEYOND_END | PointerFlags::AT_END);
        pointer.flags |= flag;
    }
}

/// All bytes below the pointer are in the packet, and the one it points to if `below` the end.
fn extend(state: &mut State, pointer: &Register, below: bool) {
    let Ok(offset) = u64::try_from(pointer.offset) else {
        return;
    };
    let total = pointer.value.umax.saturating_add(offset);
    if pointer.value.umax > MOST || total > MOST {
        // It may have wrapped around.
        return;
    }
    let range = u16::try_from(offset + u64::from(below)).unwrap_or(u16::MAX);
    if range == 0 {
        return;
    }
    let (kind, id) = (pointer.kind, pointer.id);
    state.change_registers(
        |register| register.kind == kind && register.id == id,
        |register| {
            register
                .flags
                .remove(PointerFlags::BEYOND_END | PointerFlags::AT_END);
            register.range = register.range.max(range);
        },
    );
}
