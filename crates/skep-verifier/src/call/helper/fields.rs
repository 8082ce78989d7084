//! Arguments that are fields which the kernel manages: timers, kernel pointers; and per-CPU
//! variables.

use skep_btf::{KindTag, TypeId};
use skep_isa::Reg;

use super::{Call, MapArgument};
use crate::{
    Rule,
    state::{BtfRef, BtfSource, Field, FieldKind, Kind, PointerFlags, Register},
    verifier::{Result, Verifier},
};

/// A kernel pointer's field, and the type that it points to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KernelPointer {
    /// What it points to: of the kernel, or a type of the program's own.
    pub(crate) of: BtfRef,
    /// It owns nothing.
    pub(crate) untrusted: bool,
    /// One for each CPU.
    pub(crate) percpu: bool,
}

impl<'a> Verifier<'a> {
    /// The map whose value a register points to.
    fn map_of_value(&self, register: &Register) -> Option<MapArgument<'a>> {
        let Kind::MapValue {
            map: id,
            inner,
            uid,
        } = register.kind
        else {
            return None;
        };
        let map = self.map(id, inner)?;
        Some(MapArgument {
            map,
            id,
            inner,
            uid,
        })
    }

    /// A timer, as an argument: that of a map's value.
    pub(super) fn timer_argument(
        &mut self,
        call: &mut Call<'a>,
        reg: Reg,
        register: &Register,
    ) -> Result {
        let field = self.field_at(reg, register, "struct bpf_timer", |kind| {
            matches!(kind, FieldKind::Timer)
        });
        field?;
        if let Some(map) = self.map_of_value(register) {
            call.map = Some(map);
        }
        Ok(())
    }

    /// The field of a kind that a register points to the start of.
    pub(crate) fn field_at(
        &mut self,
        reg: Reg,
        register: &Register,
        name: &str,
        is: impl Fn(&FieldKind) -> bool,
    ) -> Result<Field> {
        let offset = register
            .value
            .as_constant()
            .map(|value| value.wrapping_add(i64::from(register.offset).cast_unsigned()));
        let Some(offset) = offset else {
            return Err(self
                .reject(
                    Rule::ManagedField,
                    format!("{reg} must point to the `{name}` at a constant offset"),
                )
                .of(reg));
        };
        let (fields, _) = self.holder(register);
        let all = fields.as_ref().map_or(&[][..], |fields| &fields.fields);
        let mut some = all.iter().filter(|field| is(&field.kind));
        let Some(first) = some.next() else {
            return Err(self
                .reject(
                    Rule::ManagedField,
                    format!(
                        "{reg} must point to a `{name}`, and there is none in what it points to"
                    ),
                )
                .of(reg)
                .help("the value's type must be known by BTF"));
        };
        let found = std::iter::once(first)
            .chain(some)
            .find(|field| u64::from(field.offset) == offset);
        match found {
            Some(field) => Ok(field.clone()),
            None => Err(self
                .reject(
                    Rule::ManagedField,
                    format!(
                        "{reg} points to byte {} of the value, and the `{name}` is at byte {}",
                        offset.cast_signed(),
                        first.offset
                    ),
                )
                .of(reg)),
        }
    }

    /// The destination of `bpf_kptr_xchg`.
    pub(super) fn exchange_argument(
        &mut self,
        call: &mut Call<'a>,
        reg: Reg,
        register: &Register,
    ) -> Result {
        let field = self.field_at(reg, register, "kernel pointer", |kind| {
            matches!(kind, FieldKind::KernelPointer { user: false, .. })
        })?;
        let pointer = self.kernel_pointer(register, &field);
        let Some(pointer) = pointer else {
            return Err(self
                .reject(
                    Rule::TypeInformation,
                    format!("what the kernel pointer that {reg} points to is of is not known"),
                )
                .of(reg));
        };
        if pointer.untrusted {
            return Err(self
                .reject(
                    Rule::KernelPointerMisuse,
                    "only kernel pointers that own what they point to (`__kptr`) are exchanged",
                )
                .of(reg));
        }
        if let Some(argument) = self.map_of_value(register) {
            call.map = Some(argument);
            self.check_map_helper(call, argument.map)?;
        }
        call.kernel_pointer = Some(pointer);
        Ok(())
    }

    /// What a field with a kernel pointer is of. `holder` points to the value or object that it is
    /// in.
    pub(crate) fn kernel_pointer(&self, holder: &Register, field: &Field) -> Option<KernelPointer> {
        let FieldKind::KernelPointer {
            pointee,
            untrusted,
            percpu,
            ..
        } = field.kind
        else {
            return None;
        };
        let of = match holder.kind {
            Kind::MapValue { map, inner, .. } => self.map(map, inner)?.btf.as_deref()?,
            Kind::Btf(of) => self.btf(of.btf)?,
            _ => return None,
        };
        let name = of.type_by_id(pointee).ok()?.name();
        Some(KernelPointer {
            of: self.struct_named(name, pointee)?,
            untrusted,
            percpu,
        })
    }

    /// The structure with a name: the kernel's, a module's, or else the program's with the id.
    fn struct_named(&self, name: &str, own: TypeId) -> Option<BtfRef> {
        if let Some(type_id) = self.kernel_struct(name) {
            return Some(BtfRef {
                btf: BtfSource::Kernel,
                type_id,
            });
        }
        for (index, module) in self.target.modules.iter().enumerate() {
            if let Some(type_id) = module.btf.find(name, KindTag::Struct) {
                return Some(BtfRef {
                    btf: BtfSource::Module(u16::try_from(index).ok()?),
                    type_id,
                });
            }
        }
        Some(BtfRef {
            btf: BtfSource::Program,
            type_id: own,
        })
    }

    /// Checks that what is put into a kernel pointer's field is what it is for.
    pub(crate) fn check_kernel_pointer(&self, field: KernelPointer, reg: Reg) -> Result {
        let register = self.reg(reg);
        if register.is_null() {
            return Ok(());
        }
        let mut allowed = PointerFlags::MAYBE_NULL;
        let found = match register.kind {
            Kind::Btf(found) => found,
            _ => return Err(self.no_kernel_pointer(field, reg)),
        };
        if found.btf == BtfSource::Program {
            allowed |= PointerFlags::ALLOCATED;
            if field.percpu {
                allowed |= PointerFlags::PERCPU;
            }
        } else {
            allowed |= PointerFlags::TRUSTED | PointerFlags::RCU;
            if field.untrusted {
                allowed |= PointerFlags::UNTRUSTED;
            }
        }
        let at = register.value.as_constant() == Some(0) && register.offset >= 0;
        let offset = register.offset.cast_unsigned();
        let same = found == field.of && offset == 0;
        let inside = field.of.btf != BtfSource::Program
            && self.is_struct(found, offset, self.struct_name(field.of), !field.untrusted);
        if allowed.contains(register.flags & super::kinds::TYPE_FLAGS) && at && (same || inside) {
            return Ok(());
        }
        Err(self.no_kernel_pointer(field, reg))
    }

    #[cold]
    fn no_kernel_pointer(&self, field: KernelPointer, reg: Reg) -> Box<crate::Rejection> {
        self.reject(
            Rule::KernelPointerMisuse,
            format!(
                "{reg} must be a `struct {}` to be put where a pointer to one is, and is {}",
                self.struct_name(field.of),
                crate::memory::words::kind(self.reg(reg))
            ),
        )
        .of(reg)
    }

    /// What `bpf_kptr_xchg` gives: what was in the field.
    pub(super) fn exchanged(&mut self, call: &Call<'_>) -> Result<Register> {
        let Some(pointer) = call.kernel_pointer else {
            return Err(self.reject(Rule::KernelPointerMisuse, "r1 is no kernel pointer's field"));
        };
        let mut register = Register::pointer(Kind::Btf(pointer.of));
        if pointer.of.btf == BtfSource::Program {
            register.flags |= PointerFlags::ALLOCATED;
            if pointer.percpu {
                register.flags |= PointerFlags::PERCPU;
            }
        }
        Ok(register)
    }

    /// What `bpf_per_cpu_ptr` and `bpf_this_cpu_ptr` give of the variable in R1.
    pub(super) fn percpu_variable(&mut self, call: &Call<'_>) -> Result<Register> {
        let wrong = || {
            self.reject(
                Rule::ArgumentType,
                format!(
                    "r1 of {} is no per-CPU variable of a known type",
                    call.helper
                ),
            )
            .of(Reg::R1)
        };
        let Some(variable) = &call.percpu else {
            return Err(wrong());
        };
        let Kind::Btf(of) = variable.kind else {
            return Err(wrong());
        };
        let found = self
            .btf(of.btf)
            .and_then(|btf| Some((btf, btf.skip_modifiers(of.type_id).ok()?)));
        let Some((btf, found)) = found else {
            return Err(wrong());
        };
        if found.tag() != Some(KindTag::Struct) {
            let size = btf.size_of(found.id()).ok();
            let size = size.and_then(|size| u32::try_from(size).ok());
            return match size {
                Some(size) if !variable.flags.contains(PointerFlags::RCU) => {
                    Ok(Register::pointer(Kind::Mem { size }))
                }
                _ => Err(wrong()),
            };
        }
        let mut register = Register::pointer(Kind::Btf(BtfRef {
            type_id: found.id(),
            ..of
        }));
        if variable.flags.contains(PointerFlags::RCU) {
            register.flags |= PointerFlags::ALLOCATED | PointerFlags::RCU;
        }
        Ok(register)
    }
}
