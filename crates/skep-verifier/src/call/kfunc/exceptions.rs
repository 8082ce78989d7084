//! Exceptions: `bpf_throw` leaves all frames at once, so that nothing may be held, and nobody may
//! wait for a callback to return.

use skep_isa::{CallTarget, Insn, Reg};

use super::Special;
use crate::{
    Rejection, Rule,
    call::Leaving,
    setup::callee,
    state::BtfSource,
    verifier::{Result, Verifier},
};

impl Verifier<'_> {
    /// `bpf_throw`. Without a function that catches exceptions, its argument is what the program
    /// returns.
    pub(super) fn throw(&mut self) -> Result {
        if self.functions.exception_callback.is_none() {
            self.check_return_value(Reg::R1)?;
        }
        self.check_nothing_held(Leaving::Exception)
    }

    /// Checks that no callback throws, nor a function that it calls. Known when all paths were
    /// followed, which tells what is called back.
    pub(crate) fn check_throws(&self) -> Result {
        let mut throws = self
            .kernel_functions
            .iter()
            .filter(|(_, function)| function.special == Special::Throw)
            .map(|((_, id), _)| *id);
        let Some(throw) = throws.next() else {
            return Ok(());
        };
        let functions = &self.code.subprograms;
        let catcher = self.functions.exception_callback;
        let mut reached: Vec<bool> = (0_u32..)
            .zip(functions)
            .map(|(index, function)| function.callback || catcher == Some(index))
            .collect();
        let mut open: Vec<usize> = (0..functions.len()).filter(|one| reached[*one]).collect();
        while let Some(function) = open.pop() {
            for slot in functions[function].start..functions[function].end {
                let Some(Some(insn)) = self.code.insns.get(slot) else {
                    continue;
                };
                if self.is_throw(insn, slot, throw) {
                    let message = format!(
                        "an exception is thrown in {}, which a callback calls or is: who called it back would never get an answer",
                        functions[function].title()
                    );
                    return Err(Rejection::new(Rule::ExceptionMisuse, message).at(slot));
                }
                if let Some(start) = callee(slot, insn) {
                    let called = self.code.subprogram_at(start);
                    if !reached[called] {
                        reached[called] = true;
                        open.push(called);
                    }
                }
            }
        }
        Ok(())
    }

    fn is_throw(&self, insn: &Insn, slot: usize, throw: u32) -> bool {
        matches!(insn, Insn::Call(CallTarget::Kfunc { btf_id, .. }) if *btf_id == throw)
            && self
                .kernel_functions
                .contains_key(&(BtfSource::Kernel, throw))
            && !self
                .program
                .modules
                .iter()
                .any(|(insn, _)| insn.as_usize() == slot)
    }
}
