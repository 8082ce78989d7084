//! What is known about a frame's stack: eight bytes a slot.

use super::{BtfRef, DynptrKind, Id, Register};

/// A frame's stack. Slot 0 is the highest: bytes -8 to -1.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Stack {
    /// As many slots as were touched, from the end of the stack down.
    pub(crate) slots: Vec<Slot>,
}

/// Eight bytes of stack.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Slot {
    /// What each byte is; byte 0 has the lowest address.
    pub(crate) bytes: [Byte; 8],
    /// What was spilled there, if the bytes say so (a 4-byte spill has `Spill` in the lower four or
    /// upper four); else a register without meaning.
    pub(crate) spilled: Register,
    /// What lives there, if the bytes say `Object`.
    pub(crate) object: Option<SlotObject>,
}

/// What one byte of stack is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum Byte {
    /// Never written (`STACK_INVALID`).
    #[default]
    Uninit,
    /// Part of a spilled register (`STACK_SPILL`).
    Spill,
    /// Some byte (`STACK_MISC`).
    Misc,
    /// Zero (`STACK_ZERO`).
    Zero,
    /// Part of a dynptr, an iterator or saved interrupt flags, which only their functions touch
    /// (`STACK_DYNPTR`, `STACK_ITER`, `STACK_IRQ_FLAG`).
    Object,
}

/// What lives in slots and is only touched by its own functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SlotObject {
    /// A `bpf_dynptr`: two slots.
    Dynptr {
        /// What it points into.
        kind: DynptrKind,
        /// Whether it may not be written through.
        read_only: bool,
        /// The same for copies (clones and slices know their parent by `reference`).
        id: Id,
        /// The reference that it holds, or that it is a part of.
        reference: Id,
        /// Whether it is the upper-addressed half... `true` for the slot with the lower address.
        first: bool,
    },
    /// An open-coded iterator.
    Iterator {
        /// Its struct (`bpf_iter_num`).
        of: BtfRef,
        /// Where it is.
        state: IteratorState,
        /// How often `next` was taken, on the path.
        depth: u32,
        /// Its reference.
        reference: Id,
        /// `true` for the slot with the lowest address.
        first: bool,
        /// Whether RCU protects what it walks over (`KF_RCU_PROTECTED`): dead after the section.
        rcu: bool,
        /// Whether the section ended (`PTR_UNTRUSTED`).
        untrusted: bool,
    },
    /// Flags saved by `bpf_local_irq_save`.
    IrqFlag {
        /// The reference.
        reference: Id,
        /// Saved by a resilient lock's function, not by `bpf_local_irq_save`.
        by_lock: bool,
    },
}

/// Where an open-coded iterator is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum IteratorState {
    /// `new` or the last `next` gave something.
    Active,
    /// The last `next` gave null.
    Drained,
}

impl Slot {
    /// A slot that was never written.
    pub(crate) const UNINIT: Self = Self {
        bytes: [Byte::Uninit; 8],
        spilled: Register::UNINIT,
        object: None,
    };

    /// Whether all eight bytes hold one spilled register.
    pub(crate) fn is_spill(&self) -> bool {
        self.bytes == [Byte::Spill; 8]
    }

    /// Whether any byte is part of a spilled register, so that `spilled` means something.
    pub(crate) fn has_spill(&self) -> bool {
        self.bytes.contains(&Byte::Spill)
    }
}

impl Stack {
    /// The slot with a number, if it was touched.
    pub(crate) fn slot(&self, number: usize) -> Option<&Slot> {
        self.slots.get(number)
    }

    /// The slot with a number, to be changed; it and those above are made if need be.
    pub(crate) fn slot_mut(&mut self, number: usize) -> &mut Slot {
        if self.slots.len() <= number {
            self.slots.resize(number + 1, Slot::UNINIT);
        }
        &mut self.slots[number]
    }

    /// What a byte is; `offset` is negative and from the end of the stack.
    pub(crate) fn byte(&self, offset: i32) -> Byte {
        let (slot, byte) = Self::place(offset);
        self.slots
            .get(slot)
            .map_or(Byte::Uninit, |slot| slot.bytes[byte])
    }

    /// The slot's number and the byte's place in it, of a (negative) offset from the end.
    pub(crate) fn place(offset: i32) -> (usize, usize) {
        debug_assert!(offset < 0, "stack offsets are negative");
        let slot = ((-offset - 1) / 8) as usize;
        let byte = (8 - 1 - (-offset - 1) % 8) as usize;
        (slot, byte)
    }

    /// The lowest offset that was touched, in bytes from the end: 0 or negative.
    pub(crate) fn lowest(&self) -> i32 {
        -(self.slots.len() as i32 * 8)
    }
}
