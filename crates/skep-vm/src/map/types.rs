//! The types of a map's key and value: whether they fit the map, and which special fields its
//! values have.

use skep_abi::{MapCreateFlags, MapProperties, MapType};
use skep_btf::{Btf, Kind, TypeId};
use skep_host::Errno;

use super::{Field, FieldKind, Fields, Shape, special_fields};

/// Checks the types of a map, and finds the special fields of its values. Key and value are type
/// ids, 0 for none.
///
/// # Errors
/// The kernel's numbers: `EINVAL` for types of other sizes, `ENOTSUPP` for maps that take none,
/// `EOPNOTSUPP` for fields that the map's values can't have, `EACCES` for fields in a map that
/// programs can't both read and write.
pub(crate) fn check_types(shape: &Shape, btf: &Btf, key: u32, value: u32) -> Result<Fields, Errno> {
    if value == 0 {
        // A key's type alone; nothing looks at it.
        return if key == 0 {
            Ok(Fields::default())
        } else {
            Err(Errno::EINVAL)
        };
    }
    let properties = shape.map_type.rules().properties;
    let queue = matches!(shape.map_type, MapType::Queue | MapType::Stack);
    let checks =
        takes_no_key(shape.map_type) || (properties.contains(MapProperties::NO_BTF) && !queue);
    if key != 0 {
        fits(btf, key, shape.key_size)?;
    } else if !checks {
        return Err(Errno::EINVAL);
    }
    fits(btf, value, shape.value_size)?;
    let fields = fields_of(btf, value);
    let neither = MapCreateFlags::RDONLY_PROG | MapCreateFlags::WRONLY_PROG;
    if !fields.is_empty() && shape.flags.intersects(neither) {
        return Err(Errno::EACCES);
    }
    if !fields
        .iter()
        .all(|field| properties.contains(needs(field.kind)))
    {
        return Err(Errno::EOPNOTSUPP);
    }
    if properties.contains(MapProperties::NO_BTF) {
        return Err(Errno::ENOTSUPP);
    }
    check_key(shape, btf, key, value)?;
    Ok(Fields::new(fields))
}

/// The size of a type, which must have one.
fn fits(btf: &Btf, id: u32, size: u32) -> Result<(), Errno> {
    match btf.size_of(TypeId(id)) {
        Ok(found) if found == u64::from(size) => Ok(()),
        _ => Err(Errno::EINVAL),
    }
}

/// Types whose own rule says what a missing type of keys means.
fn takes_no_key(map_type: MapType) -> bool {
    matches!(
        map_type,
        MapType::Array | MapType::PercpuArray | MapType::LpmTrie | MapType::BloomFilter
    )
}

fn check_key(shape: &Shape, btf: &Btf, key: u32, value: u32) -> Result<(), Errno> {
    let kind = |id| btf.skip_modifiers(TypeId(id)).map(|found| found.kind());
    let fits = match shape.map_type {
        // Sections of variables: .data, .bss, .rodata.
        MapType::Array if key == 0 => {
            shape.max_entries == 1 && matches!(kind(value), Ok(Kind::DataSection(_)))
        }
        MapType::Array | MapType::PercpuArray => matches!(
            kind(key),
            Ok(Kind::Int(int)) if int.size == 4 && int.bits == 32 && int.offset == 0
        ),
        MapType::LpmTrie => matches!(kind(key), Ok(Kind::Struct(_))),
        MapType::BloomFilter => key == 0,
        _ => true,
    };
    match fits {
        true => Ok(()),
        false => Err(Errno::EINVAL),
    }
}

/// What a map type must have for its values to have such a field.
fn needs(kind: FieldKind) -> MapProperties {
    match kind {
        FieldKind::SpinLock | FieldKind::ResilientLock => MapProperties::SPIN_LOCK,
        FieldKind::Timer | FieldKind::Workqueue | FieldKind::TaskWork => MapProperties::TIMER,
        FieldKind::Pointer | FieldKind::Refcount => MapProperties::KPTR,
        FieldKind::UserPointer => MapProperties::UPTR,
        FieldKind::ListHead | FieldKind::TreeRoot => MapProperties::COLLECTIONS,
        // Only what is in a list or tree has those; to maps they are bytes.
        FieldKind::ListNode | FieldKind::TreeNode => MapProperties::empty(),
    }
}

/// The special fields of a value's type. Where the type breaks a rule it has none, as in the
/// kernel, which refuses the programs that would use them.
fn fields_of(btf: &Btf, value: u32) -> Vec<Field> {
    let mut fields = special_fields(btf, TypeId(value)).unwrap_or_default();
    fields.retain(|field| !matches!(field.kind, FieldKind::ListNode | FieldKind::TreeNode));
    fields
}
