//! Helpers on maps.

use super::{Arguments, Outcome, Table, shim, status};
use crate::run::Run;

pub(super) static TABLE: Table = &[
    (1, shim!(map_lookup_elem)),
    (2, shim!(map_update_elem)),
    (3, shim!(map_delete_elem)),
];

/// `bpf_map_lookup_elem(map, key)`
fn map_lookup_elem(run: &Run<'_>, [map, key, ..]: Arguments) -> Outcome {
    let map = run.map(map)?;
    let key = run.view(key, u64::from(map.shape.key_size), false)?;
    if let Some(inner) = map.kind.inner(key) {
        return Ok(run.keep(inner));
    }
    Ok(map
        .kind
        .lookup(run.cpu, key)
        .map_or(0, |value| value.address()))
}

/// `bpf_map_update_elem(map, key, value, flags)`
fn map_update_elem(run: &Run<'_>, [map, key, value, flags, _]: Arguments) -> Outcome {
    let map = run.map(map)?;
    let key = run.view(key, u64::from(map.shape.key_size), false)?;
    let value = run.view(value, u64::from(map.shape.value_size), false)?;
    Ok(status(map.kind.update(run.cpu, key, value, flags)))
}

/// `bpf_map_delete_elem(map, key)`
fn map_delete_elem(run: &Run<'_>, [map, key, ..]: Arguments) -> Outcome {
    let map = run.map(map)?;
    let key = run.view(key, u64::from(map.shape.key_size), false)?;
    Ok(status(map.kind.delete(key)))
}
