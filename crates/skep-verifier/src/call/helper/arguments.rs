//! The arguments of a helper, R1 to R5: of the right kind, in bounds, and known well enough.

use skep_abi::{ArgKind, Parameter, ValueFlags};
use skep_isa::Reg;

use super::{ARGUMENTS, Call, MapArgument, kinds};
use crate::{
    Rule,
    memory::{Access, words},
    state::{Kind, PointerFlags, Register},
    verifier::{Result, Verifier},
};

impl<'a> Verifier<'a> {
    /// Checks all arguments of a call, and finds out what it is about.
    pub(super) fn check_arguments(&mut self, call: &mut Call<'a>) -> Result {
        let parameters = self.parameters(call.helper);
        for (index, (parameter, reg)) in parameters.iter().zip(ARGUMENTS).enumerate() {
            let memory = index.checked_sub(1).and_then(|index| parameters.get(index));
            self.check_argument(call, parameter, memory, reg)?;
        }
        Ok(())
    }

    /// Checks one argument; `before` is the parameter before it.
    fn check_argument(
        &mut self,
        call: &mut Call<'a>,
        parameter: &Parameter,
        before: Option<&Parameter>,
        reg: Reg,
    ) -> Result {
        let mut kind = parameter.kind;
        if matches!(kind, ArgKind::DontCare | ArgKind::Variadic) {
            return Ok(());
        }
        let register = self.read(reg)?;
        if kind == ArgKind::Anything {
            if register.is_pointer() && !self.options.perfmon {
                return Err(self
                    .reject(
                        Rule::PointerLeak,
                        format!("{reg} is a kernel address, which {} would see", call.helper),
                    )
                    .of(reg));
            }
            return Ok(());
        }
        if register.is_packet() && !self.packet_for_helpers(call.helper) {
            return Err(self
                .reject(
                    Rule::ArgumentType,
                    format!(
                        "{} does not take pointers into the packet, as {reg} is one",
                        call.helper
                    ),
                )
                .of(reg)
                .help("copy the bytes to the stack first"));
        }
        if kind == ArgKind::MapValue {
            kind = self.value_argument(call, reg)?;
        }
        let register = self.reg(reg).clone();
        if !(register.is_null() && parameter.flags.contains(ValueFlags::MAYBE_NULL)) {
            self.check_kind(call, parameter, kind, reg, &register)?;
            self.check_offset(call, parameter, kind, reg, &register)?;
        }
        self.take_reference(call, parameter, kind, reg, &register)?;
        match kind {
            ArgKind::ConstMapPtr => self.map_argument(call, reg, &register),
            ArgKind::MapKey => self.key_argument(call, reg),
            ArgKind::MapValue => self.check_value(call, parameter, reg, &register),
            ArgKind::Mem => match parameter.size {
                Some(size) => self.check_fixed(parameter, reg, &register, size),
                None => Ok(()),
            },
            ArgKind::MemSize | ArgKind::MemSizeOrZero => {
                self.check_sized(call, kind, before, reg, &register)
            }
            ArgKind::ConstAllocSizeOrZero => self.check_allocation(call, reg, &register),
            ArgKind::Func => {
                if let Kind::Function { subprogram } = register.kind {
                    call.callback = Some(subprogram);
                }
                Ok(())
            }
            ArgKind::PercpuBtfId => {
                call.percpu = Some(register);
                Ok(())
            }
            ArgKind::BtfId => match call.kernel_pointer {
                Some(field) => self.check_kernel_pointer(field, reg),
                None => self.check_structure(call, parameter, reg, &register),
            },
            ArgKind::BtfIdSockCommon => self.check_socket(call, reg, &register),
            ArgKind::SpinLock
            | ArgKind::Timer
            | ArgKind::KptrXchgDest
            | ArgKind::ConstStr
            | ArgKind::Dynptr => self.special_argument(call, parameter, reg, &register),
            _ => Ok(()),
        }
    }

    /// What takes the place of a value, for maps whose values programs don't see as bytes.
    fn value_argument(&self, call: &Call<'_>, reg: Reg) -> Result<ArgKind> {
        use skep_abi::MapType;
        let Some(map) = call.map else {
            return Err(self.no_map(call, reg));
        };
        Ok(match map.map.map_type {
            MapType::Sockmap | MapType::Sockhash => ArgKind::BtfIdSockCommon,
            _ => ArgKind::MapValue,
        })
    }

    fn no_map(&self, call: &Call<'_>, reg: Reg) -> Box<crate::Rejection> {
        self.reject(
            Rule::ArgumentType,
            format!("{} wants a map before {reg}", call.helper),
        )
        .of(reg)
    }

    /// Checks that an argument is of the right kind.
    fn check_kind(
        &self,
        call: &Call<'_>,
        parameter: &Parameter,
        kind: ArgKind,
        reg: Reg,
        register: &Register,
    ) -> Result {
        if kinds::fits(parameter, kind, register) {
            return Ok(());
        }
        if call.helper.name == "bpf_kptr_xchg" && reg == Reg::R2 {
            let mut object = register.clone();
            object.flags -= PointerFlags::ALLOCATED | PointerFlags::PERCPU;
            if kinds::fits(parameter, kind, &object) {
                return Ok(());
            }
        }
        let mut sure = register.clone();
        sure.flags -= PointerFlags::MAYBE_NULL;
        let name = if parameter.name.is_empty() {
            String::new()
        } else {
            format!(" (`{}`)", parameter.name)
        };
        if register.may_be_null() && kinds::fits(parameter, kind, &sure) {
            let rule = match register.kind {
                Kind::MapValue { .. } => Rule::MapValueOrNull,
                _ => Rule::PointerOrNull,
            };
            return Err(self
                .reject(rule, format!("{reg}{name} of {} may be null", call.helper))
                .of(reg)
                .help("test that it is not null before the call"));
        }
        sure.flags -= PointerFlags::READ_ONLY;
        if kinds::fits(parameter, kind, &sure) {
            return Err(self
                .reject(
                    Rule::ReadOnlyWrite,
                    format!("{} writes to {reg}{name}, which is read-only", call.helper),
                )
                .of(reg));
        }
        sure.flags -= PointerFlags::UNTRUSTED;
        sure.flags |= PointerFlags::TRUSTED;
        if matches!(register.kind, Kind::Btf(_)) && kinds::fits(parameter, kind, &sure) {
            return Err(self
                .reject(
                    Rule::UntrustedPointer,
                    format!(
                        "{reg}{name} of {} must be a pointer that the kernel vouches for",
                        call.helper
                    ),
                )
                .of(reg));
        }
        Err(self
            .reject(
                Rule::ArgumentType,
                format!(
                    "{reg}{name} of {} must be {}, and is {}",
                    call.helper,
                    kinds::wanted(parameter, kind),
                    words::kind(register)
                ),
            )
            .of(reg))
    }

    /// Checks the offset that a pointer argument has.
    fn check_offset(
        &self,
        call: &Call<'_>,
        parameter: &Parameter,
        kind: ArgKind,
        reg: Reg,
        register: &Register,
    ) -> Result {
        let release = parameter.flags.contains(ValueFlags::RELEASE);
        if !register.is_pointer()
            || (release && kind == ArgKind::Dynptr && matches!(register.kind, Kind::Stack { .. }))
            || (!release && kinds::may_vary(register.kind))
        {
            return Ok(());
        }
        let constant = register.value.as_constant() == Some(0);
        let fixed = matches!(register.kind, Kind::Btf(_)) && !release;
        let fits = constant && (register.offset == 0 || (fixed && register.offset > 0));
        if fits {
            return Ok(());
        }
        let what = words::kind(register);
        let message = if !constant {
            format!(
                "{reg} of {} is {what} with an offset that varies",
                call.helper
            )
        } else if release {
            format!(
                "{reg} of {} is {} bytes off from what it gives back",
                call.helper, register.offset
            )
        } else {
            format!(
                "{reg} of {} must be {what} as it was got, and is {} bytes off",
                call.helper, register.offset
            )
        };
        Err(self.reject(Rule::ArgumentType, message).of(reg))
    }

    /// Notes the reference of an argument, and whether it is given away.
    fn take_reference(
        &self,
        call: &mut Call<'_>,
        parameter: &Parameter,
        kind: ArgKind,
        reg: Reg,
        register: &Register,
    ) -> Result {
        if parameter.flags.contains(ValueFlags::RELEASE) {
            if kind != ArgKind::Dynptr && !register.reference.is_some() && !register.is_null() {
                return Err(self
                    .reject(
                        Rule::ReferenceRelease,
                        format!(
                            "{} gives a reference back, and {reg} holds none",
                            call.helper
                        ),
                    )
                    .of(reg));
            }
            call.released = Some(reg);
        }
        if register.reference.is_some() && kind != ArgKind::KptrXchgDest {
            if call.reference.is_some() {
                return Err(self
                    .reject(
                        Rule::ArgumentType,
                        format!("{} takes but one argument with a reference", call.helper),
                    )
                    .of(reg));
            }
            call.reference = register.reference;
        }
        Ok(())
    }

    /// A map as an argument.
    fn map_argument(&mut self, call: &mut Call<'a>, reg: Reg, register: &Register) -> Result {
        let Kind::ConstMap {
            map: id,
            inner,
            uid,
        } = register.kind
        else {
            return Ok(());
        };
        let Some(map) = self.map(id, inner) else {
            return Err(self
                .reject(
                    Rule::ArgumentType,
                    format!("{reg} is a map that is not there"),
                )
                .of(reg));
        };
        self.check_map_is_of(call, reg, register)?;
        call.map = Some(MapArgument {
            map,
            id,
            inner,
            uid,
        });
        self.check_map_helper(call, map).map_err(|why| why.of(reg))
    }

    /// A key as an argument.
    fn key_argument(&mut self, call: &mut Call<'a>, reg: Reg) -> Result {
        let Some(map) = call.map else {
            return Err(self.no_map(call, reg));
        };
        let size = Register::constant(map.map.key_size.into());
        self.check_region(reg, &size, Access::Read, false, false)?;
        call.index = self.constant_index(map.map, reg)?;
        Ok(())
    }

    /// A value as an argument.
    fn check_value(
        &mut self,
        call: &Call<'a>,
        parameter: &Parameter,
        reg: Reg,
        register: &Register,
    ) -> Result {
        if register.is_null() {
            return Ok(());
        }
        let Some(map) = call.map else {
            return Err(self.no_map(call, reg));
        };
        let mut flags = parameter.flags;
        // A bloom filter is asked about the value, not for it.
        if map.map.map_type == skep_abi::MapType::BloomFilter
            && call.helper.name == "bpf_map_peek_elem"
        {
            flags -= ValueFlags::WRITE | ValueFlags::UNINIT;
        }
        let size = Register::constant(map.map.value_size.into());
        let (access, uninit) = access(flags);
        self.check_region(reg, &size, access, false, uninit)
    }

    /// Memory of a size that the helper knows.
    fn check_fixed(
        &mut self,
        parameter: &Parameter,
        reg: Reg,
        register: &Register,
        size: u16,
    ) -> Result {
        let (access, uninit) = access(parameter.flags);
        let bytes = Register::constant(size.into());
        self.check_region(reg, &bytes, access, false, uninit)?;
        if parameter.flags.contains(ValueFlags::ALIGNED) {
            self.check_aligned(reg, register, size)?;
        }
        Ok(())
    }

    /// Memory of the size in this argument.
    fn check_sized(
        &mut self,
        call: &mut Call<'a>,
        kind: ArgKind,
        memory: Option<&Parameter>,
        reg: Reg,
        register: &Register,
    ) -> Result {
        let (access, uninit) = memory.map_or((Access::Read, false), |memory| access(memory.flags));
        // How much is written is not known, so what is not must have been there before.
        let uninit = uninit && register.as_constant().is_some();
        let Some(pointer) = Reg::new(reg.number().saturating_sub(1)) else {
            return Ok(());
        };
        call.size = register.value.umax;
        self.check_region(
            pointer,
            register,
            access,
            kind == ArgKind::MemSizeOrZero,
            uninit,
        )?;
        self.mark_precise(reg)
    }

    /// Memory that the helper accesses as one number must be aligned to its size.
    fn check_aligned(&self, reg: Reg, register: &Register, size: u16) -> Result {
        let offset = i64::from(register.offset);
        let bits = register.value.bits;
        let low = u64::from(size.saturating_sub(1));
        let known = bits.mask & low == 0;
        let aligned = bits.value.wrapping_add(offset.cast_unsigned()) & low == 0;
        if known && aligned {
            return Ok(());
        }
        Err(self
            .reject(
                Rule::MisalignedAccess,
                format!("{reg} must be aligned to {size} bytes"),
            )
            .of(reg))
    }

    /// How much is allocated.
    fn check_allocation(&mut self, call: &mut Call<'a>, reg: Reg, register: &Register) -> Result {
        let Some(size) = register.as_constant() else {
            return Err(self
                .reject(
                    Rule::ArgumentConstant,
                    format!("{reg} of {} must be a constant size", call.helper),
                )
                .of(reg));
        };
        // As the kernel does: what gives more than 4 GiB gives null.
        let size = size as u32;
        call.allocation = size;
        self.mark_precise(reg)
    }
}

/// What a helper does to memory, and whether it may be uninitialised.
fn access(flags: ValueFlags) -> (Access, bool) {
    let access = if flags.contains(ValueFlags::WRITE) {
        Access::Write
    } else {
        Access::Read
    };
    (access, flags.contains(ValueFlags::UNINIT))
}
