//! Helpers that look names up: of types, of symbols.

use skep_btf::KindTag;
use skep_host::Errno;

use super::{Arguments, Outcome, Table, errno, shim};
use crate::{FaultKind, machine::types::types, run::Run};

pub(super) static TABLE: Table = &[
    (167, shim!(btf_find_by_name_kind)),
    (179, shim!(kallsyms_lookup_name)),
];

/// A name with its length, which must end in its only NUL.
fn name(run: &Run<'_>, address: u64, size: u64) -> Result<Option<String>, FaultKind> {
    let bytes = run.view(address, u64::from(size as u32), false)?.to_vec();
    Ok(match bytes.split_last() {
        Some((0, name)) if !name.is_empty() => {
            let end = name.iter().position(|byte| *byte == 0);
            let name = name.get(..end.unwrap_or(name.len())).unwrap_or_default();
            Some(String::from_utf8_lossy(name).into_owned())
        }
        _ => None,
    })
}

/// `bpf_btf_find_by_name_kind(name, name_sz, kind, flags)`
fn btf_find_by_name_kind(run: &Run<'_>, [text, size, kind, flags, _]: Arguments) -> Outcome {
    let name = name(run, text, size)?;
    let Some(name) = name.filter(|_| flags == 0) else {
        return Ok(errno(Errno::EINVAL));
    };
    let found = u8::try_from(kind as u32)
        .ok()
        .and_then(KindTag::from_number);
    let found = found.and_then(|kind| types().find(&name, kind));
    Ok(found.map_or_else(|| errno(Errno::ENOENT), |id| u64::from(id.0)))
}

/// `bpf_kallsyms_lookup_name(name, name_sz, flags, res)`
fn kallsyms_lookup_name(run: &Run<'_>, [text, size, flags, result, _]: Arguments) -> Outcome {
    let result = run.view(result, 8, true)?;
    let name = name(run, text, size)?;
    result.set_u64(0, 0);
    // The machine has no functions or variables with an address.
    Ok(errno(match name {
        Some(_) if flags == 0 => Errno::ENOENT,
        _ => Errno::EINVAL,
    }))
}
