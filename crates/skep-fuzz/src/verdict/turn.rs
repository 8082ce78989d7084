//! Accepted programs without one of their checks: where a path needs the check, the verifier must
//! not take what is left.

use skep_isa::{InsnIndex, RawInsn, opcode::*};
use skep_verifier::{Observed, Options, observe};

use super::{
    contain::{MACHINE, Machine},
    subject::with,
};
use crate::vm::{Body, Choices, generate};

/// What is left out of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dropped {
    /// The test of a pointer against null.
    NullCheck,
    /// The mask that keeps an index inside what it is an index of.
    Mask,
    /// The comparison of a packet pointer with the packet's end.
    PacketBound,
    /// What gives a reference back.
    Release,
}

const CALL: u8 = BPF_JMP | BPF_CALL;
/// Helpers that give a pointer that may be null: lookups, and a ring's records.
const NULLABLE: [i32; 3] = [1, 195, 131];
/// Those that give a record back.
const RELEASES: [i32; 2] = [132, 133];

/// Input: choices of a program. Answers what was left out of it, once for each way to do so; each
/// time it was refused.
///
/// # Panics
/// It was accepted without.
pub fn turned(input: &[u8]) -> Vec<Dropped> {
    let mut choices = Choices::new(input);
    let Machine {
        target, features, ..
    } = &*MACHINE;
    let case = generate(&mut choices, features);
    let options = Options::default();
    let mut turned = Vec::new();
    for body in std::iter::once(&case.main).chain(&case.tails) {
        let judge = |body: &Body| {
            with(body, case.program_type, target, |program| {
                observe(program, target, &options)
            })
        };
        let Ok((verdict, observed)) = judge(body) else {
            continue;
        };
        if !verdict.is_accepted() {
            continue;
        }
        for (slot, dropped) in droppable(body, &observed) {
            let mut left = body.clone();
            left.slots[slot] = RawInsn {
                opcode: BPF_JMP | BPF_JA,
                ..RawInsn::default()
            };
            let (verdict, _) = judge(&left).expect("as before");
            assert!(
                verdict.rejection.is_some(),
                "accepted without instruction {slot} ({dropped:?})\n{case}"
            );
            turned.push(dropped);
        }
    }
    turned
}

/// The checks that some path needs, as [`generate`] writes them.
fn droppable(body: &Body, observed: &Observed) -> Vec<(usize, Dropped)> {
    let reached = |slot: usize| observed.reaches(InsnIndex(slot as u32));
    let slots = &body.slots;
    let mut found = Vec::new();
    for (at, slot) in slots.iter().enumerate().filter(|(at, _)| reached(*at)) {
        let before = at.checked_sub(1).map(|before| slots[before]);
        let called = before.is_some_and(|call| is_helper(&call, &NULLABLE));
        let null_check = slot.opcode == BPF_JMP | BPF_JEQ | BPF_K && slot.dst == 0 && slot.imm == 0;
        let packet_bound =
            slot.opcode == BPF_JMP | BPF_JGT | BPF_X && (slot.dst, slot.src) == (3, 2);
        // A lookup in an array by a key that is known to be in it never fails.
        let nullable = observed.may_be_null(InsnIndex(at as u32), 0);
        if null_check && called && nullable && is_used(slots, at, &[0, 1]) {
            found.push((at, Dropped::NullCheck));
        } else if packet_bound && is_used(slots, at, &[1]) && reached(at + 1) {
            found.push((at, Dropped::PacketBound));
        } else if is_helper(slot, &RELEASES) {
            found.push((at, Dropped::Release));
        } else if slot.opcode == BPF_ALU64 | BPF_AND | BPF_K
            && slot.dst == 2
            && is_index(slots, at)
            && observed.is_unknown(InsnIndex(at as u32), 2)
        {
            found.push((at, Dropped::Mask));
        }
    }
    found
}

fn is_helper(slot: &RawInsn, helpers: &[i32]) -> bool {
    slot.opcode == CALL && slot.src == 0 && helpers.contains(&slot.imm)
}

/// Whether memory is accessed through one of the registers right behind a check.
fn is_used(slots: &[RawInsn], at: usize, registers: &[u8]) -> bool {
    let guarded = usize::try_from(slots[at].offset).unwrap_or(0);
    for slot in slots.iter().skip(at + 1).take(guarded) {
        match slot.opcode & 7 {
            BPF_LDX => {
                if registers.contains(&slot.src) {
                    return true;
                }
                if registers.contains(&slot.dst) {
                    return false;
                }
            }
            BPF_ST | BPF_STX => {
                if registers.contains(&slot.dst) {
                    return true;
                }
            }
            // The pointer is copied first, if it is.
            BPF_ALU64 if slot.opcode == BPF_ALU64 | BPF_MOV | BPF_X && slot.src == 0 => {}
            _ => return false,
        }
    }
    false
}

/// Whether what is masked is then added to a pointer, and read or written through.
fn is_index(slots: &[RawInsn], at: usize) -> bool {
    let [Some(add), Some(access)] = [at + 1, at + 2].map(|place| slots.get(place)) else {
        return false;
    };
    let through = match access.opcode & 7 {
        BPF_LDX => access.src == 2,
        BPF_ST | BPF_STX => access.dst == 2,
        _ => false,
    };
    add.opcode == BPF_ALU64 | BPF_ADD | BPF_X && add.dst == 2 && through
}
