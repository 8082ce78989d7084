//! Where paths begin: the program itself with its context, and each global function that it calls
//! with what its prototype says.

use std::rc::Rc;

use skep_isa::Reg;

use crate::{
    state::{Frame, Kind, Register, State},
    verifier::{Result, Verifier},
};

impl Verifier<'_> {
    /// Sets the state to the start of the program: its context in R1.
    pub(crate) fn enter_program(&mut self) -> Result {
        let mut frame = Frame::new(0, 0, 0);
        frame.registers[usize::from(Reg::R1.number())] = Register::pointer(Kind::Context);
        self.start_at(0);
        self.state.frames.push(Rc::new(frame));
        Ok(())
    }

    /// Goes to where a function begins that nothing calls, without a frame yet.
    pub(super) fn start_at(&mut self, slot: usize) {
        self.state = State {
            in_sleepable: self.program.is_sleepable(),
            ..State::empty()
        };
        self.insn = slot;
        self.previous = slot;
    }
}
