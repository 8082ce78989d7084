//! What an access comes to as a number: an offset, a size, a shift, a yes or no.

use skep_btf::{Kind, TypeId};

use super::{
    CoreKind, Fault,
    spec::{Access, enumerators},
};
use skep_isa::Endian;

/// The number that a relocation puts into its instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) number: u64,
    /// For byte offsets: the field, whose size a load or store must have.
    pub(super) field: Option<FieldSize>,
    /// Whether the compiler's number is sure to be the same for the object's own types.
    pub(super) exact: bool,
}

/// The bytes that a load or store of a field takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FieldSize {
    pub(super) bytes: u64,
    /// The field's type.
    pub(super) type_id: TypeId,
}

impl Value {
    fn exact(number: u64) -> Self {
        Self {
            number,
            field: None,
            exact: true,
        }
    }
}

pub(super) fn value_of(
    kind: CoreKind,
    access: &Access<'_>,
    endian: Endian,
) -> Result<Value, Fault> {
    match kind {
        CoreKind::FieldExists
        | CoreKind::TypeExists
        | CoreKind::TypeMatches
        | CoreKind::EnumeratorExists => Ok(Value::exact(1)),
        CoreKind::TypeIdLocal | CoreKind::TypeIdTarget => {
            // Linking objects changes ids; what stands in the instruction may be of before.
            Ok(Value {
                exact: false,
                ..Value::exact(access.root.0.into())
            })
        }
        CoreKind::TypeSize => access
            .btf
            .size_of(access.root)
            .map(Value::exact)
            .map_err(Into::into),
        CoreKind::EnumeratorValue => enumerator(access),
        CoreKind::FieldByteOffset
        | CoreKind::FieldByteSize
        | CoreKind::FieldSigned
        | CoreKind::FieldLeftShift
        | CoreKind::FieldRightShift => field(kind, access, endian),
    }
}

fn enumerator(access: &Access<'_>) -> Result<Value, Fault> {
    let missing = || Fault::new("an enumerator that is not there");
    let step = access.steps.first().ok_or_else(missing)?;
    let found = access.btf.type_by_id(step.type_id)?;
    let index = usize::try_from(step.index).unwrap_or(usize::MAX);
    let value = enumerators(&found)
        .and_then(|mut values| values.nth(index))
        .ok_or_else(missing)?;
    Ok(Value::exact(value.bits))
}

/// Where the bits of a field are, and how they are loaded.
struct Extent {
    byte_offset: u64,
    byte_size: u64,
    bit_size: u64,
    bitfield: bool,
}

fn field(kind: CoreKind, access: &Access<'_>, endian: Endian) -> Result<Value, Fault> {
    let btf = access.btf;
    let step = access
        .steps
        .last()
        .ok_or_else(|| Fault::new("an empty access"))?;
    if step.name.is_none() {
        return match kind {
            CoreKind::FieldByteOffset => Ok(Value {
                field: Some(FieldSize {
                    bytes: element_size(access, step.type_id)?,
                    type_id: step.type_id,
                }),
                ..Value::exact(access.bit_offset / 8)
            }),
            CoreKind::FieldByteSize => Ok(Value::exact(btf.size_of(step.type_id)?)),
            _ => Err(Fault::new("it can't be asked of an array's element")),
        };
    }
    let (Kind::Struct(composite) | Kind::Union(composite)) = btf.type_by_id(step.type_id)?.kind()
    else {
        return Err(Fault::new("a field of what is no struct"));
    };
    let member = usize::try_from(step.index)
        .ok()
        .and_then(|index| composite.members().get(index))
        .ok_or_else(|| Fault::new("a field that is not there"))?;
    let of = btf.skip_modifiers(member.type_id)?;

    if kind == CoreKind::FieldSigned {
        let signed = match of.kind() {
            Kind::Int(int) => int.encoding.is_signed(),
            Kind::Enum(values) | Kind::Enum64(values) => values.signed,
            _ => false,
        };
        return Ok(Value::exact(signed.into()));
    }
    let extent = match member.bitfield_size {
        0 => {
            let byte_size = btf.size_of(of.id())?;
            Extent {
                byte_offset: access.bit_offset / 8,
                byte_size,
                bit_size: byte_size.saturating_mul(8),
                bitfield: false,
            }
        }
        bits => bitfield(access.bit_offset, bits.into(), btf.size_of(of.id())?)?,
    };
    // Compilers choose freely how to load a bit field.
    let value = |number| Value {
        exact: !extent.bitfield,
        ..Value::exact(number)
    };
    Ok(match kind {
        CoreKind::FieldByteOffset if extent.bitfield => value(extent.byte_offset),
        CoreKind::FieldByteOffset => Value {
            field: Some(FieldSize {
                bytes: element_size(access, of.id())?,
                type_id: of.id(),
            }),
            ..value(extent.byte_offset)
        },
        CoreKind::FieldByteSize => value(extent.byte_size),
        CoreKind::FieldLeftShift => {
            let within = access
                .bit_offset
                .saturating_sub(extent.byte_offset.saturating_mul(8));
            value(match endian {
                Endian::Little => 64_u64.saturating_sub(within.saturating_add(extent.bit_size)),
                Endian::Big => 8_u64
                    .saturating_sub(extent.byte_size)
                    .saturating_mul(8)
                    .saturating_add(within),
            })
        }
        _ => Value::exact(64_u64.saturating_sub(extent.bit_size)),
    })
}

/// The smallest aligned load, of the field's type or twice as large, that has all its bits.
fn bitfield(bit_offset: u64, bit_size: u64, type_size: u64) -> Result<Extent, Fault> {
    let mut byte_size = type_size;
    loop {
        let byte_offset = (bit_offset / 8)
            .checked_div(byte_size)
            .filter(|_| byte_size.is_power_of_two() && byte_size <= 8)
            .ok_or_else(|| Fault::new(format!("a bit field in a type of {type_size} bytes")))?
            .saturating_mul(byte_size);
        let end = bit_offset
            .saturating_add(bit_size)
            .saturating_sub(byte_offset.saturating_mul(8));
        if end <= byte_size.saturating_mul(8) {
            return Ok(Extent {
                byte_offset,
                byte_size,
                bit_size,
                bitfield: true,
            });
        }
        if byte_size >= 8 {
            return Err(Fault::new("a bit field that no load of 8 bytes has whole"));
        }
        byte_size = byte_size.saturating_mul(2);
    }
}

/// The bytes of a value, or of one element of an array: what a load reads.
fn element_size(access: &Access<'_>, id: TypeId) -> Result<u64, Fault> {
    const MAX_DIMENSIONS: u32 = 32;
    let mut found = access.btf.skip_modifiers(id)?;
    for _ in 0..MAX_DIMENSIONS {
        match found.kind() {
            Kind::Array(array) => found = access.btf.skip_modifiers(array.element)?,
            _ => return access.btf.size_of(found.id()).map_err(Into::into),
        }
    }
    Err(Fault::new("an array of too many dimensions"))
}
