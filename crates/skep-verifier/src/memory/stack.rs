//! The stack: what was spilled comes back, what was not written is not read.

mod store;

use std::rc::Rc;

use skep_isa::Reg;

use super::{Span, Transfer, Visit, bounds::MAX_VARIABLE_OFFSET, words};
use crate::{
    Rejection, Rule, Scalar,
    state::{Byte, Register, Slot, SlotObject, Stack},
    verifier::{Result, Verifier},
};

/// Bytes of a frame's stack at most (`MAX_BPF_STACK`).
pub(super) const STACK_SIZE: i64 = 512;

impl Verifier<'_> {
    /// A load or store of the stack of a frame.
    pub(super) fn reach_stack(
        &mut self,
        pointer: &Register,
        frame: usize,
        visit: Visit,
    ) -> Result<Register> {
        let (least, most) = self.stack_range(pointer, frame, visit.span(pointer))?;
        let variable = pointer.value.as_constant().is_none();
        let from = least as i32;
        match (visit.is_write(), variable) {
            (false, false) => self.load_stack(frame, from, visit),
            (false, true) => self.load_stack_range(frame, from, most as i32, visit),
            (true, false) => {
                self.store_stack(frame, from, visit)?;
                Ok(Register::UNINIT)
            }
            (true, true) => {
                self.store_stack_range(frame, from, most as i32, visit)?;
                Ok(Register::UNINIT)
            }
        }
    }

    /// The lowest byte that may be accessed and the highest, plus one; checked to be inside the
    /// frame, of which they are noted to be used.
    pub(super) fn stack_range(
        &mut self,
        pointer: &Register,
        frame: usize,
        span: Span,
    ) -> Result<(i64, i64)> {
        let value = &pointer.value;
        if value.as_constant().is_none() {
            let limit = MAX_VARIABLE_OFFSET.cast_signed();
            if value.smax >= limit || value.smin <= -limit {
                return Err(self
                    .reject(
                        Rule::UnboundedIndex,
                        format!(
                            "{} of the stack at an offset without bounds",
                            words::span(span)
                        ),
                    )
                    .of(span.base)
                    .help("test the index against the array's size first"));
            }
        }
        let least = span.offset.saturating_add(value.smin);
        let most = span
            .offset
            .saturating_add(value.smax)
            .saturating_add_unsigned(span.size);
        // Stack that nothing was ever written to is only there for writes, or who may read it.
        let lowest = if span.is_write() || self.reads_uninitialised_stack() {
            -STACK_SIZE
        } else {
            self.state
                .frames
                .get(frame)
                .map_or(0, |frame| i64::from(frame.stack.lowest()))
        };
        if least < lowest || least > -1 || most > 0 {
            return Err(self.outside_stack(pointer, least, most, span));
        }
        self.grow_stack(frame, -least as u32);
        Ok((least, most))
    }

    #[cold]
    fn outside_stack(
        &self,
        pointer: &Register,
        least: i64,
        most: i64,
        span: Span,
    ) -> Box<Rejection> {
        let doing = words::span(span);
        let (rule, why) = if least >= -STACK_SIZE && most <= 0 && least < 0 {
            (Rule::UninitialisedStack, "where nothing was written yet")
        } else if most > 0 {
            (
                Rule::StackOutOfBounds,
                "which is above the frame: only negative offsets are in it",
            )
        } else {
            (
                Rule::StackOutOfBounds,
                "which is below the frame's 512 bytes",
            )
        };
        let place = if pointer.value.as_constant().is_some() {
            format!("at offset {least}")
        } else {
            format!(
                "at offsets from {least} to {}",
                most.saturating_sub_unsigned(span.size)
            )
        };
        self.reject(rule, format!("{doing} of the stack {place}, {why}"))
            .of(span.base)
    }

    /// Notes that a frame uses so many bytes of stack.
    pub(crate) fn grow_stack(&mut self, frame: usize, bytes: u32) {
        let Some(subprogram) = self.state.frames.get(frame).map(|frame| frame.subprogram) else {
            return;
        };
        if let Some(subprogram) = self.code.subprograms.get_mut(subprogram as usize) {
            subprogram.stack = subprogram.stack.max(bytes);
        }
        // Reading what was never written needs no slot; that it was touched does.
        let slots = bytes.div_ceil(8) as usize;
        let have = self.state.frames[frame].stack.slots.len();
        if have < slots {
            Rc::make_mut(&mut self.state.frames[frame])
                .stack
                .slot_mut(slots - 1);
        }
    }

    fn load_stack(&mut self, frame: usize, offset: i32, visit: Visit) -> Result<Register> {
        let (number, first) = Stack::place(offset);
        let size = visit.size as usize;
        let Some(slot) = self.state.frames[frame].stack.slot(number) else {
            return Err(self.unwritten_stack(offset, 0, visit.size, visit.base));
        };
        if slot.bytes[0] != Byte::Spill {
            return self.load_bytes(frame, offset, visit);
        }
        // A spill begins at the slot's lowest byte, whatever its size.
        let spilled = slot
            .bytes
            .iter()
            .take_while(|byte| **byte == Byte::Spill)
            .count();
        let register = slot.spilled.clone();
        if size == 8 && spilled == 8 {
            if !register.is_scalar() && visit.transfer == Transfer::Read && !self.options.perfmon {
                return Err(self.reject(
                    Rule::PointerLeak,
                    format!("the stack at offset {offset} holds {}, which an atomic operation would give away", words::kind(&register)),
                ).of(visit.base));
            }
            self.note_slot(frame, number);
            return Ok(Register {
                subreg_def: 0,
                ..register
            });
        }
        if !register.is_scalar() {
            return Err(self
                .reject(
                    Rule::PartialPointer,
                    format!(
                        "read of {size} bytes of a spilled pointer ({}) at offset {offset} of the stack: pointers are read as a whole, by 8 bytes",
                        words::kind(&register)
                    ),
                )
                .of(visit.base));
        }
        // Before Linux 6.8, only what was spilled by the same size came back as it was.
        let known = size == spilled || self.since(6, 8);
        if known && size <= spilled && self.is_low_part(first, size, spilled) {
            self.note_slot(frame, number);
            let mut value = register;
            if width(&value.value) > visit.size * 8 {
                value.unlink();
            }
            return Ok(value);
        }
        let bytes = slot.bytes;
        let mut spills = 0;
        let mut zeroes = 0;
        for (index, byte) in bytes.iter().enumerate().skip(first).take(size) {
            match byte {
                Byte::Spill => spills += 1,
                Byte::Zero => zeroes += 1,
                Byte::Misc => {}
                Byte::Uninit if self.reads_uninitialised_stack() => {}
                Byte::Uninit | Byte::Object => {
                    return Err(self.unreadable(frame, offset, index - first, visit));
                }
            }
        }
        if spills == size && register.value.as_constant() == Some(0) {
            self.note_slot(frame, number);
            return Ok(Register::constant(0));
        }
        Ok(if zeroes == size {
            Register::constant(0)
        } else {
            Register::unknown()
        })
    }

    /// Whether some bytes of a spill are its lower ones.
    fn is_low_part(&self, first: usize, size: usize, spilled: usize) -> bool {
        match self.target.endian {
            skep_isa::Endian::Little => first == 0,
            skep_isa::Endian::Big => first == spilled - size,
        }
    }

    /// Loads bytes that are no spill.
    fn load_bytes(&mut self, frame: usize, offset: i32, visit: Visit) -> Result<Register> {
        let stack = &self.state.frames[frame].stack;
        let mut zeroes = 0;
        for index in 0..visit.size {
            match stack.byte(offset + index as i32) {
                Byte::Zero => zeroes += 1,
                Byte::Misc | Byte::Spill => {}
                Byte::Uninit if self.reads_uninitialised_stack() => {}
                Byte::Uninit | Byte::Object => {
                    return Err(self.unreadable(frame, offset, index as usize, visit));
                }
            }
        }
        Ok(if zeroes == visit.size {
            Register::constant(0)
        } else {
            Register::unknown()
        })
    }

    /// Loads from one of several places.
    fn load_stack_range(
        &mut self,
        frame: usize,
        least: i32,
        most: i32,
        visit: Visit,
    ) -> Result<Register> {
        if visit.transfer == Transfer::Read {
            return Err(self
                .reject(
                    Rule::StackOutOfBounds,
                    "an atomic operation on the stack needs an offset that is known",
                )
                .of(visit.base));
        }
        self.check_stack_readable(frame, least, most, false, visit.base)?;
        let stack = &self.state.frames[frame].stack;
        let zero = (least..most).all(|offset| stack.byte(offset) == Byte::Zero);
        Ok(if zero {
            Register::constant(0)
        } else {
            Register::unknown()
        })
    }

    /// That all bytes of a range of the stack can be read as plain data; `written`: and that
    /// they are some bytes from here on.
    pub(super) fn check_stack_readable(
        &mut self,
        frame: usize,
        least: i32,
        most: i32,
        written: bool,
        base: Reg,
    ) -> Result {
        for offset in least..most {
            let stack = &self.state.frames[frame].stack;
            match stack.byte(offset) {
                Byte::Misc => {}
                Byte::Zero if !written => {}
                Byte::Uninit if self.reads_uninitialised_stack() && !written => {}
                Byte::Uninit if !self.reads_uninitialised_stack() => {
                    return Err(self.unreadable_at(frame, offset, least, most, base));
                }
                Byte::Zero | Byte::Uninit => {
                    let (number, index) = Stack::place(offset);
                    let stack = &mut Rc::make_mut(&mut self.state.frames[frame]).stack;
                    stack.slot_mut(number).bytes[index] = Byte::Misc;
                }
                Byte::Spill => {
                    let (number, _) = Stack::place(offset);
                    let spilled = stack.slot(number).map(|slot| &slot.spilled);
                    if spilled.is_some_and(Register::is_scalar) || self.options.perfmon {
                        if written {
                            self.scrub(frame, number);
                        }
                    } else {
                        return Err(self.reject(
                            Rule::PointerLeak,
                            format!("the stack at offset {offset} holds a spilled pointer, whose address would be given away"),
                        ).of(base));
                    }
                }
                Byte::Object => {
                    return Err(self.unreadable_at(frame, offset, least, most, base));
                }
            }
        }
        Ok(())
    }

    /// Makes some bytes of a range of the stack: a function that is called writes it.
    pub(super) fn overwrite_stack(
        &mut self,
        frame: usize,
        least: i32,
        most: i32,
        base: Reg,
    ) -> Result {
        for offset in least..most {
            let (number, _) = Stack::place(offset);
            let slot = self.state.frames[frame].stack.slot(number);
            if slot.is_some_and(|slot| matches!(slot.object, Some(SlotObject::Dynptr { .. }))) {
                return Err(self
                    .reject(
                        Rule::DynptrMisuse,
                        format!("the dynptr at offset {offset} of the stack would be written over"),
                    )
                    .of(base));
            }
        }
        for offset in least..most {
            let (number, index) = Stack::place(offset);
            let slot = Rc::make_mut(&mut self.state.frames[frame])
                .stack
                .slot_mut(number);
            clear(slot);
            slot.bytes[index] = Byte::Misc;
        }
        Ok(())
    }

    /// Makes plain data of what was spilled to a slot.
    fn scrub(&mut self, frame: usize, number: usize) {
        let slot = Rc::make_mut(&mut self.state.frames[frame])
            .stack
            .slot_mut(number);
        for byte in &mut slot.bytes {
            if *byte == Byte::Spill {
                *byte = Byte::Misc;
            }
        }
        slot.spilled = Register::UNINIT;
    }

    fn unreadable(&self, frame: usize, offset: i32, index: usize, visit: Visit) -> Box<Rejection> {
        let end = offset.saturating_add(visit.size as i32);
        self.unreadable_at(frame, offset + index as i32, offset, end, visit.base)
    }

    #[cold]
    fn unreadable_at(
        &self,
        frame: usize,
        at: i32,
        from: i32,
        to: i32,
        base: Reg,
    ) -> Box<Rejection> {
        match self.state.frames[frame].stack.byte(at) {
            Byte::Object => self
                .reject(
                    Rule::UninitialisedStack,
                    format!(
                        "read of the stack at offset {at}, which belongs to a dynptr, an iterator or saved interrupt flags: only their functions read it"
                    ),
                )
                .of(base),
            _ => self.unwritten_stack(from, at - from, (to - from) as u32, base),
        }
    }

    #[cold]
    fn unwritten_stack(&self, offset: i32, index: i32, size: u32, base: Reg) -> Box<Rejection> {
        let message = if index == 0 {
            format!("read of {size} bytes of the stack at offset {offset}, which were not written")
        } else {
            format!(
                "read of {size} bytes of the stack at offset {offset}, of which the byte {index} was not written"
            )
        };
        self.reject(Rule::UninitialisedStack, message)
            .of(base)
            .help("initialise the variable, padding included: `struct key key = {};`")
    }

    /// Notes that the instruction moved a register to a slot or from it, as a whole: what decides
    /// something about the one did so about the other.
    fn note_slot(&mut self, frame: usize, number: usize) {
        self.slot_access = Some((frame, number));
    }

    /// What lives in a slot that is about to be written is gone; dynptrs that hold a reference
    /// stay.
    pub(super) fn overwrite_objects(&mut self, frame: usize, number: usize) -> Result {
        let slot = self.state.frames[frame].stack.slot(number);
        if slot.is_none_or(|slot| slot.object.is_none()) {
            return Ok(());
        }
        self.destroy_dynptr(frame, number)
    }
}

/// Forgets what was spilled or lived in a slot: its bytes are plain data.
fn clear(slot: &mut Slot) {
    if slot.has_spill() || slot.object.is_some() {
        for byte in &mut slot.bytes {
            if matches!(byte, Byte::Spill | Byte::Object) {
                *byte = Byte::Misc;
            }
        }
    }
    slot.spilled = Register::UNINIT;
    slot.object = None;
}

/// Bits that a number may have.
fn width(value: &Scalar) -> u32 {
    u64::BITS - value.umax.leading_zeros()
}
