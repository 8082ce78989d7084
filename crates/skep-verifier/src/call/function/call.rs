//! Calls of the program's own functions.

use std::rc::Rc;

use skep_abi::limits;

use crate::{
    Rule,
    state::{Frame, Register},
    verifier::{Result, Verifier},
    walk::Next,
};

impl Verifier<'_> {
    /// Calls the function that begins at a slot.
    pub(crate) fn call_subprogram(&mut self, start: usize) -> Result<Next> {
        let callee = self.code.subprogram_at(start);
        if self.code.subprograms.get(callee).map(|found| found.start) != Some(start) {
            return Err(self.reject(
                Rule::JumpOutOfRange,
                format!("no function begins at instruction {start}"),
            ));
        }
        if self.code.subprograms[callee].global {
            self.call_global(callee)
        } else {
            self.call_static(callee)
        }
    }

    /// Goes into a function, with the caller's R1 to R5 as its arguments.
    fn call_static(&mut self, callee: usize) -> Result<Next> {
        let mut frame = self.new_frame(callee)?;
        frame.registers[1..=5].clone_from_slice(&self.state.frame().registers[1..=5]);
        self.forget_caller_saved();
        self.state.frames.push(Rc::new(frame));
        Ok(Next::Goto(self.code.subprograms[callee].start))
    }

    /// A frame for a function that is called here.
    pub(super) fn new_frame(&self, callee: usize) -> Result<Frame> {
        let depth = self.state.frames.len();
        let most = limits::call_frames(self.kernel()) as usize;
        if depth >= most {
            return Err(self.reject(
                Rule::CallTooDeep,
                format!("calls are nested {depth} deep here, and the kernel takes no more than {most} frames"),
            ));
        }
        let callee = u32::try_from(callee).unwrap_or(u32::MAX);
        Ok(Frame::new(
            callee,
            self.insn,
            u8::try_from(depth).unwrap_or(u8::MAX),
        ))
    }

    /// Forgets what a call leaves undefined: R0 to R5.
    pub(crate) fn forget_caller_saved(&mut self) {
        for register in &mut self.state.frame_mut().registers[..=5] {
            *register = Register::UNINIT;
        }
    }
}
