//! Precision: which numbers decided something, so that pruning must compare them. Marks go back
//! along the path, instruction by instruction, to where the number came from.

use skep_isa::{CallTarget, Insn, Operand, Reg};

use super::{
    history::{FRAMES, Place, Slots, Step},
    kept::{Kept, KeptId, Marks, Shelf},
};
use crate::{
    setup::Code,
    state::{Id, Register, State},
    verifier::{Result, Verifier},
};

/// R0 to R5.
const SCRATCHED: u16 = 0b11_1111;
/// R1 to R5.
const ARGUMENTS: u16 = 0b11_1110;

impl Verifier<'_> {
    /// Says that the number in a register of the running function decides something: what is read
    /// by the instruction where the verification stands.
    pub(crate) fn mark_precise(&mut self, reg: Reg) -> Result {
        if !self.state.register(reg).is_scalar() {
            return Ok(());
        }
        let depth = self.state.depth();
        self.mark(Place::register(depth, reg.number().into()));
        Ok(())
    }

    /// The same for a number that was spilled to a stack slot of a frame.
    pub(crate) fn mark_slot_precise(&mut self, frame: usize, slot: usize) -> Result {
        self.mark(Place::slot(frame, slot));
        Ok(())
    }

    fn mark(&mut self, place: Place) {
        let mut wanted = Wanted::default();
        wanted.want(place);
        // The number is read before the instruction does anything.
        let (depth, history) = match self.walk.history.split_last() {
            Some((last, before)) => (usize::from(last.depth), before),
            None => (self.state.depth(), &self.walk.history[..]),
        };
        let parent = self.walk.parent;
        self.walk
            .kept
            .go_back(&self.code, history, depth, parent, wanted);
    }

    /// Forgets what a state knows about numbers that changed since the path was here before and
    /// decided nothing, so that going around in a loop comes to an end.
    pub(crate) fn widen_from_previous(&self, insn: usize, state: &mut State) {
        let mut at = self.walk.parent;
        if self.walk.history.len() <= 1
            && let Some(id) = at
        {
            // That is this very visit.
            at = self.walk.kept.at(id).parent;
        }
        while let Some(id) = at {
            let kept = self.walk.kept.at(id);
            if kept.insn == insn && has_same_calls(&kept.state, state) {
                widen(kept, state);
                return;
            }
            at = kept.parent;
        }
    }
}

/// Whether two states are in the same chain of calls.
pub(super) fn has_same_calls(one: &State, other: &State) -> bool {
    one.frames.len() == other.frames.len()
        && one.frames.iter().zip(&other.frames).all(|(one, other)| {
            one.call_site == other.call_site && one.subprogram == other.subprogram
        })
}

fn widen(kept: &Kept, state: &mut State) {
    let mut ids = Vec::new();
    let marks = kept.marks.iter();
    for ((old, now), marks) in kept.state.frames.iter().zip(&mut state.frames).zip(marks) {
        if std::rc::Rc::ptr_eq(old, now) {
            continue;
        }
        let now = std::rc::Rc::make_mut(now);
        for (number, register) in now.registers.iter_mut().enumerate() {
            if marks.registers & (1 << number) == 0 {
                widen_register(&old.registers[number], register, &mut ids);
            }
        }
        let slots = old.stack.slots.iter().zip(&mut now.stack.slots);
        for (number, (old, now)) in slots.enumerate() {
            let precise = number < 64 && marks.slots & (1 << number) != 0;
            if !precise && old.is_spill() && now.is_spill() {
                widen_register(&old.spilled, &mut now.spilled, &mut ids);
            }
        }
    }
}

/// Forgets a number if it is not what it was: neither its value, nor which others it is linked to.
fn widen_register(old: &Register, now: &mut Register, ids: &mut Vec<(Id, Id)>) {
    if !old.is_scalar() || !now.is_scalar() {
        return;
    }
    let pair = (old.id, now.id);
    let known = ids
        .iter()
        .find(|(id, other)| *id == pair.0 || *other == pair.1);
    let linked_alike = match known {
        _ if !pair.0.is_some() || !pair.1.is_some() => pair.0 == pair.1,
        Some(known) => *known == pair,
        None => {
            ids.push(pair);
            true
        }
    };
    let same = old.value == now.value && old.offset == now.offset && old.linked == now.linked;
    if !same || !linked_alike {
        *now = Register::unknown();
    }
}

/// Numbers that are looked for on the way back.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    registers: [u16; FRAMES],
    slots: [Slots; FRAMES],
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            registers: [0; FRAMES],
            slots: [0; FRAMES],
        }
    }
}

impl Wanted {
    /// Those that decided something after a kept state.
    pub(super) fn of(marks: &[Marks]) -> Self {
        let mut wanted = Self::default();
        for (frame, marks) in marks.iter().take(FRAMES).enumerate() {
            wanted.registers[frame] = marks.registers;
            wanted.slots[frame] = marks.slots;
        }
        wanted
    }

    fn want(&mut self, place: Place) {
        let frame = usize::from(place.frame) % FRAMES;
        if place.is_slot {
            self.slots[frame] |= 1 << (place.number % 64);
        } else {
            self.registers[frame] |= 1 << place.number;
        }
    }

    fn wants(&self, place: Place) -> bool {
        let frame = usize::from(place.frame) % FRAMES;
        if place.is_slot {
            self.slots[frame] & (1 << (place.number % 64)) != 0
        } else {
            self.registers[frame] & (1 << place.number) != 0
        }
    }

    fn is_empty(&self) -> bool {
        self.registers == [0; FRAMES] && self.slots == [0; FRAMES]
    }

    /// Nothing of frames that were not there yet.
    fn leave(&mut self, frames: usize) {
        let frames = frames.min(FRAMES);
        self.registers[frames..].fill(0);
        self.slots[frames..].fill(0);
    }

    /// Marks what is wanted of a kept state, and goes on wanting what was not marked before: the
    /// way of the others is known.
    fn mark(&mut self, kept: &mut Kept) -> bool {
        let mut news = false;
        self.leave(kept.state.frames.len());
        let frames = kept.state.frames.iter().zip(&mut kept.marks);
        for (number, (frame, marks)) in frames.take(FRAMES).enumerate() {
            let mut registers = self.registers[number] & !marks.registers;
            for (place, register) in frame.registers.iter().enumerate() {
                if !register.is_scalar() {
                    registers &= !(1 << place);
                }
            }
            let mut slots = self.slots[number] & !marks.slots;
            if slots != 0 {
                for place in 0..64 {
                    let scalar = frame
                        .stack
                        .slot(place)
                        .is_some_and(|slot| slot.has_spill() && slot.spilled.is_scalar());
                    if !scalar {
                        slots &= !(1 << place);
                    }
                }
            }
            marks.registers |= registers;
            marks.slots |= slots;
            news |= registers != 0 || slots != 0;
            self.registers[number] = registers;
            self.slots[number] = slots;
        }
        news
    }

    /// Numbers that learnt from one that is wanted are wanted.
    fn link(&mut self, step: &Step) {
        let Some(places) = &step.linked else { return };
        if places.iter().any(|place| self.wants(*place)) {
            for place in places.iter() {
                self.want(*place);
            }
        }
    }

    /// Goes back over an instruction; `after` is the depth behind it.
    fn undo(&mut self, code: &Code, step: &Step, after: usize) {
        self.link(step);
        if let Some(Some(insn)) = code.insns.get(step.insn as usize) {
            let depth = usize::from(step.depth);
            if after > depth {
                self.undo_entry(insn, depth, after);
            } else if after < depth {
                self.undo_exit(step, depth, after);
            } else {
                self.undo_insn(insn, step, depth);
            }
            self.leave(depth + 1);
        }
        self.link(step);
    }

    /// Goes back from a function to its call.
    fn undo_entry(&mut self, insn: &Insn, depth: usize, after: usize) {
        if matches!(insn, Insn::Call(CallTarget::Subprogram { .. }))
            && after < FRAMES
            && depth < FRAMES
        {
            let arguments = self.registers[after] & ARGUMENTS;
            self.registers[depth] &= !SCRATCHED;
            self.registers[depth] |= arguments;
        }
        // What a callback gets is its caller's own: no number of the program.
    }

    /// Goes back into a function that returned.
    fn undo_exit(&mut self, step: &Step, depth: usize, after: usize) {
        if step.callback || depth >= FRAMES || after >= FRAMES {
            // The call is verified again; what a callback returned was checked in it.
            return;
        }
        let result = self.registers[after] & 1;
        self.registers[after] &= !SCRATCHED;
        self.registers[depth] = result;
        self.slots[depth] = 0;
    }

    fn undo_insn(&mut self, insn: &Insn, step: &Step, depth: usize) {
        if depth >= FRAMES {
            return;
        }
        let registers = &mut self.registers[depth];
        let bit = |reg: Reg| 1_u16 << reg.number();
        match *insn {
            Insn::Alu { dst, src, .. } => {
                if let Operand::Reg(src) = src
                    && *registers & bit(dst) != 0
                {
                    *registers |= bit(src);
                }
            }
            Insn::Mov { dst, src, .. } if *registers & bit(dst) != 0 => {
                *registers &= !bit(dst);
                if let Operand::Reg(src) = src {
                    *registers |= bit(src);
                }
            }
            Insn::MovSx { dst, src, .. } | Insn::AddrSpaceCast { dst, src, .. }
                if *registers & bit(dst) != 0 =>
            {
                *registers &= !bit(dst);
                *registers |= bit(src);
            }
            Insn::LoadImm64 { dst, .. } | Insn::LoadStackArg { dst, .. } => {
                *registers &= !bit(dst);
            }
            Insn::Load { dst, .. }
            | Insn::LoadSigned { dst, .. }
            | Insn::LoadAcquire { dst, .. } => self.undo_load(dst, step, depth),
            Insn::Atomic { op, src, .. } if op.fetches() => {
                let dst = if op == skep_isa::AtomicOp::CmpXchg {
                    Reg::R0
                } else {
                    src
                };
                self.undo_load(dst, step, depth);
            }
            Insn::Store {
                value: Operand::Reg(value),
                ..
            }
            | Insn::StoreRelease { src: value, .. } => self.undo_store(Some(value), step, depth),
            Insn::Store { .. } => self.undo_store(None, step, depth),
            Insn::JumpIf {
                dst,
                src: Operand::Reg(src),
                ..
            } => {
                // Each learnt from the other.
                let both = bit(dst) | bit(src);
                if *registers & both != 0 {
                    *registers |= both;
                }
            }
            Insn::Call(_) | Insn::LoadPacketAbs { .. } | Insn::LoadPacketInd { .. } => {
                *registers &= !SCRATCHED;
            }
            _ => {}
        }
    }

    fn undo_load(&mut self, dst: Reg, step: &Step, depth: usize) {
        let bit = 1 << dst.number();
        if self.registers[depth] & bit == 0 {
            return;
        }
        self.registers[depth] &= !bit;
        if let Some(touched) = step.stack {
            self.slots[usize::from(touched.frame) % FRAMES] |= touched.slots();
        }
    }

    fn undo_store(&mut self, value: Option<Reg>, step: &Step, depth: usize) {
        let Some(touched) = step.stack else { return };
        let slots = &mut self.slots[usize::from(touched.frame) % FRAMES];
        if *slots & touched.slots() == 0 {
            return;
        }
        // A part of a slot leaves the rest.
        if touched.whole {
            *slots &= !touched.slots();
        }
        if let Some(value) = value {
            self.registers[depth] |= 1 << value.number();
        }
    }
}

impl Shelf {
    /// Goes back from the end of a way to the kept states before it, and marks there what is wanted.
    /// Returns whether that was news.
    pub(super) fn go_back(
        &mut self,
        code: &Code,
        history: &[Step],
        depth: usize,
        parent: Option<KeptId>,
        mut wanted: Wanted,
    ) -> bool {
        if wanted.is_empty() {
            return false;
        }
        let mut after = depth;
        for step in history.iter().rev() {
            wanted.undo(code, step, after);
            if wanted.is_empty() {
                return false;
            }
            after = step.depth.into();
        }
        let mut news = false;
        let mut at = parent;
        while let Some(id) = at {
            let kept = self.at_mut(id);
            news |= wanted.mark(kept);
            let mut after = kept.state.depth();
            for step in kept.history.iter().rev() {
                if wanted.is_empty() {
                    return news;
                }
                wanted.undo(code, step, after);
                after = step.depth.into();
            }
            at = kept.parent;
        }
        news
    }
}
