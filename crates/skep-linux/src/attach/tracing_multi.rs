//! Many functions of the kernel with their arguments, by one link: fentry.multi, fexit.multi,
//! fsession.multi (7.2). The kernel takes them by their ids in its BTF.

use std::collections::BTreeSet;

use skep_abi::{AttachType, TracedFunction};
use skep_btf::{Btf, Kind, KindTag, TypeId};
use skep_host::{
    Attachment, Cause, Errno, KernelFunctions, LinkOptions, LinkTarget, ProgramFd, Result,
};

use super::{Refusal, function, kprobe_multi};
use crate::{LinuxHost, link};

/// How many arguments a function may have that is traced.
const ARGUMENTS: usize = 12;

pub(super) fn attach(
    host: &LinuxHost,
    program: &ProgramFd,
    attach_type: AttachType,
    functions: &KernelFunctions,
    cookies: &[u64],
) -> Result<Attachment, Refusal> {
    let btf = host.found().btf(host).ok_or_else(|| {
        let option = Cause::KernelOption("CONFIG_DEBUG_INFO_BTF");
        Refusal::because(Errno::ENOENT, option)
    })?;
    let ids = match functions {
        KernelFunctions::Names(names) => named(host, btf, names.iter())?,
        KernelFunctions::Pattern(pattern) if !kprobe_multi::is_pattern(pattern) => {
            named(host, btf, [pattern.as_str()].into_iter())?
        }
        KernelFunctions::Pattern(pattern) => matching(host, btf, attach_type, pattern)?,
        KernelFunctions::Addresses(_) => {
            let cause = Cause::Other {
                what: "these programs are attached by the names of functions, not by addresses"
                    .into(),
                fix: "give names or a pattern, or use a kprobe.multi program".into(),
            };
            return Err(Refusal::because(Errno::EINVAL, cause));
        }
    };
    let mut request = link::plain(program, LinkTarget::None, attach_type);
    request.options = LinkOptions::TracingMulti { ids: &ids, cookies };
    let link = link::create_raw(host, &request).map_err(|errno| Refusal {
        errno,
        cause: (errno == Errno::EINVAL).then(|| Cause::Other {
            what: format!("one of the functions {functions} can't be traced, or is named twice"),
            fix: "leave out those that have no prototype that is simple enough, or that the \
                  kernel's log names"
                .into(),
        }),
    })?;
    Ok(Attachment::link(link))
}

/// The ids of functions that are named.
fn named<'n>(
    host: &LinuxHost,
    btf: &Btf,
    names: impl Iterator<Item = &'n str>,
) -> Result<Vec<u32>, Refusal> {
    let id = |name: &str| match btf.find(name, KindTag::Function) {
        Some(id) => Ok(id.0),
        None => Err(Refusal::because(
            Errno::ENOENT,
            function::not_found(host, name),
        )),
    };
    names.map(id).collect()
}

/// The ids of the functions that a pattern means and that can be traced; at least one.
fn matching(
    host: &LinuxHost,
    btf: &Btf,
    attach_type: AttachType,
    pattern: &str,
) -> Result<Vec<u32>, Refusal> {
    let names = kprobe_multi::matching(host, pattern)?;
    let returns = attach_type != AttachType::TraceFentryMulti;
    let traceable = |name: &String| {
        let function = TracedFunction { name };
        if function.is_denied() || (returns && function.never_returns()) {
            return None;
        }
        let id = btf.find(name, KindTag::Function)?;
        is_simple(btf, id).then_some(id.0)
    };
    let ids: BTreeSet<u32> = names.iter().filter_map(traceable).collect();
    if ids.is_empty() {
        let cause = Cause::Other {
            what: format!("none of the functions like `{pattern}` can be traced by their types"),
            fix: "use a kprobe.multi program, which needs no types".into(),
        };
        return Err(Refusal::because(Errno::ENOENT, cause));
    }
    Ok(ids.into_iter().collect())
}

/// Whether a function's arguments can be handed to a program: not too many, and no `...`.
fn is_simple(btf: &Btf, id: TypeId) -> bool {
    let prototype = btf
        .type_by_id(id)
        .ok()
        .and_then(|found| match found.kind() {
            Kind::Function(function) => btf.type_by_id(function.prototype).ok(),
            _ => None,
        });
    let Some(Kind::FunctionPrototype(prototype)) = prototype.map(|found| found.kind()) else {
        return false;
    };
    let parameters = prototype.params();
    let few = parameters.len() <= ARGUMENTS;
    few && parameters
        .into_iter()
        .all(|one| one.type_id != TypeId::VOID)
}
