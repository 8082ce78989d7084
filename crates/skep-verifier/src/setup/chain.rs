//! Chains of calls: how deep they nest, and whether their frames fit the stack. Known only when all
//! paths were followed, since that tells how much stack each function uses.

use skep_abi::{AttachType, KernelVersion, ProgramType};
use skep_isa::{CallTarget, Insn};

use super::flow;
use crate::{
    Rejection, Rule,
    verifier::{Result, Verifier},
};

/// Bytes of a program's stack (`MAX_BPF_STACK`).
const STACK: u32 = 512;
/// The most that those have used who call a function that makes tail calls.
const BEFORE_TAIL_CALLS: u32 = 256;
/// The most functions in a chain (`MAX_CALL_FRAMES`).
const MOST_FRAMES: usize = 8;
/// The least that a function uses to get a stack of its own (`BPF_PRIV_STACK_MIN_SIZE`).
const OWN_STACK: u32 = 64;
/// `bpf_tail_call`.
const TAIL_CALL: u32 = 12;

/// Where a function's frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Frames {
    /// Not yet known.
    Open,
    /// With those of its callers.
    Shared,
    /// On a stack that is private to the program.
    Private,
}

/// One call that is being looked into.
struct Call {
    function: usize,
    /// The slot to go on at.
    slot: usize,
    /// Bytes used with this function's.
    depth: u32,
}

impl Verifier<'_> {
    /// Checks all chains of calls.
    pub(crate) fn check_call_chains(&self) -> Result {
        let functions = &self.code.subprograms;
        let private =
            self.has_private_stacks() && !functions.iter().any(|one| self.tail_calls(one));
        let mut frames = vec![Frames::Open; functions.len()];
        // Functions that also run as callbacks of timers stay on the kernel's stack: those first.
        let catcher = self.exception_callback();
        for (root, function) in functions.iter().enumerate().rev() {
            if root == 0 || function.async_callback || catcher == Some(root) {
                self.check_chain(root, private && root == 0, &mut frames)?;
            }
        }
        Ok(())
    }

    fn check_chain(&self, root: usize, private: bool, frames: &mut [Frames]) -> Result {
        let functions = &self.code.subprograms;
        let mut chain: Vec<Call> = Vec::with_capacity(MOST_FRAMES);
        let mut entering = Some((root, 0));
        // Each function is looked into once for each depth that it is reached with, so that chains
        // that meet again and again cost no more than that.
        let mut seen = std::collections::HashSet::new();
        loop {
            if let Some((function, before)) = entering.take() {
                let depth = self.enter(function, root, before, private, frames)?;
                if seen.insert((function, depth, chain.len())) {
                    chain.push(Call {
                        function,
                        slot: functions[function].start,
                        depth,
                    });
                }
            }
            let frame_count = chain.len();
            let Some(call) = chain.last_mut() else {
                return Ok(());
            };
            let end = functions[call.function].end;
            while call.slot < end {
                let slot = call.slot;
                call.slot += 1;
                let Some(insn) = self.code.insns.get(slot).and_then(Option::as_ref) else {
                    continue;
                };
                let Some(start) = flow::callee(slot, insn) else {
                    continue;
                };
                let called = self.code.subprogram_at(start);
                let direct = matches!(insn, Insn::Call(_));
                let catches = self.exception_callback() == Some(called);
                if (functions[called].async_callback || catches) && !direct {
                    continue;
                }
                // Where no path leads, too.
                if catches {
                    let message =
                        "the exception callback is called, and only the kernel may do that";
                    return Err(Rejection::new(Rule::ExceptionMisuse, message).at(slot));
                }
                if frame_count >= MOST_FRAMES {
                    let message = format!(
                        "calls nest deeper than the {MOST_FRAMES} functions that the kernel takes"
                    );
                    let rejection = Rejection::new(Rule::CallTooDeep, message).at(slot);
                    return Err(rejection);
                }
                entering = Some((called, call.depth));
                break;
            }
            if entering.is_none() {
                chain.pop();
            }
        }
    }

    /// Bytes of stack in a function whose callers use `before`.
    fn enter(
        &self,
        index: usize,
        root: usize,
        before: u32,
        private: bool,
        frames: &mut [Frames],
    ) -> Result<u32> {
        let function = &self.code.subprograms[index];
        if index != 0 && before >= BEFORE_TAIL_CALLS && self.tail_calls(function) {
            let message = format!(
                "{} makes tail calls, and those who call it already use {before} bytes of stack; \
                 less than {BEFORE_TAIL_CALLS} are allowed",
                function.title()
            );
            return Err(Rejection::new(Rule::StackOverflow, message).at(function.start));
        }
        let own = function.stack.next_multiple_of(16);
        if !private {
            frames[index] = Frames::Shared;
        } else if frames[index] == Frames::Open && own >= OWN_STACK {
            frames[index] = Frames::Private;
        }
        let depth = if frames[index] == Frames::Private {
            before
        } else {
            before.saturating_add(own)
        };
        if own.max(depth) > STACK {
            let message = if index == root {
                format!(
                    "{} uses {own} bytes of stack, and there are {STACK}",
                    function.title()
                )
            } else {
                format!(
                    "the functions that call each other down to {} use {} bytes of stack, and \
                     there are {STACK}",
                    function.title(),
                    own.max(depth)
                )
            };
            return Err(Rejection::new(Rule::StackOverflow, message).at(function.start));
        }
        Ok(depth)
    }

    /// The function that catches the program's exceptions.
    fn exception_callback(&self) -> Option<usize> {
        self.functions
            .exception_callback
            .map(|found| found as usize)
    }

    fn tail_calls(&self, function: &super::Subprogram) -> bool {
        self.code
            .insns
            .get(function.start..function.end)
            .unwrap_or_default()
            .contains(&Some(Insn::Call(CallTarget::Helper(TAIL_CALL))))
    }

    /// Whether functions of this program get stacks of their own (since 6.13, where the JIT can).
    fn has_private_stacks(&self) -> bool {
        if self.target.version < KernelVersion::new(6, 13) {
            return false;
        }
        match self.program.program_type {
            ProgramType::Kprobe
            | ProgramType::Tracepoint
            | ProgramType::PerfEvent
            | ProgramType::RawTracepoint => true,
            ProgramType::Tracing => self.program.attach_type != Some(AttachType::TraceIter),
            _ => false,
        }
    }
}
