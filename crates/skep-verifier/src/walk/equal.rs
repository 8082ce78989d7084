//! Whether a state covers another: whatever the program does from the other, it was seen to be safe
//! from the first.

use std::rc::Rc;

use super::{
    history::Slots,
    kept::{Kept, Marks},
};
use crate::{
    Scalar,
    setup::Code,
    state::{Byte, Frame, Held, HeldKind, Id, Kind, Register, Slot, SlotObject, State},
};

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// All, and it must be equal: a loop that changes nothing.
    Exact,
    /// All, and it may be less.
    Within,
    /// Only what decided something, and that may be less: for states whose marks are complete.
    Marked,
}

/// A comparison of a kept state with another.
pub(super) struct Comparison<'a> {
    pub(super) code: &'a Code,
    pub(super) mode: Mode,
    /// The loader may leak pointers: it may also read stack that was never written.
    pub(super) perfmon: bool,
    /// The loader has `CAP_BPF`; for others all numbers decide something.
    pub(super) bpf: bool,
    /// Ids of the kept state, and what they are in the other.
    pub(super) ids: Vec<(Id, Id)>,
}

impl Comparison<'_> {
    /// Whether the kept state covers the other.
    pub(super) fn covers(&mut self, kept: &Kept, now: &State) -> bool {
        self.ids.clear();
        let old = &kept.state;
        // What may run by speculation only has not been checked for what the program does.
        if (old.speculative && !now.speculative)
            || old.in_sleepable != now.in_sleepable
            || old.in_async_callback != now.in_async_callback
            || old.rcu != now.rcu
            || old.preempt != now.preempt
            || old.frames.len() != now.frames.len()
            || old.held.len() != now.held.len()
        {
            return false;
        }
        for depth in (0..old.frames.len()).rev() {
            let at = match old.frames.get(depth + 1) {
                Some(callee) => callee.call_site,
                None => kept.insn,
            };
            let live = self.code.live.get(at).copied().unwrap_or(u16::MAX);
            let marks = kept.marks.get(depth).copied().unwrap_or_default();
            if !self.frame(&old.frames[depth], &now.frames[depth], live, &marks) {
                return false;
            }
        }
        self.same(old.irq, now.irq)
            && old
                .held
                .iter()
                .zip(&now.held)
                .all(|(old, now)| self.held(old, now))
    }

    fn held(&mut self, old: &Held, now: &Held) -> bool {
        let kinds = match (old.kind, now.kind) {
            (HeldKind::SpinLock { owner: old }, HeldKind::SpinLock { owner: now }) => old == now,
            (old, now) => old == now,
        };
        kinds && self.same(old.id, now.id)
    }

    fn frame(&mut self, old: &Rc<Frame>, now: &Rc<Frame>, live: u16, marks: &Marks) -> bool {
        if Rc::ptr_eq(old, now) {
            // What is equal is covered; only the names must stay the same, too.
            return old.all_registers().all(|register| {
                self.same(register.id, register.id)
                    && self.same(register.reference, register.reference)
                    && self.same(register.parent, register.parent)
            }) && old
                .stack
                .slots
                .iter()
                .all(|slot| self.objects(&slot.object, &slot.object));
        }
        if old.subprogram != now.subprogram
            || old.call_site != now.call_site
            || old.callback != now.callback
            || old.callback_returns != now.callback_returns
            || old.exception_callback != now.exception_callback
            || old.callback_depth > now.callback_depth
        {
            return false;
        }
        for (number, (old, now)) in old.registers.iter().zip(&now.registers).enumerate() {
            let bit = 1 << number;
            if (live & bit != 0 || self.mode == Mode::Exact)
                && !self.register(old, now, marks.registers & bit != 0)
            {
                return false;
            }
        }
        self.stack(old, now, marks)
    }

    fn register(&mut self, old: &Register, now: &Register, precise: bool) -> bool {
        if self.mode == Mode::Exact {
            return self.exact(old, now);
        }
        match (old.kind, now.kind) {
            (Kind::Uninit, _) => true,
            (Kind::Scalar, Kind::Scalar) => self.scalar(old, now, precise),
            (
                Kind::MapValue { .. }
                | Kind::MapKey { .. }
                | Kind::Mem { .. }
                | Kind::Buffer
                | Kind::TracepointBuffer,
                _,
            ) => {
                self.kind(old.kind, now.kind)
                    && old.flags == now.flags
                    && old.offset == now.offset
                    && now.value.is_subset_of(&old.value)
                    && self.names(old, now)
            }
            (Kind::Packet | Kind::PacketMeta, _) => {
                old.kind == now.kind
                    && old.flags == now.flags
                    && old.range <= now.range
                    && old.offset == now.offset
                    && now.value.is_subset_of(&old.value)
                    && self.names(old, now)
            }
            (Kind::Arena, Kind::Arena) => true,
            _ => self.exact(old, now),
        }
    }

    fn scalar(&mut self, old: &Register, now: &Register, precise: bool) -> bool {
        if !self.perfmon {
            // Speculation is defended against by the very limits that were found.
            return old.value == now.value && self.follows(old, now);
        }
        if self.mode == Mode::Marked && !precise && self.bpf {
            return true;
        }
        now.value.is_subset_of(&old.value) && self.follows(old, now)
    }

    /// Numbers that are linked in the kept state are linked in the other in the same way. One that is
    /// compared alone may be linked to nothing there: what it teaches decides nothing.
    fn follows(&mut self, old: &Register, now: &Register) -> bool {
        if !old.id.is_some() {
            return true;
        }
        if old.offset != now.offset || old.linked != now.linked {
            return false;
        }
        match self.ids.iter().find(|(known, _)| *known == old.id) {
            Some((_, known)) => now.id.is_some() && *known == now.id,
            None => {
                self.ids.push((old.id, now.id));
                true
            }
        }
    }

    fn exact(&mut self, old: &Register, now: &Register) -> bool {
        self.kind(old.kind, now.kind)
            && old.flags == now.flags
            && old.offset == now.offset
            && old.value == now.value
            && old.range == now.range
            && old.linked == now.linked
            && self.names(old, now)
    }

    fn names(&mut self, old: &Register, now: &Register) -> bool {
        self.same(old.id, now.id)
            && self.same(old.reference, now.reference)
            && self.same(old.parent, now.parent)
    }

    fn kind(&mut self, old: Kind, now: Kind) -> bool {
        match (old, now) {
            (
                Kind::MapValue { map, inner, uid },
                Kind::MapValue {
                    map: other,
                    inner: other_inner,
                    uid: other_uid,
                },
            )
            | (
                Kind::ConstMap { map, inner, uid },
                Kind::ConstMap {
                    map: other,
                    inner: other_inner,
                    uid: other_uid,
                },
            ) => map == other && inner == other_inner && self.same(Id(uid), Id(other_uid)),
            _ => old == now,
        }
    }

    /// Whether two ids mean the same, in both directions.
    fn same(&mut self, old: Id, now: Id) -> bool {
        if !old.is_some() || !now.is_some() {
            return old == now;
        }
        for (known, other) in &self.ids {
            if *known == old || *other == now {
                return *known == old && *other == now;
            }
        }
        self.ids.push((old, now));
        true
    }

    fn stack(&mut self, old: &Frame, now: &Frame, marks: &Marks) -> bool {
        let count = old.stack.slots.len().max(now.stack.slots.len());
        for number in 0..count {
            let old = old.stack.slot(number).unwrap_or(&Slot::UNINIT);
            let now = now.stack.slot(number).unwrap_or(&Slot::UNINIT);
            let bit: Slots = if number < 64 { 1 << number } else { 0 };
            // Objects are looked at by those who overwrite them.
            if !self.objects(&old.object, &now.object) {
                return false;
            }
            let read = self.mode != Mode::Marked || bit == 0 || marks.read & bit != 0;
            if read && !self.slot(old, now, marks.slots & bit != 0) {
                return false;
            }
        }
        true
    }

    fn slot(&mut self, old: &Slot, now: &Slot, precise: bool) -> bool {
        if self.mode == Mode::Exact {
            return old.bytes == now.bytes
                && (!old.has_spill() || self.exact(&old.spilled, &now.spilled));
        }
        if let (Some((old, zero)), Some((now, _))) = (self.number(old), self.number(now)) {
            return self.register(&old, &now, precise || zero);
        }
        let mut spilled = false;
        for (old, now) in old.bytes.iter().zip(&now.bytes) {
            let covered = match old {
                Byte::Uninit => true,
                Byte::Misc => self.perfmon || matches!(now, Byte::Misc | Byte::Zero),
                Byte::Spill => {
                    spilled = true;
                    *now == Byte::Spill
                }
                Byte::Zero | Byte::Object => old == now,
            };
            if !covered {
                return false;
            }
        }
        // Parts of spilled registers are compared as such: the bytes are the same.
        !spilled
            || (old.bytes.map(|byte| byte == Byte::Spill)
                == now.bytes.map(|byte| byte == Byte::Spill)
                && self.register(&old.spilled, &now.spilled, precise))
    }

    /// A slot as a number, if its eight bytes are one; and whether it is one because they are zero.
    fn number(&self, slot: &Slot) -> Option<(Register, bool)> {
        if slot.is_spill() {
            return slot
                .spilled
                .is_scalar()
                .then(|| (slot.spilled.clone(), false));
        }
        if slot.bytes == [Byte::Zero; 8] {
            return Some((Register::constant(0), true));
        }
        let misc = slot.bytes.iter().all(|byte| match byte {
            Byte::Misc => true,
            Byte::Uninit => self.perfmon,
            _ => false,
        });
        misc.then(|| (Register::scalar(Scalar::UNKNOWN), false))
    }

    fn objects(&mut self, old: &Option<SlotObject>, now: &Option<SlotObject>) -> bool {
        match (*old, *now) {
            (None, None) => true,
            (
                Some(SlotObject::Dynptr {
                    kind,
                    read_only,
                    id,
                    reference,
                    first,
                }),
                Some(SlotObject::Dynptr {
                    kind: kind_now,
                    read_only: read_only_now,
                    id: id_now,
                    reference: reference_now,
                    first: first_now,
                }),
            ) => {
                kind == kind_now
                    && read_only == read_only_now
                    && first == first_now
                    && self.same(id, id_now)
                    && self.same(reference, reference_now)
            }
            (
                Some(SlotObject::Iterator {
                    of,
                    state,
                    reference,
                    first,
                    rcu,
                    untrusted,
                    // How often it went around does not matter.
                    depth: _,
                }),
                Some(SlotObject::Iterator {
                    of: of_now,
                    state: state_now,
                    reference: reference_now,
                    first: first_now,
                    rcu: rcu_now,
                    untrusted: untrusted_now,
                    depth: _,
                }),
            ) => {
                of == of_now
                    && state == state_now
                    && first == first_now
                    && rcu == rcu_now
                    && untrusted == untrusted_now
                    && self.same(reference, reference_now)
            }
            (
                Some(SlotObject::IrqFlag { reference, by_lock }),
                Some(SlotObject::IrqFlag {
                    reference: reference_now,
                    by_lock: by_lock_now,
                }),
            ) => by_lock == by_lock_now && self.same(reference, reference_now),
            _ => false,
        }
    }
}
