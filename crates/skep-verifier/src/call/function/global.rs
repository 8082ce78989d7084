//! Global functions: verified once, for all arguments that their prototype allows; a call only
//! has to pass such.

use std::rc::Rc;

use skep_isa::Reg;

use super::arguments::Argument;
use crate::{
    Rule,
    memory::Access,
    state::{DynptrKind, Frame, Kind, PointerFlags, Register},
    verifier::{Result, Verifier},
    walk::Next,
};

impl Verifier<'_> {
    /// Verifies the global functions that were called, and those that they call.
    pub(crate) fn verify_global_functions(&mut self) -> Result {
        if let Some(callback) = self.functions.exception_callback {
            self.functions.mark_called(callback as usize);
        }
        let mut last = 0;
        while let Some(function) = self.functions.next_to_verify(last) {
            last = function;
            self.enter_global(function)?;
            self.walk_paths()?;
        }
        Ok(())
    }

    /// Sets the state to the start of a global function, with arguments as its prototype says.
    fn enter_global(&mut self, function: usize) -> Result {
        let start = self.code.subprograms[function].start;
        self.start_at(start);
        let arguments = self.arguments_of(function)?;
        let number = u32::try_from(function).unwrap_or(u32::MAX);
        let mut frame = Frame::new(number, 0, 0);
        if self.functions.exception_callback == Some(number) {
            if *arguments != [Argument::Scalar] {
                return Err(self.reject(
                    Rule::ExceptionMisuse,
                    "an exception callback takes one number, the cookie that was thrown",
                ));
            }
            frame.exception_callback = true;
        }
        for (place, argument) in arguments.iter().enumerate() {
            frame.registers[place + 1] = self.argument_register(*argument);
        }
        self.state.frames.push(Rc::new(frame));
        Ok(())
    }

    /// What a function knows about an argument when it starts.
    pub(super) fn argument_register(&mut self, argument: Argument) -> Register {
        match argument {
            Argument::Context => Register::pointer(Kind::Context),
            // A caller may pass a number where an arena's address is meant.
            Argument::Scalar | Argument::Arena => Register::unknown(),
            Argument::Dynptr => {
                let mut register = Register::pointer(Kind::Dynptr {
                    kind: DynptrKind::Local,
                });
                register.id = self.new_id();
                register
            }
            Argument::Memory { size, nullable } => {
                let mut register = Register::pointer(Kind::Mem { size });
                if nullable {
                    register.flags |= PointerFlags::MAYBE_NULL;
                }
                register.id = self.new_id();
                register
            }
            Argument::UntrustedMemory => Register::pointer(Kind::Mem { size: 0 })
                .with(PointerFlags::READ_ONLY | PointerFlags::UNTRUSTED),
            Argument::Struct {
                of,
                nullable,
                trusted,
            } => {
                let mut register = Register::pointer(Kind::Btf(of));
                register.flags.set(PointerFlags::MAYBE_NULL, nullable);
                register.flags |= if trusted {
                    PointerFlags::TRUSTED
                } else {
                    PointerFlags::UNTRUSTED
                };
                register.id = self.new_id();
                register
            }
        }
    }

    /// Calls a global function: its arguments are checked, and it gives some number.
    pub(super) fn call_global(&mut self, callee: usize) -> Result<Next> {
        let held = self.state.held.iter().any(|held| held.kind.is_lock());
        if held {
            return Err(self
                .reject(
                    Rule::CallUnderLock,
                    format!(
                        "the global function {} is called while a lock is held",
                        self.code.subprograms[callee].title()
                    ),
                )
                .help("make it `static`: the verifier then follows it from each call"));
        }
        if !self.since(6, 15) && self.state.preempt > 0 {
            return Err(self.reject(
                Rule::UnbalancedSection,
                "a global function is called while preemption is off",
            ));
        }
        let effects = self.effects_of(callee);
        if effects.sleeps && self.since(6, 15) {
            let what = format!(
                "the global function {}",
                self.code.subprograms[callee].title()
            );
            self.check_may_sleep(&what)?;
        }
        let arguments = self.arguments_of(callee)?;
        for (place, argument) in arguments.iter().enumerate() {
            let number = u8::try_from(place + 1).unwrap_or(0);
            let Some(reg) = Reg::new(number) else {
                continue;
            };
            self.check_passed(callee, reg, *argument)?;
        }
        if effects.changes_packet {
            self.forget_packet();
        }
        self.functions.mark_called(callee);
        self.forget_caller_saved();
        *self.state.register_mut(Reg::R0) = Register::unknown();
        Ok(Next::Fall)
    }

    /// Checks that a register may be passed for an argument.
    fn check_passed(&mut self, callee: usize, reg: Reg, argument: Argument) -> Result {
        let wrong = |verifier: &Self, wanted: &str| {
            let name = verifier.code.subprograms[callee].title();
            let number = reg.number();
            Err(verifier
                .reject(
                    Rule::ArgumentType,
                    format!("argument {number} of {name} must be {wanted}"),
                )
                .of(reg))
        };
        let register = self.reg(reg);
        let fixed = register.offset == 0 && register.value.as_constant() == Some(0);
        match argument {
            Argument::Scalar if !register.is_scalar() => wrong(self, "a number"),
            Argument::Context if register.kind != Kind::Context || register.may_be_null() => {
                wrong(self, "the program's context")
            }
            Argument::Context if !fixed => wrong(self, "the context as the program got it"),
            Argument::Arena if !register.is_scalar() && register.kind != Kind::Arena => {
                wrong(self, "a pointer into an arena, or a number")
            }
            Argument::Scalar
            | Argument::Context
            | Argument::Arena
            | Argument::UntrustedMemory
            | Argument::Struct { trusted: false, .. } => {
                if register.kind == Kind::Uninit {
                    return wrong(self, "set before the call");
                }
                Ok(())
            }
            Argument::Dynptr => self.check_dynptr_argument(reg, None, false).map(drop),
            Argument::Memory { size, nullable } => {
                if register.is_null() {
                    return if nullable {
                        // Another number would be no null pointer.
                        self.mark_precise(reg)
                    } else {
                        wrong(self, "a pointer that is not null")
                    };
                }
                if register.may_be_null() && !nullable {
                    return wrong(self, "a pointer that is not null");
                }
                self.check_memory_passed(reg, size)
            }
            Argument::Struct { of, nullable, .. } => {
                if register.is_null() && nullable {
                    return self.mark_precise(reg);
                }
                if register.may_be_null() && !nullable {
                    return wrong(self, "a pointer that is not null");
                }
                let flags = register.flags - PointerFlags::MAYBE_NULL;
                let sound = [
                    PointerFlags::empty(),
                    PointerFlags::TRUSTED,
                    PointerFlags::RCU,
                ];
                let offset = u32::try_from(register.offset);
                let fits = matches!((register.kind, offset), (Kind::Btf(found), Ok(offset))
                    if self.is_struct(found, offset, self.struct_name(of), false));
                let constant = register.value.as_constant() == Some(0);
                if !fits || !constant || !sound.contains(&flags) {
                    return wrong(self, "a trusted pointer to the structure of its type");
                }
                Ok(())
            }
        }
    }

    /// Checks that a register points to memory that a function may read and write.
    fn check_memory_passed(&mut self, reg: Reg, size: u32) -> Result {
        let flags = self.reg(reg).flags;
        let size = Register::constant(size.into());
        self.state.register_mut(reg).flags = flags - PointerFlags::MAYBE_NULL;
        self.check_region(reg, &size, Access::Read, false, false)?;
        self.check_region(reg, &size, Access::Write, false, false)?;
        self.state.register_mut(reg).flags = flags;
        Ok(())
    }
}
