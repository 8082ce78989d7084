//! Where on the stack an object lives that only its functions touch: a dynptr, an iterator, saved
//! interrupt flags. They take whole slots at a known place.

use std::rc::Rc;

use skep_isa::Reg;

use crate::{
    Rule,
    state::{Byte, Frame, Kind, Register, Slot, SlotObject},
    verifier::{Result, Verifier},
};

/// Bytes of a stack.
const STACK_SIZE: i64 = 512;

/// Whole slots of a frame's stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// The frame, by its depth.
    pub(crate) frame: usize,
    /// The slot with the lowest address; the others have lower numbers.
    pub(crate) first: usize,
    /// How many slots.
    pub(crate) count: usize,
}

impl Place {
    /// The numbers of the slots, from the lowest address on.
    pub(crate) fn slots(self) -> impl Iterator<Item = usize> {
        (0..self.count).map(move |index| self.first - index)
    }
}

impl Verifier<'_> {
    /// The slots that a register points to the start of. `what` names the object in errors.
    pub(crate) fn object_place(
        &self,
        reg: Reg,
        count: usize,
        rule: Rule,
        what: &str,
    ) -> Result<Place> {
        let register = self.reg(reg);
        let Kind::Stack { frame } = register.kind else {
            return Err(self
                .reject(rule, format!("{what} must be a variable on the stack"))
                .of(reg));
        };
        let Some(variable) = register.value.as_constant() else {
            return Err(self
                .reject(
                    rule,
                    format!("the place of {what} on the stack is not known"),
                )
                .of(reg)
                .help(format!(
                    "use {what} itself, not an element chosen at run time"
                )));
        };
        let offset = i64::from(register.offset).wrapping_add(variable.cast_signed());
        let bytes = count as i64 * 8;
        if offset % 8 != 0 {
            return Err(self
                .reject(
                    rule,
                    format!("{what} starts at a multiple of 8 bytes, this is fp{offset:+}"),
                )
                .of(reg));
        }
        if offset < -STACK_SIZE || offset > -bytes {
            return Err(self
                .reject(
                    rule,
                    format!("{what} takes {bytes} bytes of stack, which fp{offset:+} has not"),
                )
                .of(reg));
        }
        Ok(Place {
            frame: usize::from(frame),
            first: (-offset / 8 - 1) as usize,
            count,
        })
    }

    /// What lives in a slot.
    pub(crate) fn object_at(&self, frame: usize, slot: usize) -> Option<SlotObject> {
        let slot = self.state.frames.get(frame)?.stack.slot(slot)?;
        (slot.bytes == [Byte::Object; 8])
            .then_some(slot.object)
            .flatten()
    }

    /// Puts an object into slots: `object` says what each has, from the lowest address on (`true`
    /// for the first).
    pub(crate) fn put_object(&mut self, place: Place, object: impl Fn(bool) -> SlotObject) {
        let Some(frame) = self.object_frame(place) else {
            return;
        };
        for slot in place.slots() {
            *frame.stack.slot_mut(slot) = Slot {
                bytes: [Byte::Object; 8],
                spilled: Register::UNINIT,
                object: Some(object(slot == place.first)),
            };
        }
    }

    /// Removes what lives in slots: they are as if they were never written.
    pub(crate) fn remove_object(&mut self, place: Place) {
        let Some(frame) = self.object_frame(place) else {
            return;
        };
        for slot in place.slots() {
            *frame.stack.slot_mut(slot) = Slot::UNINIT;
        }
    }

    /// Makes stack ready for an object that a function puts there: it is in use, and what lived in
    /// it is gone. A dynptr that holds a reference stays.
    pub(crate) fn write_object_space(&mut self, place: Place) -> Result {
        for slot in place.slots() {
            self.destroy_dynptr(place.frame, slot)?;
        }
        let bytes = u32::try_from((place.first + 1) * 8).unwrap_or(u32::MAX);
        self.grow_stack(place.frame, bytes);
        Ok(())
    }

    fn object_frame(&mut self, place: Place) -> Option<&mut Frame> {
        self.state.frames.get_mut(place.frame).map(Rc::make_mut)
    }
}
