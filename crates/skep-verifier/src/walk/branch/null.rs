//! Null checks: on one side the pointer and all its copies are valid, on the other they are zero.

use skep_abi::MapType;
use skep_isa::{CompareOp, Operand, Width};

use super::Comparison;
use crate::{
    Program,
    state::{FieldKind, Id, Kind, PointerFlags, Register, State},
};

/// The furthest that a pointer is from what it points to (`BPF_MAX_VAR_OFF`).
const FAR: i64 = 1 << 29;

/// Whether a pointer is certainly not null.
pub(super) fn is_never(register: &Register) -> bool {
    // A base that is not null can be moved to null.
    if register.may_be_null() || register.value.smin <= -FAR || register.value.smax >= FAR {
        return false;
    }
    match register.kind {
        Kind::Socket
        | Kind::SockCommon
        | Kind::TcpSock
        | Kind::XdpSock
        | Kind::MapValue { .. }
        | Kind::MapKey { .. }
        | Kind::ConstMap { .. }
        | Kind::Mem { .. }
        | Kind::Buffer => true,
        Kind::Btf(_) => is_trusted(register),
        _ => false,
    }
}

fn is_trusted(register: &Register) -> bool {
    let trusted = PointerFlags::TRUSTED | PointerFlags::ALLOCATED | PointerFlags::NON_OWNING;
    register.reference.is_some()
        || (register.flags.intersects(trusted) && trusted.contains(register.flags))
}

/// Teaches one side; `false` if the comparison is not one of a pointer with null or another
/// pointer, or says nothing about it.
pub(super) fn learn(
    state: &mut State,
    comparison: &Comparison,
    holds: bool,
    program: &Program<'_>,
) -> bool {
    let left = state.register(comparison.dst);
    if comparison.is_null_check() && left.may_be_null() {
        let null = holds == (comparison.op == CompareOp::Eq);
        let (id, reference) = (left.id, left.reference);
        if !id.is_some() {
            settle(state.register_mut(comparison.dst), null, program);
            return true;
        }
        if null && reference == id {
            // There was nothing to be held.
            state.held.retain(|held| held.id != id);
        }
        state.change_registers(
            |register| register.id == id && register.may_be_null(),
            |register| settle(register, null, program),
        );
        return true;
    }
    equal(state, comparison, holds, program);
    false
}

/// What is equal to something that is not null is not null.
fn equal(state: &mut State, comparison: &Comparison, holds: bool, program: &Program<'_>) {
    let Operand::Reg(src) = comparison.src else {
        return;
    };
    let equal = match comparison.op {
        CompareOp::Eq => holds,
        CompareOp::Ne => !holds,
        _ => false,
    };
    if !equal || comparison.width == Width::W32 {
        return;
    }
    let (left, right) = (state.register(comparison.dst), state.register(src));
    // Pointers to kernel structures can be null without a sign of it.
    let taught = |one: &Register| one.is_pointer() && !matches!(one.kind, Kind::Btf(_));
    if !taught(left) || !taught(right) {
        return;
    }
    let (left_is, right_is) = (is_never(left), is_never(right));
    if left_is && right.may_be_null() {
        not_null(state.register_mut(src), program);
    } else if right_is && left.may_be_null() {
        not_null(state.register_mut(comparison.dst), program);
    }
}

/// Makes a nullable pointer a pointer or zero.
fn settle(register: &mut Register, null: bool, program: &Program<'_>) {
    if null {
        *register = Register::constant(0);
        return;
    }
    not_null(register, program);
    // The id has done its duty, but for values with a lock: it tells which is locked.
    let keeps = match register.kind {
        Kind::MapValue { map, inner, .. } => program.map(map, inner).is_none_or(|map| {
            let lock = |kind: &FieldKind| {
                matches!(kind, FieldKind::SpinLock | FieldKind::ResilientSpinLock)
            };
            map.fields.find(lock).is_some()
        }),
        Kind::Btf(_) => register.flags.contains(PointerFlags::ALLOCATED),
        _ => false,
    };
    if !keeps {
        register.id = Id::NONE;
    }
}

/// Takes "maybe" off a pointer. What a lookup in a map of maps or sockets gave is no value.
fn not_null(register: &mut Register, program: &Program<'_>) {
    register.flags.remove(PointerFlags::MAYBE_NULL);
    let Kind::MapValue { map, inner, .. } = register.kind else {
        return;
    };
    let Some(definition) = program.map(map, inner) else {
        return;
    };
    match definition.map_type {
        MapType::Xskmap => register.kind = Kind::XdpSock,
        MapType::Sockmap | MapType::Sockhash => register.kind = Kind::Socket,
        _ if definition.inner.is_some() => {
            let uid = register.id.0;
            register.kind = Kind::ConstMap {
                map,
                inner: true,
                uid,
            };
        }
        _ => {}
    }
}
