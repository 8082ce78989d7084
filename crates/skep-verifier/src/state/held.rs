//! What a program holds and must give back: references, locks, saved interrupt flags.

use super::Id;

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
