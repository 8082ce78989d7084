//! Managed fields of structures: a kernel looks for them in each structure that has, itself, a member
//! of a special type, and refuses all types where one has what can't be.

use std::collections::{BTreeMap, BTreeSet};

use super::{Fault, Refused};
use crate::{
    Btf, Kind, KindTag, Place, TypeId,
    managed::{self, Field, FieldKind, Holder, Problem},
};

/// Special types that have a structure looked at; the first of each name.
const SPECIAL: [&str; 6] = [
    "bpf_spin_lock",
    "bpf_list_head",
    "bpf_list_node",
    "bpf_rb_root",
    "bpf_rb_node",
    "bpf_refcount",
];

/// The most members that are looked at, in structures of structures too. A kernel has no limit: types
/// that are made to have so many would keep it for hours.
const MOST_MEMBERS: u32 = 1_000_000;

pub(super) fn check(btf: &Btf) -> Result<(), Refused> {
    let special = special(btf);
    if special.is_empty() {
        return Ok(());
    }
    let refused = |of: TypeId, problem| Refused {
        place: btf.type_by_id(of).ok().map(|of| Place {
            offset: of.data_offset(),
            type_id: Some(of.id()),
        }),
        why: Fault::Managed(problem),
    };
    let mut left = MOST_MEMBERS;
    let mut known: BTreeMap<TypeId, Vec<Field>> = BTreeMap::new();
    for of in btf.types() {
        let Kind::Struct(composite) = of.kind() else {
            continue;
        };
        let mut members = composite.members().into_iter();
        if !members.any(|member| special.contains(&member.type_id)) {
            continue;
        }
        match managed::fields(btf, of.id(), Holder::Object, &mut left) {
            (_, Some(problem)) => return Err(refused(of.id(), problem)),
            (fields, None) if fields.is_empty() => return Err(refused(of.id(), Problem::Unlike)),
            (fields, None) => drop(known.insert(of.id(), fields)),
        }
    }
    for (of, fields) in &known {
        owned(&known, fields).map_err(|problem| refused(*of, problem))?;
    }
    Ok(())
}

fn special(btf: &Btf) -> BTreeSet<TypeId> {
    let named = SPECIAL.iter();
    let mut all: BTreeSet<_> = named
        .filter_map(|name| btf.find(name, KindTag::Struct))
        .collect();
    for of in btf.types() {
        let pointer = managed::kernel_pointer(btf, Holder::Object, of);
        if matches!(pointer, Ok(Some(_))) {
            all.insert(of.id());
        }
    }
    all
}

/// What a list or tree owns is known, and where that can itself be owned, owns nothing: so no object
/// can be in itself.
fn owned(known: &BTreeMap<TypeId, Vec<Field>>, fields: &[Field]) -> Result<(), Problem> {
    let is_node = fields.iter().any(|field| field.kind.is_node());
    for field in fields {
        let (FieldKind::ListHead { object, .. } | FieldKind::TreeRoot { object, .. }) = &field.kind
        else {
            continue;
        };
        let owned = known.get(object).ok_or(Problem::Unlike)?;
        if is_node && owned.iter().any(|field| field.kind.is_root()) {
            return Err(Problem::Owns);
        }
    }
    Ok(())
}
