//! Safe programs without one of their checks: the verifier must not take them.

use skep_isa::{RawInsn, opcode::*};

use crate::vm::Body;

/// What is left out of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// The test of what a lookup gave against null.
    NullCheck,
    /// The mask that keeps an index inside what it is an index of.
    Bound,
    /// The comparison of a packet pointer with the packet's end.
    PacketBound,
    /// What gives a reference back.
    Release,
    /// What initialises a value on the stack.
    Initialisation,
}

/// Safe programs, each with what can be left out: the slot, which becomes a jump to the next.
pub const PROGRAMS: &[(&str, Dropped, &str)] = &[];

/// The body without a slot.
pub fn without(body: &Body, slot: usize) -> Body {
    let mut body = body.clone();
    body.slots[slot] = RawInsn {
        opcode: BPF_JMP | BPF_JA,
        ..RawInsn::default()
    };
    body
}
