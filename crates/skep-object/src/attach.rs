//! The types in the target's BTF that tracing and LSM programs are loaded for.

use std::sync::Arc;

use skep_btf::{Btf, KindTag, TypeId};

use crate::{AttachBtf, AttachKind, Error, Program, Result, Target};

/// Finds what a program is loaded for; `None` for programs that are attached later, wherever.
pub(crate) fn resolve(
    program: &Program,
    attach_target: Option<&str>,
    target: &Target,
) -> Result<Option<AttachBtf>> {
    let (prefix, tag, what) = match program.section.kind() {
        AttachKind::TracepointBtf => ("btf_trace_", KindTag::Typedef, "tracepoint"),
        AttachKind::Fentry | AttachKind::Fexit | AttachKind::FmodRet | AttachKind::Fsession => {
            ("", KindTag::Function, "function")
        }
        AttachKind::Lsm | AttachKind::LsmCgroup => ("bpf_lsm_", KindTag::Function, "LSM hook"),
        AttachKind::Iterator => ("bpf_iter_", KindTag::Function, "iterator"),
        _ => return Ok(None),
    };
    let wrong = |problem: String| Error::AttachTarget {
        program: program.name.clone(),
        section: program.section.to_string(),
        problem,
    };
    let Some(name) = attach_target else {
        let section = program.section.name();
        return Err(wrong(format!("it names no {what}: SEC(\"{section}/…\")")));
    };
    let Some(kernel) = &target.kernel_btf else {
        let what = format!("program `{}` ({})", program.name, program.section);
        return Err(Error::NoTargetBtf { what });
    };
    // `module:function` looks nowhere else.
    let (module, name) = match name.split_once(':') {
        Some((module, name)) => (Some(module), name),
        None => (None, name),
    };
    let full_name = format!("{prefix}{name}");
    if module.is_none_or(|module| module == "vmlinux")
        && let Some(type_id) = own_type(kernel, &full_name, tag)
    {
        return Ok(Some(AttachBtf {
            type_id,
            module: None,
        }));
    }
    for candidate in &target.modules {
        if module.is_none_or(|module| module == candidate.name)
            && let Some(type_id) = own_type(&candidate.btf, &full_name, tag)
        {
            return Ok(Some(AttachBtf {
                type_id,
                module: Some(candidate.name.clone()),
            }));
        }
    }
    let place = module.map_or("the kernel".to_owned(), |module| {
        format!("module `{module}`")
    });
    let spelled = if prefix.is_empty() {
        String::new()
    } else {
        format!(" (`{full_name}`)")
    };
    let near = near(name, prefix, tag, module, target);
    Err(wrong(format!(
        "{place} has no {what} `{name}` in its BTF{spelled}{near}"
    )))
}

/// What it may have been meant to be.
fn near(name: &str, prefix: &str, tag: KindTag, module: Option<&str>, target: &Target) -> String {
    let modules = target.modules.iter();
    let modules = modules.map(|module| (module.name.as_str(), &module.btf));
    let kernel = target.kernel_btf.iter().map(|btf| ("vmlinux", btf));
    let all = kernel.chain(modules);
    let named = all.filter(|(place, _)| module.is_none_or(|module| module == *place));
    let types = named.flat_map(|(_, btf)| btf.types().filter(|found| found.tag() == Some(tag)));
    let names = types.filter_map(|found| found.name().strip_prefix(prefix));
    match skep_abi::near_names(name, names).as_slice() {
        [] => String::new(),
        near => format!("; did you mean `{}`?", near.join("` or `")),
    }
}

/// The type of a name and kind in a BTF, and not in the one that it is split from.
pub(crate) fn own_type(btf: &Arc<Btf>, name: &str, tag: KindTag) -> Option<TypeId> {
    btf.find_by_name(name).find(|id| {
        *id >= btf.first_id()
            && btf
                .type_by_id(*id)
                .is_ok_and(|found| found.tag() == Some(tag))
    })
}
