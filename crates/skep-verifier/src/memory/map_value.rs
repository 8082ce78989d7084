//! Values and keys of maps.

use skep_abi::{MapCreateFlags, MapType};
use skep_isa::{AluOp, Width};

use super::{Span, Transfer, Visit, words};
use crate::{
    Map, MapId, Rule, Scalar,
    call::KernelPointer,
    program::JUMP_TABLE_ENTRY,
    state::{BtfSource, Field, FieldKind, Kind, PointerFlags, Register},
    verifier::{Result, Verifier},
};

impl<'a> Verifier<'a> {
    /// The map that a register is, or whose key or value it points to; `inner`: the kind of maps
    /// that is in it.
    pub(crate) fn map(&self, map: MapId, inner: bool) -> Option<&'a Map> {
        let map = self.program.maps.get(map.0 as usize)?;
        if inner {
            map.inner.as_deref()
        } else {
            Some(map)
        }
    }

    pub(super) fn reach_map_key(
        &mut self,
        pointer: &Register,
        map: MapId,
        visit: Visit,
    ) -> Result<Register> {
        if visit.is_write() {
            return Err(self
                .reject(
                    Rule::ReadOnlyWrite,
                    "a map's key is read-only to the callback",
                )
                .of(visit.base));
        }
        let size = self.map(map, false).map_or(0, |map| map.key_size);
        self.check_bounds(
            pointer,
            visit.span(pointer),
            size.into(),
            Rule::MemoryOutOfBounds,
        )?;
        Ok(Register::unknown())
    }

    pub(super) fn reach_map_value(&mut self, pointer: &Register, visit: Visit) -> Result<Register> {
        let span = visit.span(pointer);
        let Some((map, field)) = self.check_map_value(pointer, span)? else {
            return Err(self.not_accessible(pointer, visit));
        };
        if map.map_type == MapType::InsnArray {
            return self.reach_jump_table(pointer, visit);
        }
        if let Some(field) = field {
            return self.reach_kernel_pointer(pointer, field, visit);
        }
        if let (Some(variable), Some(contents), false) = (
            pointer.value.as_constant(),
            map.constant.as_deref(),
            visit.is_write(),
        ) {
            let at = span.offset.wrapping_add(variable.cast_signed());
            if let Some(value) = self.constant_at(contents, at, visit) {
                return Ok(Register::constant(value));
            }
        }
        Ok(Register::unknown())
    }

    /// A load out of a jump table gives one of its addresses; which, says the index.
    fn reach_jump_table(&self, pointer: &Register, visit: Visit) -> Result<Register> {
        let Kind::MapValue { map, inner, .. } = pointer.kind else {
            return Err(self.not_accessible(pointer, visit));
        };
        let entry = Scalar::constant(JUMP_TABLE_ENTRY);
        let offset = Scalar::constant(visit.span(pointer).offset.cast_unsigned());
        let place = Scalar::alu(AluOp::Add, Width::W64, &pointer.value, &offset);
        let whole = u64::from(visit.size) == JUMP_TABLE_ENTRY && visit.transfer == Transfer::Load;
        let aligned = (place.bits.value | place.bits.mask).trailing_zeros() >= 3;
        if inner || !whole || !aligned {
            return Err(self
                .reject(
                    Rule::MapValueOutOfBounds,
                    format!(
                        "{} of a jump table, of which whole entries of {JUMP_TABLE_ENTRY} bytes are \
                         read",
                        words::span(visit.span(pointer))
                    ),
                )
                .of(visit.base));
        }
        Ok(Register {
            value: Scalar::alu(AluOp::Div, Width::W64, &place, &entry),
            ..Register::pointer(Kind::JumpTarget { map })
        })
    }

    /// Whether an access of a map's value is allowed; the map, and the kernel pointer in the value
    /// that is accessed. `None`: it is no map's value.
    pub(super) fn check_map_value(
        &self,
        pointer: &Register,
        span: Span,
    ) -> Result<Option<(&'a Map, Option<&'a Field>)>> {
        let Kind::MapValue { map: id, inner, .. } = pointer.kind else {
            return Ok(None);
        };
        let Some(map) = self.map(id, inner) else {
            return Ok(None);
        };
        self.check_map_access(map, span.is_write())
            .map_err(|why| why.of(span.base))?;
        self.check_bounds(pointer, span, map.direct_size(), Rule::MapValueOutOfBounds)?;
        let field = if map.fields.fields.is_empty() {
            None
        } else {
            self.managed_field(pointer, map, span)?
        };
        Ok(Some((map, field)))
    }

    /// Whether programs may read or write a map's values.
    pub(super) fn check_map_access(&self, map: &Map, write: bool) -> Result {
        let (flag, what) = if write {
            (MapCreateFlags::RDONLY_PROG, "read-only")
        } else {
            (MapCreateFlags::WRONLY_PROG, "write-only")
        };
        if map.flags.contains(flag) {
            return Err(self.reject(
                Rule::ReadOnlyWrite,
                format!("the map `{}` is {what} to programs", map.name),
            ));
        }
        Ok(())
    }

    /// What a load of a map's constant contents gives.
    fn constant_at(&self, contents: &[u8], at: i64, visit: Visit) -> Option<u64> {
        let start = usize::try_from(at).ok()?;
        let bytes = contents.get(start..start.checked_add(visit.size as usize)?)?;
        let little = self.target.endian == skep_isa::Endian::Little;
        let mut value = 0_u64;
        for index in 0..bytes.len() {
            let index = if little {
                bytes.len() - 1 - index
            } else {
                index
            };
            value = value << 8 | u64::from(bytes[index]);
        }
        Some(value)
    }

    /// What the kernel manages of a value is not accessed, but for kernel pointers: the one that
    /// is, if any.
    fn managed_field<'m>(
        &self,
        pointer: &Register,
        map: &'m Map,
        span: Span,
    ) -> Result<Option<&'m Field>> {
        let least = span.offset.saturating_add(pointer.value.smin);
        let behind = span
            .offset
            .saturating_add_unsigned(pointer.value.umax)
            .saturating_add_unsigned(span.size);
        let mut touched = None;
        for field in &map.fields.fields {
            let start = i64::from(field.offset);
            if least >= start + i64::from(field.size) || start >= behind {
                continue;
            }
            let FieldKind::KernelPointer { .. } = field.kind else {
                return Err(self
                    .reject(
                        Rule::ManagedField,
                        format!(
                            "{} touches {} at offset {} of the value, which only its own functions may",
                            words::span(span),
                            words::field(&field.kind),
                            field.offset
                        ),
                    )
                    .of(span.base));
            };
            let whole = pointer.value.as_constant().is_some() && least == start && span.size == 8;
            if !whole || span.indirect {
                return Err(self
                    .reject(
                        Rule::KernelPointerMisuse,
                        format!(
                            "the kernel pointer at offset {} of the value is only accessed as a whole, by loads and stores of 8 bytes at this constant offset",
                            field.offset
                        ),
                    )
                    .of(span.base));
            }
            touched = Some(field);
        }
        Ok(touched)
    }

    /// A load or store of a kernel pointer in a value, or of a pointer to user memory.
    fn reach_kernel_pointer(
        &mut self,
        holder: &Register,
        field: &Field,
        visit: Visit,
    ) -> Result<Register> {
        let Some(pointer) = self.kernel_pointer(holder, field) else {
            return Err(self.reject(
                Rule::TypeInformation,
                "the type of the value's kernel pointer is not there",
            ));
        };
        let user = matches!(field.kind, FieldKind::KernelPointer { user: true, .. });
        match visit.transfer {
            Transfer::Load if !visit.aligned => {
                return self.load_kernel_pointer(holder, field, pointer, user);
            }
            Transfer::Store(reg) if !visit.aligned && pointer.untrusted && !user => {
                self.check_kernel_pointer(pointer, reg)?;
                return Ok(Register::UNINIT);
            }
            Transfer::StoreConstant(0) if pointer.untrusted && !user => {
                return Ok(Register::UNINIT);
            }
            _ => {}
        }
        let rejection = self.reject(
            Rule::KernelPointerMisuse,
            format!(
                "the kernel pointer at offset {} of the value is accessed by this instruction",
                field.offset
            ),
        );
        Err(rejection
            .of(visit.base)
            .help("put pointers in and take them out by bpf_kptr_xchg"))
    }

    /// What a load of a kernel pointer in a value gives: it may be gone in the next moment.
    fn load_kernel_pointer(
        &mut self,
        holder: &Register,
        field: &Field,
        pointer: KernelPointer,
        user: bool,
    ) -> Result<Register> {
        if user {
            let FieldKind::KernelPointer { pointee, .. } = field.kind else {
                return Ok(Register::unknown());
            };
            let btf = match holder.kind {
                Kind::MapValue { map, inner, .. } => {
                    self.map(map, inner).and_then(|map| map.btf.as_deref())
                }
                _ => None,
            };
            let size = btf
                .and_then(|btf| btf.size_of(pointee).ok())
                .and_then(|size| u32::try_from(size).ok());
            let mut memory = Register::pointer(Kind::Mem {
                size: size.unwrap_or(0),
            })
            .with(PointerFlags::MAYBE_NULL);
            memory.id = self.new_id();
            return Ok(memory);
        }
        let own = pointer.of.btf == BtfSource::Program;
        let protected = pointer.percpu
            || !pointer.untrusted
                && (own || skep_abi::is_rcu_protected(self.struct_name(pointer.of)));
        let mut flags = PointerFlags::MAYBE_NULL;
        if protected && self.in_rcu_section() {
            flags |= PointerFlags::RCU;
            if pointer.percpu {
                flags |= PointerFlags::PERCPU;
            } else if own {
                flags |= PointerFlags::ALLOCATED;
            }
        } else {
            flags |= PointerFlags::UNTRUSTED;
        }
        Ok(self.structure_pointer(pointer.of, flags))
    }
}
