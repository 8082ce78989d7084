//! `exit`: what must be given back, what may be returned, and where the path goes on.

use skep_abi::{AttachType, LsmHook, ProgramType, ReturnRule};
use skep_btf::Kind as TypeKind;
use skep_isa::Reg;

use crate::{
    Rule, Tnum,
    state::{BtfRef, CallbackKind, HeldKind, Id, Kind, State},
    verifier::{Result, Verifier},
    walk::Next,
};

/// How a program is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leaving {
    /// By `exit`.
    Exit,
    /// By an exception, from all frames at once.
    Exception,
}

impl Verifier<'_> {
    /// `exit`: back to the caller, or the end of the program.
    pub(crate) fn exit(&mut self) -> Result<Next> {
        self.check_nothing_held(Leaving::Exit)?;
        if self.state.depth() > 0 {
            return self.return_to_caller();
        }
        self.check_return_value(Reg::R0)?;
        Ok(Next::End)
    }

    /// Checks that what must be given back before the program ends is. Functions that return to
    /// a caller may leave that to it.
    pub(crate) fn check_nothing_held(&self, leaving: Leaving) -> Result {
        if leaving == Leaving::Exit && self.state.depth() > 0 {
            return Ok(());
        }
        let end = match leaving {
            Leaving::Exit => "when the program ends",
            Leaving::Exception => "when an exception is thrown",
        };
        let lock = self.state.held.iter().find(|held| held.kind.is_lock());
        if let Some(lock) = lock {
            return Err(self
                .reject(
                    Rule::LockMisuse,
                    format!(
                        "the lock that was taken at instruction {} is still held {end}",
                        lock.insn
                    ),
                )
                .help("release it on every path"));
        }
        let returned = self.returned_reference(leaving);
        let leaked = self
            .state
            .held
            .iter()
            .find(|held| held.kind == HeldKind::Reference && held.id != returned);
        if let Some(leaked) = leaked {
            return Err(self.reject(
                Rule::ReferenceLeak,
                format!(
                    "the reference that was got at instruction {} is still held {end}",
                    leaked.insn
                ),
            ));
        }
        let section = if self.state.irq.is_some() {
            Some("interrupts are still off")
        } else if self.state.rcu > 0 {
            Some("an RCU section is still open")
        } else if self.state.preempt > 0 {
            Some("preemption is still off")
        } else {
            None
        };
        match section {
            Some(section) => Err(self.reject(Rule::UnbalancedSection, format!("{section} {end}"))),
            None => Ok(()),
        }
    }

    /// The reference that a struct_ops program gives to its caller by returning it.
    fn returned_reference(&self, leaving: Leaving) -> Id {
        if leaving == Leaving::Exit
            && self.program.program_type == ProgramType::StructOps
            && self.since(6, 15)
        {
            self.reg(Reg::R0).reference
        } else {
            Id::NONE
        }
    }

    /// The end of a function with a caller: R0 is the result, and its stack is gone.
    fn return_to_caller(&mut self) -> Result<Next> {
        if matches!(self.reg(Reg::R0).kind, Kind::Stack { .. }) {
            return Err(self
                .reject(
                    Rule::StackOutOfBounds,
                    "the function returns a pointer to the stack, of which its frame ends here",
                )
                .of(Reg::R0)
                .help("let the caller pass a pointer to memory of its own"));
        }
        if self.state.frame().callback == Some(CallbackKind::Synchronous) {
            let (least, most) = self.state.frame().callback_returns;
            self.check_returned(Reg::R0, least, most, false, "a callback")?;
            let frame = self.state.frames.pop();
            let site = frame.map_or(0, |frame| frame.call_site);
            // The next round is followed with less, so that the rounds come to an end.
            let mut state = std::mem::replace(&mut self.state, State::empty());
            self.widen_from_previous(site, &mut state);
            self.state = state;
            return Ok(Next::Goto(site));
        }
        let result = self.reg(Reg::R0).clone();
        let frame = self.state.frames.pop();
        *self.state.register_mut(Reg::R0) = result;
        let site = frame.map_or(0, |frame| frame.call_site);
        Ok(Next::Goto(site.saturating_add(1)))
    }

    /// Checks what the program, a global function or an asynchronous callback returns: R0, or what an
    /// exception makes the result.
    pub(crate) fn check_return_value(&mut self, reg: Reg) -> Result {
        // An exception leaves all frames, so that the first one says whose result it is.
        let frame = self.state.frames.first();
        let is_program =
            frame.is_none_or(|frame| frame.subprogram == 0 || frame.exception_callback);
        let callback = frame.and_then(|frame| {
            let returns = frame.callback_returns;
            frame.callback.map(|_| returns)
        });
        let rule = self
            .effective_type()
            .returns(self.program.attach_type, self.kernel());
        if is_program && rule == ReturnRule::ByTarget && self.target_returns_void() {
            return Ok(());
        }
        if is_program && reg == Reg::R0 && self.is_struct_returned() {
            return Ok(());
        }
        let value = self.reg(reg);
        match value.kind {
            Kind::Uninit => {
                return Err(self
                    .reject(
                        Rule::UninitialisedRegister,
                        format!("{reg}, which is returned, was never set"),
                    )
                    .of(reg));
            }
            Kind::Scalar => {}
            _ if !self.options.perfmon => {
                return Err(self
                    .reject(Rule::PointerLeak, "the program returns a kernel address")
                    .of(reg));
            }
            _ => {}
        }
        if let Some((least, most)) = callback {
            return self.check_returned(reg, least, most, false, "an asynchronous callback");
        }
        if !is_program {
            if !value.is_scalar() {
                return Err(self
                    .reject(
                        Rule::GlobalFunction,
                        "a global function returns a pointer, and may only return a number",
                    )
                    .of(reg));
            }
            return Ok(());
        }
        let (least, most, low_half) = match rule {
            ReturnRule::Any => return Ok(()),
            ReturnRule::Range(least, most) => (least, most, false),
            _ => match self.program.program_type {
                ProgramType::Lsm if self.program.attach_type == Some(AttachType::LsmCgroup) => {
                    (if self.attach.returns_void { 1 } else { 0 }, 1, false)
                }
                ProgramType::Lsm => {
                    match LsmHook::of_function(&self.attach.name).map(LsmHook::returns) {
                        Some(ReturnRule::Range(least, most)) => (least, most, true),
                        _ => return Ok(()),
                    }
                }
                // A member that gives a structure gives it, or null.
                ProgramType::StructOps if self.returned_struct().is_some() => (0, 0, false),
                _ => return Ok(()),
            },
        };
        self.check_returned(reg, least.into(), most.into(), low_half, "the program")?;
        if self.effective_type() == ProgramType::CgroupSkb
            && self.program.attach_type == Some(AttachType::CgroupInetEgress)
        {
            // As bits, so that what is known as a range alone is not known here.
            let of_egress = Tnum::range(2, 3);
            self.only_as_loaded |= self.reg(reg).value.bits.is_subset_of(of_egress);
        }
        Ok(())
    }

    /// The structure that a struct_ops member gives a pointer to.
    fn returned_struct(&self) -> Option<BtfRef> {
        if self.program.program_type != ProgramType::StructOps || !self.since(6, 15) {
            return None;
        }
        let btf = self.btf(self.attach.btf)?;
        let found = btf.type_by_id(self.attach.prototype?).ok()?;
        let TypeKind::FunctionPrototype(prototype) = found.kind() else {
            return None;
        };
        let TypeKind::Pointer { target } = btf.skip_modifiers(prototype.return_type).ok()?.kind()
        else {
            return None;
        };
        let target = btf.skip_modifiers(target).ok()?;
        matches!(target.kind(), TypeKind::Struct(_)).then(|| BtfRef {
            btf: self.attach.btf,
            type_id: target.id(),
        })
    }

    /// Whether R0 is a reference to the structure that a struct_ops member gives.
    fn is_struct_returned(&self) -> bool {
        let value = self.reg(Reg::R0);
        let Some(wanted) = self.returned_struct() else {
            return false;
        };
        value.kind == Kind::Btf(wanted)
            && value.reference.is_some()
            && !value.may_be_null()
            && value.offset == 0
            && value.value.as_constant() == Some(0)
    }

    /// Whether the hook is a function without a result.
    fn target_returns_void(&self) -> bool {
        self.attach.returns_void && self.program.attach_type != Some(AttachType::LsmCgroup)
    }

    /// Checks that a register that is returned is a number in a range; of `low_half`: as an `int`.
    fn check_returned(
        &mut self,
        reg: Reg,
        least: i64,
        most: i64,
        low_half: bool,
        who: &str,
    ) -> Result {
        if !self.reg(reg).is_scalar() {
            return Err(self
                .reject(
                    Rule::ReturnValue,
                    format!(
                        "{who} must return a number from {least} to {most}, and {reg} holds none"
                    ),
                )
                .of(reg));
        }
        self.mark_precise(reg)?;
        let value = self.reg(reg).value;
        let (low, high) = if low_half {
            (i64::from(value.s32_min), i64::from(value.s32_max))
        } else {
            (value.smin, value.smax)
        };
        if least <= low && high <= most {
            return Ok(());
        }
        let wanted = if least == most {
            format!("{least}")
        } else {
            format!("a number from {least} to {most}")
        };
        let found = if low == high {
            format!("{reg} is {low}")
        } else if (low, high) == (i64::MIN, i64::MAX) {
            format!("{reg} may be anything")
        } else {
            format!("{reg} may be from {low} to {high}")
        };
        Err(self
            .reject(
                Rule::ReturnValue,
                format!("{who} must return {wanted}, and {found}"),
            )
            .of(reg))
    }
}
