//! Stores to the stack: registers are spilled, other bytes are plain data.

use std::rc::Rc;

use skep_isa::Reg;

use super::{clear, width};
use crate::{
    Rule,
    memory::{Transfer, Visit, words},
    state::{Byte, Kind, Register, Stack},
    verifier::{Result, Verifier},
};

impl Verifier<'_> {
    pub(super) fn store_stack(&mut self, frame: usize, offset: i32, visit: Visit) -> Result {
        let (number, first) = Stack::place(offset);
        let size = visit.size as usize;
        let slot = self.state.frames[frame].stack.slot(number);
        if let Some(slot) = slot
            && !self.options.perfmon
            && slot.bytes[0] == Byte::Spill
            && !slot.spilled.is_scalar()
            && size != 8
        {
            return Err(self
                .reject(
                    Rule::PartialPointer,
                    format!("write of {size} bytes over a pointer that was spilled at offset {offset} of the stack"),
                )
                .of(visit.base));
        }
        self.overwrite_objects(frame, number)?;
        let value = match visit.transfer {
            Transfer::Store(reg) => Some((Some(reg), self.reg(reg).clone())),
            Transfer::StoreConstant(value) => {
                Some((None, Register::constant(i64::from(value).cast_unsigned())))
            }
            _ => None,
        };
        // Spills begin at a slot's lowest byte.
        let aligned = first == 0 && self.options.bpf;
        match value {
            Some((source, mut value))
                if value.is_scalar() && aligned && (source.is_some() || self.since(6, 3)) =>
            {
                if let Some(reg) = source
                    && width(&value.value) <= visit.size * 8
                {
                    value = self.with_scalar_id(reg);
                } else {
                    value.unlink();
                }
                self.spill(frame, number, value, size);
                self.note_slot(frame, number);
            }
            Some((Some(_), value)) if is_spillable(&value) => {
                if size != 8 {
                    return Err(self
                        .reject(
                            Rule::PartialPointer,
                            format!(
                                "{size} bytes of {} are written to the stack: pointers are spilled as a whole, by 8 bytes",
                                words::kind(&value)
                            ),
                        )
                        .of(visit.base));
                }
                if frame != self.state.depth() && matches!(value.kind, Kind::Stack { .. }) {
                    return Err(self
                        .reject(
                            Rule::StackOutOfBounds,
                            "a stack address is written into the stack of a calling function, which it may not outlive",
                        )
                        .of(visit.base));
                }
                self.spill(frame, number, value, size);
                self.note_slot(frame, number);
            }
            value => {
                let zero = value.as_ref().is_some_and(|(_, value)| value.is_null());
                if zero && let Some((Some(reg), _)) = value {
                    self.mark_precise(reg)?;
                }
                let slot = Rc::make_mut(&mut self.state.frames[frame])
                    .stack
                    .slot_mut(number);
                clear(slot);
                slot.bytes[first..first + size].fill(if zero { Byte::Zero } else { Byte::Misc });
            }
        }
        Ok(())
    }

    fn spill(&mut self, frame: usize, number: usize, value: Register, size: usize) {
        let slot = Rc::make_mut(&mut self.state.frames[frame])
            .stack
            .slot_mut(number);
        for (index, byte) in slot.bytes.iter_mut().enumerate() {
            *byte = match *byte {
                _ if index < size => Byte::Spill,
                Byte::Zero => Byte::Zero,
                Byte::Uninit => Byte::Uninit,
                _ => Byte::Misc,
            };
        }
        slot.spilled = Register {
            subreg_def: 0,
            ..value
        };
        slot.object = None;
    }

    /// What a register holds, with an id that its copies share; constants need none.
    fn with_scalar_id(&mut self, reg: Reg) -> Register {
        let value = self.reg(reg);
        if value.value.as_constant().is_none() && !value.id.is_some() {
            let id = self.new_id();
            self.state.register_mut(reg).id = id;
        }
        self.reg(reg).clone()
    }

    /// Stores to one of several places.
    pub(super) fn store_stack_range(
        &mut self,
        frame: usize,
        least: i32,
        most: i32,
        visit: Visit,
    ) -> Result {
        let source = match visit.transfer {
            Transfer::Store(reg) => Some(reg),
            _ => None,
        };
        let zero = match visit.transfer {
            Transfer::Store(reg) => self.reg(reg).is_null(),
            Transfer::StoreConstant(value) => value == 0,
            _ => false,
        };
        let (first, last) = (Stack::place(most - 1).0, Stack::place(least).0);
        for number in first..=last {
            self.overwrite_objects(frame, number)?;
        }
        let mut zero_kept = false;
        for offset in least..most {
            let (number, index) = Stack::place(offset);
            let slot = self.state.frames[frame].stack.slot(number);
            let byte = slot.map_or(Byte::Uninit, |slot| slot.bytes[index]);
            if !self.options.perfmon && !matches!(byte, Byte::Misc | Byte::Zero) {
                return Err(self
                    .reject(
                        Rule::PartialPointer,
                        format!("write to a variable offset of the stack, which can be {offset}, where no plain data was written before"),
                    )
                    .of(visit.base));
            }
            if zero && byte == Byte::Zero
                || zero && byte == Byte::Spill && slot.is_some_and(|slot| slot.spilled.is_null())
            {
                zero_kept = true;
                continue;
            }
            let slot = Rc::make_mut(&mut self.state.frames[frame])
                .stack
                .slot_mut(number);
            if slot.has_spill() {
                clear(slot);
            }
            slot.bytes[index] = Byte::Misc;
        }
        if zero_kept && let Some(reg) = source {
            self.mark_precise(reg)?;
        }
        Ok(())
    }
}

fn is_spillable(register: &Register) -> bool {
    !matches!(
        register.kind,
        Kind::Uninit | Kind::Scalar | Kind::TracepointBuffer | Kind::Dynptr { .. }
    )
}
