//! Values and keys of maps.

use skep_abi::{MapCreateFlags, MapType};

use super::{Transfer, Visit, words};
use crate::{
    Map, MapId, Rule, Scalar,
    state::{FieldKind, Kind, Register},
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
        self.check_bounds(pointer, visit, size.into(), Rule::MemoryOutOfBounds)?;
        Ok(Register::unknown())
    }

    pub(super) fn reach_map_value(&mut self, pointer: &Register, visit: Visit) -> Result<Register> {
        let Kind::MapValue { map: id, inner, .. } = pointer.kind else {
            return Err(self.not_accessible(pointer, visit));
        };
        let Some(map) = self.map(id, inner) else {
            return Err(self.not_accessible(pointer, visit));
        };
        self.check_map_access(map, visit.is_write())
            .map_err(|why| why.of(visit.base))?;
        self.check_bounds(
            pointer,
            visit,
            map.value_size.into(),
            Rule::MapValueOutOfBounds,
        )?;
        let constant = pointer.value.as_constant();
        let offset = i64::from(pointer.offset) + i64::from(visit.offset);
        if !map.fields.fields.is_empty()
            && let Some(value) = self.reach_managed_field(pointer, map, offset, visit)?
        {
            return Ok(value);
        }
        if let (Some(variable), Some(contents), false) =
            (constant, map.constant.as_deref(), visit.is_write())
        {
            let at = offset.wrapping_add(variable.cast_signed());
            if let Some(value) = self.constant_at(contents, at, visit) {
                return Ok(Register::constant(value));
            }
        }
        Ok(Register::unknown())
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

    /// Loads and stores of what the kernel manages of a value: none but those of kernel pointers.
    /// `None`: the access does not touch such a field.
    fn reach_managed_field(
        &mut self,
        pointer: &Register,
        map: &Map,
        offset: i64,
        visit: Visit,
    ) -> Result<Option<Register>> {
        let least = offset.saturating_add(pointer.value.smin);
        let behind = offset
            .saturating_add_unsigned(pointer.value.umax)
            .saturating_add(visit.size.into());
        let constant = pointer.value.as_constant();
        let mut touched = None;
        for field in &map.fields.fields {
            let (start, end) = (
                i64::from(field.offset),
                i64::from(field.offset) + i64::from(field.size),
            );
            if least >= end || start >= behind {
                continue;
            }
            let FieldKind::KernelPointer { .. } = field.kind else {
                return Err(self
                    .reject(
                        Rule::ManagedField,
                        format!(
                            "{} of {} bytes touches {} at offset {} of the value, which only its own functions may",
                            words::doing(visit.access()), visit.size, words::field(&field.kind), field.offset
                        ),
                    )
                    .of(visit.base));
            };
            if constant.is_none() || least != start || visit.size != 8 {
                return Err(self
                    .reject(
                        Rule::KernelPointerMisuse,
                        format!(
                            "the kernel pointer at offset {} of the value is only accessed as a whole, by 8 bytes at this constant offset",
                            field.offset
                        ),
                    )
                    .of(visit.base));
            }
            touched = Some(field);
        }
        match touched {
            None => Ok(None),
            Some(field) => self.reach_kernel_pointer(map, &field.kind, visit).map(Some),
        }
    }

    fn reach_kernel_pointer(
        &mut self,
        map: &Map,
        field: &FieldKind,
        visit: Visit,
    ) -> Result<Register> {
        let _ = (map, field);
        match visit.transfer {
            Transfer::StoreConstant(0) => Ok(Register::constant(0)),
            Transfer::Store(reg) if self.reg(reg).is_null() => Ok(Register::constant(0)),
            _ => Err(self
                .reject(
                    Rule::KernelPointerMisuse,
                    "kernel pointers in maps are put there and taken out by bpf_kptr_xchg",
                )
                .of(visit.base)),
        }
    }
}
