//! Callbacks: functions of the program that helpers and kernel functions call, at once and as often
//! as they like, or later.

use std::rc::Rc;

use crate::{
    Rule,
    state::{CallbackKind, Frame, Register, State},
    verifier::{Result, Verifier},
};

/// A function that is called back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Callback {
    /// The subprogram.
    pub(crate) subprogram: u32,
    /// When it runs.
    pub(crate) kind: CallbackKind,
    /// What it may return, ends included.
    pub(crate) returns: (i64, i64),
    /// Of one that runs later: whether it may sleep.
    pub(crate) may_sleep: bool,
}

impl Callback {
    /// One that is called before the helper returns, and says by 0 or 1 whether to go on.
    pub(crate) fn now(subprogram: u32) -> Self {
        Self {
            subprogram,
            kind: CallbackKind::Synchronous,
            returns: (0, 1),
            may_sleep: false,
        }
    }

    /// One that runs later and returns 0.
    pub(crate) fn later(subprogram: u32) -> Self {
        Self {
            subprogram,
            kind: CallbackKind::Asynchronous,
            returns: (0, 0),
            may_sleep: false,
        }
    }

    /// The same in a context that may sleep.
    pub(crate) fn sleeping(mut self, may_sleep: bool) -> Self {
        self.may_sleep = may_sleep;
        self
    }
}

impl Verifier<'_> {
    /// Has a callback followed, from the call where the verification stands. `set_up` gets the
    /// registers of the caller, before what the call does to them, and sets those of the callback:
    /// all but R10 are undefined before.
    ///
    /// A synchronous callback returns to the call itself, which is then verified again: it pushes
    /// the callback again, until states converge, and goes on behind the call as if the callback was
    /// called no more. An asynchronous one starts without anything that its caller holds.
    pub(crate) fn push_callback(
        &mut self,
        callback: Callback,
        set_up: impl FnOnce(&[Register; 11], &mut [Register; 11]),
    ) -> Result {
        let subprogram = callback.subprogram as usize;
        let Some(start) = self
            .code
            .subprograms
            .get(subprogram)
            .map(|found| found.start)
        else {
            return Err(self.reject(Rule::CallbackMisuse, "what is called back is no function"));
        };
        if self.functions.exception_callback == Some(callback.subprogram) {
            return Err(self.reject(
                Rule::ExceptionMisuse,
                "the exception callback is called back by another than the kernel's exceptions",
            ));
        }
        if let Some(called) = self.code.subprograms.get_mut(subprogram) {
            called.callback = true;
            called.async_callback |= callback.kind == CallbackKind::Asynchronous;
        }
        match callback.kind {
            CallbackKind::Synchronous => {
                let mut frame = self.new_frame(subprogram)?;
                set_up(&self.state.frame().registers, &mut frame.registers);
                frame.callback = Some(callback.kind);
                frame.callback_returns = callback.returns;
                let state = self.push(start)?;
                state.callback_depth += 1;
                state.frame_mut().callback_depth += 1;
                state.frames.push(Rc::new(frame));
                self.state.frame_mut().callback_depth = 0;
            }
            CallbackKind::Asynchronous => {
                let mut frame = Frame::new(callback.subprogram, self.insn, 0);
                set_up(&self.state.frame().registers, &mut frame.registers);
                frame.callback = Some(callback.kind);
                frame.callback_returns = callback.returns;
                frame.async_entry = self.state.frame().async_entry.saturating_add(1);
                // Before 6.18, what sleepable programs start may sleep as well.
                let may_sleep =
                    callback.may_sleep || (self.program.is_sleepable() && !self.since(6, 18));
                let state = State {
                    frames: vec![Rc::new(frame)],
                    in_async_callback: true,
                    in_sleepable: may_sleep,
                    ..State::empty()
                };
                self.push_apart(start, state)?;
            }
        }
        Ok(())
    }
}
