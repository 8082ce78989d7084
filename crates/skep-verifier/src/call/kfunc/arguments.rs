//! Arguments of kernel functions, as their types and suffixes ask.

use skep_abi::KfuncFlags;
use skep_isa::Reg;

use super::{
    ARGUMENTS, Call, Special,
    descriptor::{ParameterKind, Pointee},
};
use crate::{
    Rule,
    memory::{Access, words},
    state::{DynptrKind, FieldKind, Kind, PointerFlags, Register},
    verifier::{Result, Verifier},
};

impl Verifier<'_> {
    /// Checks the arguments of a call.
    pub(super) fn check_kernel_arguments(&mut self, call: &mut Call) -> Result {
        let function = std::rc::Rc::clone(&call.function);
        let mut parameters = function.parameters.iter().zip(ARGUMENTS).enumerate();
        while let Some((index, (parameter, reg))) = parameters.next() {
            let register = match parameter.kind {
                ParameterKind::Ignored => continue,
                _ => self.read(reg)?.clone(),
            };
            match parameter.kind {
                ParameterKind::Scalar {
                    constant,
                    result_size,
                } => {
                    self.scalar_argument(call, reg, &register, constant, result_size)?;
                    continue;
                }
                ParameterKind::Size { constant } => {
                    self.scalar_argument(call, reg, &register, constant, None)?;
                    continue;
                }
                ParameterKind::Unsupported => {
                    return Err(self
                        .reject(
                            Rule::UnknownKfunc,
                            format!("no program can pass what {} takes in {reg}", function.name),
                        )
                        .of(reg));
                }
                _ => {}
            }
            let null = register.is_null();
            let strict = function.trusts_arguments() || function.is(KfuncFlags::RCU);
            if strict && !parameter.nullable && (null || register.may_be_null()) {
                return Err(self
                    .reject(
                        Rule::PointerOrNull,
                        format!("{reg} of {} may not be null", function.name),
                    )
                    .of(reg)
                    .help("test it first: `if (!pointer) return 0;`"));
            }
            if register.reference.is_some() {
                call.reference = register.reference;
                if function.is(KfuncFlags::RELEASE) {
                    call.released = Some(reg);
                }
            }
            let next = function.parameters.get(index + 1).map(|next| next.kind);
            if parameter.nullable && null && !matches!(next, Some(ParameterKind::Size { .. })) {
                continue;
            }
            self.check_trust(call, parameter.kind, reg, &register)?;
            self.check_kernel_offset(call, reg, &register)?;
            if let ParameterKind::Pointer(pointee) = parameter.kind
                && let Some(pair) = self.plain_pointer(call, pointee, reg, &register)?
            {
                let constant = matches!(next, Some(ParameterKind::Size { constant: true }));
                self.sized_memory(call, reg, pair, constant, parameter.nullable)?;
                parameters.next();
                continue;
            }
            self.special_kernel_argument(call, parameter.kind, parameter.uninit, reg, &register)?;
        }
        if function.is(KfuncFlags::RELEASE) && call.released.is_none() {
            return Err(self.reject(
                Rule::ReferenceRelease,
                format!(
                    "{} gives a reference back, and none is passed",
                    function.name
                ),
            ));
        }
        Ok(())
    }

    fn scalar_argument(
        &mut self,
        call: &mut Call,
        reg: Reg,
        register: &Register,
        constant: bool,
        result_size: Option<bool>,
    ) -> Result {
        if !register.is_scalar() {
            return Err(self.wrong_kind(call, reg, register, "a number"));
        }
        if !constant && result_size.is_none() {
            return Ok(());
        }
        let Some(value) = register.as_constant() else {
            return Err(self
                .reject(
                    Rule::ArgumentConstant,
                    format!("{reg} of {} must be a constant", call.function.name),
                )
                .of(reg));
        };
        self.mark_precise(reg)?;
        if constant {
            call.constant = Some(value);
        }
        if let Some(read_only) = result_size {
            if value > u64::from(u32::MAX) {
                return Err(self
                    .reject(
                        Rule::ArgumentSize,
                        format!(
                            "{value} bytes are more than {} can give",
                            call.function.name
                        ),
                    )
                    .of(reg));
            }
            call.result_size = Some((value, read_only));
        }
        Ok(())
    }

    /// Checks that a pointer has no offset that its kind forbids as an argument.
    fn check_kernel_offset(&self, call: &Call, reg: Reg, register: &Register) -> Result {
        let released = call.released == Some(reg);
        let offset = register.offset != 0;
        let varies = register.is_pointer() && register.value.as_constant() != Some(0);
        let fine = match register.kind {
            _ if released => !offset && !varies,
            Kind::Stack { .. }
            | Kind::Packet
            | Kind::PacketMeta
            | Kind::MapKey { .. }
            | Kind::MapValue { .. }
            | Kind::Mem { .. }
            | Kind::Buffer
            | Kind::Arena
            | Kind::Scalar => true,
            Kind::Btf(_) => !varies && register.offset >= 0,
            _ => !offset && !varies,
        };
        if fine {
            return Ok(());
        }
        Err(self
            .reject(
                Rule::ArgumentType,
                format!(
                    "{reg} of {} must point to the start of {}",
                    call.function.name,
                    words::kind(register)
                ),
            )
            .of(reg))
    }

    /// Checks a pointer to a structure or memory. Gives the register of the size that belongs to it, if
    /// one does.
    fn plain_pointer(
        &mut self,
        call: &mut Call,
        pointee: Pointee,
        reg: Reg,
        register: &Register,
    ) -> Result<Option<Reg>> {
        if self.is_structure_like(register) {
            if !pointee.is_struct {
                return Err(self.wrong_kind(call, reg, register, "memory"));
            }
            self.structure_argument(call, pointee.of, reg, register)?;
            return Ok(None);
        }
        if !pointee.is_memory {
            let wanted = match self.struct_name(pointee.of) {
                "" => "a kernel structure".to_owned(),
                name => format!("a `struct {name}`"),
            };
            return Err(self.wrong_kind(call, reg, register, &wanted));
        }
        if pointee.sized {
            let size = ARGUMENTS.get(usize::from(reg.number())).copied();
            return Ok(size);
        }
        let Some(size) = pointee.size else {
            return Err(self.wrong_kind(call, reg, register, "memory of a known size"));
        };
        if register.is_null() {
            return Ok(None);
        }
        let size = Register::constant(size.into());
        self.with_nonnull(reg, |this| {
            this.check_region(reg, &size, Access::Read, true, false)?;
            this.check_region(reg, &size, Access::Write, true, false)
        })?;
        Ok(None)
    }

    /// Checks memory with its size in the next register.
    fn sized_memory(
        &mut self,
        call: &mut Call,
        reg: Reg,
        size_reg: Reg,
        constant: bool,
        nullable: bool,
    ) -> Result {
        let size = self.read(size_reg)?.clone();
        if !size.is_scalar() {
            return Err(self.wrong_kind(call, size_reg, &size, "a size"));
        }
        if constant {
            if size.as_constant().is_none() {
                return Err(self
                    .reject(
                        Rule::ArgumentConstant,
                        format!("{size_reg} of {} must be a constant", call.function.name),
                    )
                    .of(size_reg));
            }
            self.mark_precise(size_reg)?;
            call.constant = size.as_constant();
        }
        if self.reg(reg).is_null() && nullable {
            return Ok(());
        }
        self.with_nonnull(reg, |this| {
            this.check_region(reg, &size, Access::Read, true, false)?;
            this.check_region(reg, &size, Access::Write, true, false)
        })?;
        self.mark_precise(size_reg)
    }

    /// Runs a check as if the pointer in a register was tested: functions without flags test it
    /// themselves.
    fn with_nonnull(&mut self, reg: Reg, check: impl FnOnce(&mut Self) -> Result) -> Result {
        let may_be_null = self.reg(reg).may_be_null();
        if !may_be_null {
            return check(self);
        }
        self.state.register_mut(reg).flags -= PointerFlags::MAYBE_NULL;
        check(self)?;
        self.state.register_mut(reg).flags |= PointerFlags::MAYBE_NULL;
        Ok(())
    }

    fn special_kernel_argument(
        &mut self,
        call: &mut Call,
        kind: ParameterKind,
        uninit: bool,
        reg: Reg,
        register: &Register,
    ) -> Result {
        match kind {
            ParameterKind::Context => {
                if register.kind == Kind::Context {
                    Ok(())
                } else {
                    Err(self.wrong_kind(call, reg, register, "the context"))
                }
            }
            ParameterKind::Dynptr => self.kernel_dynptr(call, uninit, reg, register),
            ParameterKind::Iterator { of, slots } => {
                if call.function.special == Special::CssTaskNew {
                    self.check_css_task()?;
                }
                let place = self.kernel_iterator(&call.function, of, slots, reg)?;
                call.iterator = Some(place);
                if !call.function.is(KfuncFlags::ITER_NEW) {
                    call.reference = self.iterator_reference(place);
                }
                Ok(())
            }
            ParameterKind::ConstantString => self.check_constant_string(reg),
            ParameterKind::Map => self.kernel_map(call, reg, register),
            ParameterKind::Workqueue => {
                self.async_field(call, reg, register, "struct bpf_wq", |kind| {
                    matches!(kind, FieldKind::Workqueue)
                })
            }
            ParameterKind::TaskWork => {
                self.async_field(call, reg, register, "struct bpf_task_work", |kind| {
                    matches!(kind, FieldKind::TaskWork)
                })
            }
            ParameterKind::Timer => {
                self.async_field(call, reg, register, "struct bpf_timer", |kind| {
                    matches!(kind, FieldKind::Timer)
                })
            }
            ParameterKind::Callback => match register.kind {
                Kind::Function { subprogram } => {
                    call.callback = Some(subprogram);
                    Ok(())
                }
                _ => Err(self.wrong_kind(call, reg, register, "a function of the program")),
            },
            ParameterKind::IrqFlag => self.irq_argument(&call.function, reg),
            ParameterKind::ResilientLock => self.resilient_lock(&call.function, reg, register),
            ParameterKind::Allocated
            | ParameterKind::Refcounted
            | ParameterKind::ListHead
            | ParameterKind::ListNode
            | ParameterKind::TreeRoot
            | ParameterKind::TreeNode => self.object_argument(call, kind, reg, register),
            ParameterKind::Ignored
            | ParameterKind::Scalar { .. }
            | ParameterKind::Size { .. }
            | ParameterKind::Pointer(_)
            | ParameterKind::Unsupported => Ok(()),
        }
    }

    fn kernel_dynptr(
        &mut self,
        call: &mut Call,
        uninit: bool,
        reg: Reg,
        register: &Register,
    ) -> Result {
        if !uninit {
            // What a function was given it may read through, but not end.
            let mutable = call.function.special == Special::DynptrFileDiscard;
            let dynptr = self.check_dynptr_argument(reg, None, mutable)?;
            call.dynptr = Some(dynptr);
            return Ok(());
        }
        let kind = match call.function.special {
            Special::DynptrFromSkb => DynptrKind::Skb,
            Special::DynptrFromSkbMeta => DynptrKind::SkbMeta,
            Special::DynptrFromXdp => DynptrKind::Xdp,
            Special::DynptrFromFile => DynptrKind::File,
            Special::DynptrClone => match call.dynptr {
                Some(parent) => parent.kind,
                None => return Err(self.wrong_kind(call, reg, register, "a dynptr")),
            },
            _ => return Err(self.wrong_kind(call, reg, register, "a dynptr")),
        };
        let place = self.check_dynptr_space(reg)?;
        call.makes = Some((place, kind));
        Ok(())
    }

    fn kernel_map(&mut self, call: &mut Call, reg: Reg, register: &Register) -> Result {
        if matches!(register.kind, Kind::Btf(_))
            && let Some(map) = self.kernel_structure("bpf_map")
        {
            return self.structure_argument(call, map, reg, register);
        }
        let Kind::ConstMap { map, inner, uid } = register.kind else {
            return Err(self.wrong_kind(call, reg, register, "a map"));
        };
        if register.may_be_null() {
            return Err(self.wrong_kind(call, reg, register, "a map that is there for sure"));
        }
        let this = (map, inner, uid);
        if call.map.is_some_and(|other| other != this) {
            return Err(self
                .reject(
                    Rule::ArgumentType,
                    format!(
                        "{reg} of {} must be the map that the value before it is in",
                        call.function.name
                    ),
                )
                .of(reg));
        }
        call.map = Some(this);
        Ok(())
    }

    /// A field in a map's value that something happens by later.
    fn async_field(
        &mut self,
        call: &mut Call,
        reg: Reg,
        register: &Register,
        name: &str,
        is: impl Fn(&FieldKind) -> bool,
    ) -> Result {
        let Kind::MapValue { map, inner, uid } = register.kind else {
            return Err(self.wrong_kind(
                call,
                reg,
                register,
                &format!("a `{name}` in a map's value"),
            ));
        };
        if register.may_be_null() {
            return Err(self.wrong_kind(
                call,
                reg,
                register,
                &format!("a `{name}` in a map's value"),
            ));
        }
        self.field_at(reg, register, name, is)?;
        call.map = Some((map, inner, uid));
        Ok(())
    }

    /// Only some programs may walk over the tasks of a cgroup's subsystem, for fear of a deadlock.
    fn check_css_task(&self) -> Result {
        use skep_abi::{AttachType, ProgramType};
        let allowed = match self.effective_type() {
            ProgramType::Lsm => true,
            ProgramType::Tracing => {
                self.program.attach_type == Some(AttachType::TraceIter) || self.state.in_sleepable
            }
            _ => self.state.in_sleepable,
        };
        if allowed {
            return Ok(());
        }
        Err(self.reject(
            Rule::KfuncNotAllowed,
            "only LSM programs, iterators and sleepable programs walk over the tasks of a css",
        ))
    }

    /// The rejection of an argument of another kind than a function wants.
    #[cold]
    pub(super) fn wrong_kind(
        &self,
        call: &Call,
        reg: Reg,
        register: &Register,
        wanted: &str,
    ) -> Box<crate::Rejection> {
        self.reject(
            Rule::ArgumentType,
            format!(
                "{reg} of {} must be {wanted}, and is {}",
                call.function.name,
                words::kind(register)
            ),
        )
        .of(reg)
    }
}
