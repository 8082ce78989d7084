//! What a program holds and must give back: references, locks, saved interrupt flags.

use super::{Id, Register};
use crate::{
    Rule,
    verifier::{Result, Verifier},
};

/// One thing held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held {
    /// Its id; for locks, the id of the value that the lock is in.
    pub(crate) id: Id,
    /// What it is.
    pub(crate) kind: HeldKind,
    /// The instruction that took it.
    pub(crate) insn: usize,
}

/// What is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeldKind {
    /// A reference.
    Reference,
    /// A `bpf_spin_lock`, in the map or object that `owner` names (0: none).
    SpinLock {
        /// Which map (its place plus one) or which type it is in: equal for the same.
        owner: u64,
    },
    /// A `bpf_res_spin_lock`.
    ResilientLock {
        /// As above.
        owner: u64,
        /// With interrupts off.
        irq: bool,
    },
    /// Saved interrupt flags.
    Irq,
}

impl HeldKind {
    /// Whether it is a lock.
    pub(crate) fn is_lock(self) -> bool {
        matches!(self, Self::SpinLock { .. } | Self::ResilientLock { .. })
    }
}

impl Verifier<'_> {
    /// Takes a reference, at an instruction: what is known by its id must be given back.
    pub(crate) fn acquire_reference(&mut self, insn: usize) -> Id {
        let id = self.new_id();
        self.state.held.push(Held {
            id,
            kind: HeldKind::Reference,
            insn,
        });
        id
    }

    /// Gives a reference back: it is held no more, and nothing that belongs to it may be used.
    pub(crate) fn release_reference(&mut self, id: Id) -> Result {
        self.give_up_reference(id)?;
        self.invalidate(|register| register.reference == id);
        Ok(())
    }

    /// Stops holding a reference; registers that belong to it stay as they are.
    pub(crate) fn give_up_reference(&mut self, id: Id) -> Result {
        let held = self.state.held.iter();
        let place = held
            .enumerate()
            .find(|(_, held)| held.id == id && held.kind == HeldKind::Reference);
        let Some((place, _)) = place else {
            return Err(self.reject(
                Rule::ReferenceRelease,
                "what is given back here is not held, or no more",
            ));
        };
        self.state.held.remove(place);
        Ok(())
    }

    /// Makes the registers that `concerns` says, spilled ones too, unusable as pointers: numbers that
    /// nothing is known about, or nothing at all for a loader that must not see addresses.
    pub(crate) fn invalidate(&mut self, concerns: impl Fn(&Register) -> bool) {
        let gone = if self.options.perfmon {
            Register::unknown()
        } else {
            Register::UNINIT
        };
        self.state
            .change_registers(concerns, |register| register.clone_from(&gone));
    }
}
