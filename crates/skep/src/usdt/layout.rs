//! Arguments as `bpf/usdt.bpf.h` reads them, in the one place where both sides meet: the object's
//! own types say where each part of `struct __bpf_usdt_spec` is. So this header and those of
//! libbpf, older ones without index registers and newer ones, are all right.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

use skep_btf::{Btf, Composite, Endian, Kind, TypeId};

use super::{Argument, Place, Register};

/// What `arg_type` is (`enum __bpf_usdt_arg_type`).
const CONSTANT: u64 = 0;
const REGISTER: u64 = 1;
const MEMORY: u64 = 2;
const INDEXED: u64 = 3;

/// Where each part of a spec is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    endian: Endian,
    /// Bytes of a spec.
    size: usize,
    cookie: Field,
    count: Field,
    /// Bits to the first argument, of an argument, and how many there are.
    first: u64,
    stride: u64,
    most: u32,
    value: Field,
    kind: Field,
    register: Field,
    signed: Field,
    shift: Field,
    /// The second register, and by how many bits it is shifted.
    index: Option<(Field, Field)>,
}

/// A part: so many bits, so far from the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Field {
    at: u64,
    bits: u64,
}

impl Layout {
    /// Finds the parts in the type of the map's values, which have so many bytes.
    pub(super) fn of(btf: &Btf, spec: TypeId, size: usize) -> Result<Self, String> {
        let spec = structure(btf, spec)?;
        if usize::try_from(spec.size) != Ok(size) {
            return Err(format!(
                "its values have {size} bytes, and their structure {}",
                spec.size
            ));
        }
        let (arguments, first) = member(&spec, "args")?;
        let array = btf
            .skip_modifiers(arguments)
            .map_err(|error| error.to_string())?;
        let Kind::Array(array) = array.kind() else {
            return Err("its `args` is no array".into());
        };
        let argument = structure(btf, array.element)?;
        let part = |name| field(btf, &argument, name);
        Ok(Self {
            endian: btf.endianness(),
            size,
            cookie: field(btf, &spec, "usdt_cookie")?,
            count: field(btf, &spec, "arg_cnt")?,
            first,
            stride: u64::from(argument.size).saturating_mul(8),
            most: array.len,
            value: part("val_off")?,
            kind: part("arg_type")?,
            register: part("reg_off")?,
            signed: part("arg_signed")?,
            shift: part("arg_bitshift")?,
            index: part("idx_reg_off").ok().zip(part("scale_bitshift").ok()),
        })
    }

    /// A spec of these arguments.
    pub(super) fn write(&self, arguments: &[Argument], cookie: u64) -> Result<Vec<u8>, String> {
        if u32::try_from(arguments.len()).map_or(true, |count| count > self.most) {
            return Err(format!(
                "it has {} arguments, and programs can be told of {} (`BPF_USDT_MAX_ARG_CNT`)",
                arguments.len(),
                self.most
            ));
        }
        let mut spec = Spec {
            bytes: vec![0; self.size],
            endian: self.endian,
        };
        spec.put(self.cookie, 0, cookie)?;
        spec.put(self.count, 0, arguments.len() as u64)?;
        let mut start = self.first;
        for argument in arguments {
            self.write_argument(&mut spec, start, argument)?;
            start = start.saturating_add(self.stride);
        }
        Ok(spec.bytes)
    }

    fn write_argument(
        &self,
        spec: &mut Spec,
        start: u64,
        argument: &Argument,
    ) -> Result<(), String> {
        let bits = u64::from(argument.size).saturating_mul(8);
        spec.put(self.shift, start, 64_u64.saturating_sub(bits))?;
        spec.put(self.signed, start, argument.signed.into())?;
        let (kind, value, register) = match argument.place {
            Place::Constant(value) => (CONSTANT, value, None),
            Place::Register(register) => (REGISTER, 0, Some(register)),
            Place::Memory {
                base,
                index: None,
                offset,
            } => (MEMORY, offset.cast_unsigned(), Some(base)),
            Place::Memory {
                base,
                index: Some((register, shift)),
                offset,
            } => {
                let Some((place, scale)) = self.index else {
                    return Err(format!(
                        "an argument is in an array that `{}` counts in, and the object's `bpf/usdt.bpf.h` \
                         knows of no such arguments: compile it with a newer one, as by `skep build`",
                        register.name
                    ));
                };
                spec.put(place, start, register.offset.into())?;
                spec.put(scale, start, shift.into())?;
                (INDEXED, offset.cast_unsigned(), Some(base))
            }
        };
        spec.put(self.kind, start, kind)?;
        spec.put(self.value, start, value)?;
        let offset = register.map_or(0, |Register { offset, .. }| offset);
        spec.put(self.register, start, offset.into())
    }
}

struct Spec {
    bytes: Vec<u8>,
    endian: Endian,
}

impl Spec {
    /// Writes a part of the argument that starts after so many bits (0 for one of the spec).
    fn put(&mut self, field: Field, start: u64, value: u64) -> Result<(), String> {
        if field.bits < 64 && value.checked_shr(u32::try_from(field.bits).unwrap_or(0)) != Some(0) {
            return Err(format!(
                "a part of it has only {} bits for {value}",
                field.bits
            ));
        }
        let first = start.saturating_add(field.at);
        for bit in 0..field.bits {
            let at = first.saturating_add(bit);
            // BTF counts from the least significant bit, or from the most.
            let (from, within) = match self.endian {
                Endian::Little => (bit, at & 7),
                Endian::Big => (field.bits.saturating_sub(bit).saturating_sub(1), !at & 7),
            };
            let byte = usize::try_from(at >> 3).unwrap_or(usize::MAX);
            let byte = self
                .bytes
                .get_mut(byte)
                .ok_or("a part of it is outside of it")?;
            *byte |= u8::from(value >> from & 1 == 1) << within;
        }
        Ok(())
    }
}

fn structure(btf: &Btf, id: TypeId) -> Result<Composite<'_>, String> {
    match btf
        .skip_modifiers(id)
        .map_err(|error| error.to_string())?
        .kind()
    {
        Kind::Struct(composite) => Ok(composite),
        _ => Err("its values are no structures".into()),
    }
}

/// The type of a member, and bits to it.
fn member(composite: &Composite<'_>, name: &str) -> Result<(TypeId, u64), String> {
    let found = composite.members().find(|member| member.name() == name);
    let found = found.ok_or_else(|| format!("its structure has no `{name}`"))?;
    Ok((found.type_id, found.bit_offset.into()))
}

fn field(btf: &Btf, composite: &Composite<'_>, name: &str) -> Result<Field, String> {
    let (type_id, at) = member(composite, name)?;
    let whole = || btf.size_of(type_id).map(|bytes| bytes.saturating_mul(8));
    let found = composite.members().find(|member| member.name() == name);
    let bits = match found.map_or(0, |member| member.bitfield_size) {
        0 => whole().map_err(|error| error.to_string())?,
        bits => bits.into(),
    };
    match bits {
        1..=64 => Ok(Field { at, bits }),
        _ => Err(format!("its `{name}` has {bits} bits")),
    }
}

#[cfg(test)]
mod tests;
