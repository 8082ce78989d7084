//! Tracepoints in their three forms, and what else the kernel's BTF names.

use std::sync::Arc;

use skep_host::{AttachPoint, KernelFunctions};

use super::AttachOptions;
use crate::{Link, Program, Result};

/// `tracepoint/category/name`
pub(super) fn tracepoint(program: &Arc<Program>, options: &AttachOptions) -> Result<Link> {
    const EXAMPLE: &str = "tracepoint/syscalls/sys_enter_openat";
    let target = program.needed_target(EXAMPLE)?;
    let Some((category, name)) = target.split_once('/') else {
        return Err(program.cannot_attach(&format!(
            "`{target}` is no category and name, as in `{EXAMPLE}`"
        )));
    };
    program.attach_to(&AttachPoint::Tracepoint {
        category: category.to_owned(),
        name: name.to_owned(),
        cookie: options.cookie,
    })
}

/// `raw_tp/name`
pub(super) fn raw_tracepoint(program: &Arc<Program>, options: &AttachOptions) -> Result<Link> {
    let name = program.needed_target("raw_tp/sched_switch")?.to_owned();
    program.attach_to(&AttachPoint::RawTracepoint {
        name,
        cookie: options.cookie,
    })
}

/// `tp_btf/name`, `fentry/function` and their like: the load fixed the target already.
pub(super) fn by_btf(program: &Arc<Program>, options: &AttachOptions) -> Result<Link> {
    let attach_type = program
        .section()
        .attach_type()
        .ok_or_else(|| program.cannot_attach("its section says no attach type"))?;
    program.attach_to(&AttachPoint::Tracing {
        attach_type,
        target: program.section().to_string(),
        cookie: options.cookie,
    })
}

/// `freplace/function`: the load fixed whose function it is.
pub(super) fn replace(program: &Arc<Program>, options: &AttachOptions) -> Result<Link> {
    program.attach_to(&AttachPoint::Replace {
        function: program.needed_target("freplace/is_allowed")?.to_owned(),
        elsewhere: None,
        cookie: options.cookie,
    })
}

/// `fentry.multi/pattern`
pub(super) fn many(program: &Arc<Program>, options: &AttachOptions) -> Result<Link> {
    let pattern = program.needed_target("fentry.multi/tcp_*")?;
    // A cookie is one function's; with a pattern nobody knows how many there are.
    if options.cookie.is_some() && pattern.contains(['*', '?']) {
        return Err(program.cannot_attach(
            "a cookie belongs to one function: name it, or describe the place in full",
        ));
    }
    let attach_type = program
        .section()
        .attach_type()
        .ok_or_else(|| program.cannot_attach("its section says no attach type"))?;
    program.attach_to(&AttachPoint::TracingMulti {
        attach_type,
        functions: KernelFunctions::Pattern(pattern.to_owned()),
        cookies: options.cookie.into_iter().collect(),
    })
}
