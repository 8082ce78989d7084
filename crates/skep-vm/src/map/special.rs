//! The special fields of a type, as its BTF tells: locks, timers, pointers with a tag, lists.

use skep_btf::{Btf, Kind, TypeId};

use super::{Field, FieldKind};

/// How deeply structures may be nested.
const DEPTH: u32 = 16;
/// Most fields that a type may have (`BTF_FIELDS_MAX`).
const MOST: usize = 11;

/// The special fields of a type, by offset; `None` if there are too many, or its BTF makes no
/// sense.
pub(crate) fn special_fields(btf: &Btf, id: TypeId) -> Option<Vec<Field>> {
    let mut found = Vec::new();
    search(btf, id, 0, DEPTH, &mut found)?;
    found.sort_by_key(|field: &Field| field.offset);
    Some(found)
}

/// A structure that is special by its name.
fn by_name(name: &str) -> Option<FieldKind> {
    Some(match name {
        "bpf_spin_lock" => FieldKind::SpinLock,
        "bpf_res_spin_lock" => FieldKind::ResilientLock,
        "bpf_timer" => FieldKind::Timer,
        "bpf_wq" => FieldKind::Workqueue,
        "bpf_task_work" => FieldKind::TaskWork,
        "bpf_list_head" => FieldKind::ListHead,
        "bpf_list_node" => FieldKind::ListNode,
        "bpf_rb_root" => FieldKind::TreeRoot,
        "bpf_rb_node" => FieldKind::TreeNode,
        "bpf_refcount" => FieldKind::Refcount,
        _ => return None,
    })
}

fn search(btf: &Btf, id: TypeId, offset: u32, depth: u32, found: &mut Vec<Field>) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    let this = btf.skip_modifiers(id).ok()?;
    match this.kind() {
        Kind::Struct(structure) => {
            if let Some(kind) = by_name(this.name()) {
                return add(found, offset, structure.size, kind);
            }
            for member in structure.members() {
                // Special fields are at whole bytes, and no bit fields.
                if !member.bit_offset.is_multiple_of(8) || member.bitfield_size != 0 {
                    continue;
                }
                let at = offset.checked_add(member.bit_offset / 8)?;
                search(btf, member.type_id, at, depth, found)?;
            }
            Some(())
        }
        Kind::DataSection(section) => {
            for entry in section.entries() {
                let Kind::Variable(variable) = btf.type_by_id(entry.type_id).ok()?.kind() else {
                    continue;
                };
                let at = offset.checked_add(entry.offset)?;
                search(btf, variable.type_id, at, depth, found)?;
            }
            Some(())
        }
        Kind::Array(array) => {
            let mut first = Vec::new();
            search(btf, array.element, 0, depth, &mut first)?;
            if first.is_empty() {
                return Some(());
            }
            let size = u32::try_from(btf.size_of(array.element).ok()?).ok()?;
            for index in 0..array.len {
                let base = size.checked_mul(index)?.checked_add(offset)?;
                for field in &first {
                    add(
                        found,
                        base.checked_add(field.offset)?,
                        field.size,
                        field.kind,
                    )?;
                }
            }
            Some(())
        }
        Kind::Pointer { target } => match btf.type_by_id(target).ok()?.kind() {
            Kind::TypeTag { .. } => {
                let tag = btf.type_by_id(target).ok()?.name();
                match tag {
                    "kptr" | "kptr_untrusted" | "percpu_kptr" => {
                        add(found, offset, 8, FieldKind::Pointer)
                    }
                    "uptr" => add(found, offset, 8, FieldKind::UserPointer),
                    _ => Some(()),
                }
            }
            _ => Some(()),
        },
        _ => Some(()),
    }
}

fn add(found: &mut Vec<Field>, offset: u32, size: u32, kind: FieldKind) -> Option<()> {
    if found.len() >= MOST {
        return None;
    }
    found.push(Field { offset, size, kind });
    Some(())
}
