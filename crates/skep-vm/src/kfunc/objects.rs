//! Kernel functions on objects that a program allocates by a type of its own.

use std::sync::Arc;

use skep_btf::{Kind, TypeId};

use super::Table;
use crate::{
    FaultKind,
    helper::{Arguments, Outcome, shim},
    machine::objects::{Layout, ObjectKind},
    map::{Fields, special_fields},
    run::Run,
};

pub(super) static TABLE: Table = &[
    ("bpf_obj_new", shim!(obj_new)),
    ("bpf_obj_drop", shim!(obj_drop)),
    ("bpf_percpu_obj_new", shim!(percpu_obj_new)),
    ("bpf_percpu_obj_drop", shim!(percpu_obj_drop)),
    ("bpf_refcount_acquire", shim!(refcount_acquire)),
];

/// Bytes of the largest object that has a copy a CPU (`BPF_GLOBAL_PERCPU_MA_MAX_SIZE`).
const LARGEST_PERCPU: u32 = 512;

/// The layout of a structure of the program, by its id in the program's BTF.
fn layout(run: &Run<'_>, id: u64, function: &'static str) -> Result<Arc<Layout>, FaultKind> {
    let fault = |reason| FaultKind::Argument { function, reason };
    let id = u32::try_from(id).map_err(|_| fault("this is no type's id"))?;
    let meta = &run.program().meta;
    if let Some(known) = crate::machine::lock(&meta.layouts).get(&id) {
        return Ok(Arc::clone(known));
    }
    let btf = meta.btf.as_ref().ok_or(fault("the program has no types"))?;
    let found = btf.btf.type_by_id(TypeId(id));
    let Ok(Kind::Struct(structure)) = found.map(|found| found.kind()) else {
        return Err(fault("this is no structure of the program"));
    };
    let fields = special_fields(&btf.btf, TypeId(id));
    let fields = fields.ok_or(fault("the structure has too many special fields"))?;
    let layout = Arc::new(Layout {
        size: structure.size,
        fields: Fields::new(fields),
    });
    crate::machine::lock(&meta.layouts).insert(id, Arc::clone(&layout));
    Ok(layout)
}

/// `bpf_obj_new(local_type_id)`
fn obj_new(run: &Run<'_>, [id, ..]: Arguments) -> Outcome {
    let layout = layout(run, id, "bpf_obj_new")?;
    let made = run.vm.objects.allocate(ObjectKind::Local, layout, 1);
    Ok(made.map_or(0, |made| run.hold(made)))
}

fn drop_object(run: &Run<'_>, address: u64, kind: ObjectKind, function: &'static str) -> Outcome {
    run.object(address, kind, function)?;
    let object = run.take(address, function)?;
    run.vm.objects.release(&object);
    Ok(0)
}

/// `bpf_obj_drop(p)`
fn obj_drop(run: &Run<'_>, [object, ..]: Arguments) -> Outcome {
    drop_object(run, object, ObjectKind::Local, "bpf_obj_drop")
}

/// `bpf_percpu_obj_new(local_type_id)`
fn percpu_obj_new(run: &Run<'_>, [id, ..]: Arguments) -> Outcome {
    let function = "bpf_percpu_obj_new";
    let layout = layout(run, id, function)?;
    if layout.size > LARGEST_PERCPU || !layout.fields.is_empty() {
        let reason = "objects a CPU are up to 512 bytes, without special fields";
        return Err(FaultKind::Argument { function, reason }.into());
    }
    let cpus = run.vm.cpus.count();
    let made = run.vm.objects.allocate(ObjectKind::PerCpu, layout, cpus);
    Ok(made.map_or(0, |made| run.hold(made)))
}

/// `bpf_percpu_obj_drop(p)`
fn percpu_obj_drop(run: &Run<'_>, [object, ..]: Arguments) -> Outcome {
    drop_object(run, object, ObjectKind::PerCpu, "bpf_percpu_obj_drop")
}

/// `bpf_refcount_acquire(p)`
fn refcount_acquire(run: &Run<'_>, [object, ..]: Arguments) -> Outcome {
    let function = "bpf_refcount_acquire";
    let object = run.object(object, ObjectKind::Local, function)?;
    let counts = |field: &crate::map::Field| field.kind == crate::map::FieldKind::Refcount;
    if !object.layout.fields.iter().any(counts) {
        let reason = "the object has no bpf_refcount";
        return Err(FaultKind::Argument { function, reason }.into());
    }
    Ok(if object.acquire() {
        run.hold(object)
    } else {
        0
    })
}
