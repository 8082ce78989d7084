//! The special fields of a type, as the verifier knows them: locks, timers, pointers with a tag,
//! lists.

use skep_btf::{Btf, TypeId};
use skep_verifier::FieldKind as Seen;

use super::{Field, FieldKind};

/// The special fields of a type, by offset; `None` if there are too many, or they make no sense.
pub(crate) fn special_fields(btf: &Btf, id: TypeId) -> Option<Vec<Field>> {
    let found = skep_verifier::Fields::of(btf, id);
    if found.problem.is_some() {
        return None;
    }
    let fields = found.fields.iter().map(|field| {
        Some(Field {
            offset: field.offset,
            size: field.size,
            kind: kind(&field.kind)?,
        })
    });
    fields.collect()
}

fn kind(seen: &Seen) -> Option<FieldKind> {
    Some(match seen {
        Seen::SpinLock => FieldKind::SpinLock,
        Seen::ResilientSpinLock => FieldKind::ResilientLock,
        Seen::Timer => FieldKind::Timer,
        Seen::Workqueue => FieldKind::Workqueue,
        Seen::TaskWork => FieldKind::TaskWork,
        Seen::Refcount => FieldKind::Refcount,
        Seen::KernelPointer { user: true, .. } => FieldKind::UserPointer,
        Seen::KernelPointer { .. } => FieldKind::Pointer,
        Seen::ListHead { .. } => FieldKind::ListHead,
        Seen::ListNode => FieldKind::ListNode,
        Seen::TreeRoot { .. } => FieldKind::TreeRoot,
        Seen::TreeNode => FieldKind::TreeNode,
        _ => return None,
    })
}
