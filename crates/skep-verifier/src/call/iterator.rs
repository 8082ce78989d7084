//! Open-coded iterators: slots of stack that `bpf_iter_*_new` makes, from which `next` takes one
//! element after the other until it gives null, and that `destroy` ends.

use skep_abi::KfuncFlags;
use skep_isa::Reg;

use super::{kfunc::Descriptor, place::Place};
use crate::{
    Rule,
    state::{BtfRef, Id, IteratorState, PointerFlags, Register, SlotObject},
    verifier::{Result, Verifier},
};

impl Verifier<'_> {
    /// Checks the iterator that a function makes, moves or ends. One that is to be made is there
    /// afterwards.
    pub(super) fn kernel_iterator(
        &mut self,
        function: &Descriptor,
        of: BtfRef,
        slots: usize,
        reg: Reg,
    ) -> Result<Place> {
        let what = format!("`struct {}`", self.struct_name(of));
        let place = self.object_place(reg, slots, Rule::IteratorMisuse, &what)?;
        if !function.is(KfuncFlags::ITER_NEW) {
            self.check_made_iterator(of, place)
                .map_err(|error| error.of(reg))?;
            return Ok(place);
        }
        let taken = place.slots().any(|slot| {
            matches!(
                self.object_at(place.frame, slot),
                Some(SlotObject::Iterator { .. })
            )
        });
        if taken {
            return Err(self
                .reject(
                    Rule::IteratorMisuse,
                    "an iterator is made where there is one that was not destroyed",
                )
                .of(reg));
        }
        self.write_object_space(place)
            .map_err(|error| error.of(reg))?;
        let protected = function.is(KfuncFlags::RCU_PROTECTED);
        let in_section = self.in_rcu_section();
        let reference = self.acquire_reference(self.insn);
        self.put_object(place, |first| SlotObject::Iterator {
            of,
            state: IteratorState::Active,
            depth: 0,
            reference: if first { reference } else { Id::NONE },
            first,
            rcu: protected && in_section,
            untrusted: protected && !in_section,
        });
        Ok(place)
    }

    fn check_made_iterator(&self, of: BtfRef, place: Place) -> Result {
        for slot in place.slots() {
            match self.object_at(place.frame, slot) {
                Some(SlotObject::Iterator {
                    of: found,
                    first,
                    untrusted,
                    ..
                }) if found == of && first == (slot == place.first) => {
                    if untrusted {
                        return Err(self
                            .reject(
                                Rule::IteratorMisuse,
                                "the iterator needs an RCU section, and the one that it was made in is over",
                            )
                            .help("make, move and destroy it between bpf_rcu_read_lock() and bpf_rcu_read_unlock()"));
                    }
                }
                _ => {
                    return Err(self.reject(
                        Rule::IteratorMisuse,
                        format!(
                            "no `struct {}` was made here, or no more",
                            self.struct_name(of)
                        ),
                    ));
                }
            }
        }
        Ok(())
    }

    /// The reference that an iterator holds.
    pub(super) fn iterator_reference(&self, place: Place) -> Id {
        match self.object_at(place.frame, place.first) {
            Some(SlotObject::Iterator { reference, .. }) => reference,
            _ => Id::NONE,
        }
    }

    /// Whether RCU protects what an iterator gives.
    pub(super) fn iterates_by_rcu(&self, place: Place) -> bool {
        matches!(
            self.object_at(place.frame, place.first),
            Some(SlotObject::Iterator { rcu: true, .. })
        )
    }

    /// Ends an iterator, and what it gave.
    pub(super) fn destroy_iterator(&mut self, place: Place) -> Result {
        let reference = self.iterator_reference(place);
        self.release_reference(reference)?;
        self.remove_object(place);
        Ok(())
    }

    /// `next`, with R0 as it is if there was another element: that path is put aside, and this one goes
    /// on with the iterator at its end.
    pub(super) fn iterate(&mut self, place: Place) -> Result {
        let Some(SlotObject::Iterator { state, .. }) = self.object_at(place.frame, place.first)
        else {
            return Ok(());
        };
        if state == IteratorState::Active {
            let mut other = self.state.clone();
            change_state(&mut other, place, |state, depth| {
                *state = IteratorState::Active;
                *depth = depth.saturating_add(1);
            });
            let result = other.register_mut(Reg::R0);
            result.flags -= PointerFlags::MAYBE_NULL;
            if !result.reference.is_some() {
                result.id = Id::NONE;
            }
            self.widen_from_previous(self.insn, &mut other);
            self.push_state(self.insn + 1, other)?;
        }
        change_state(&mut self.state, place, |state, _| {
            *state = IteratorState::Drained;
        });
        *self.state.register_mut(Reg::R0) = Register::constant(0);
        Ok(())
    }
}

fn change_state(
    of: &mut crate::state::State,
    place: Place,
    change: impl Fn(&mut IteratorState, &mut u32),
) {
    let Some(frame) = of.frames.get_mut(place.frame).map(std::rc::Rc::make_mut) else {
        return;
    };
    for slot in place.slots() {
        if let Some(SlotObject::Iterator { state, depth, .. }) =
            &mut frame.stack.slot_mut(slot).object
        {
            change(state, depth);
        }
    }
}
