//! Functions of the kernel: `kprobe/function[+offset]`, `ksyscall/name`, `kprobe.multi/pattern`.

use std::sync::Arc;

use skep_host::{AttachPoint, KernelFunctions, MultiMode, ProbeSource};

use super::AttachOptions;
use crate::{Link, Program, Result, binary::parse_number};

/// What the functions behind system calls are called, before the call's own name.
const SYSCALL_PREFIX: &str = if cfg!(target_arch = "x86_64") {
    "__x64_sys_"
} else if cfg!(target_arch = "aarch64") {
    "__arm64_sys_"
} else if cfg!(target_arch = "s390x") {
    "__s390x_sys_"
} else if cfg!(target_arch = "riscv64") {
    "__riscv_sys_"
} else {
    "sys_"
};

/// `kprobe/function+offset`
pub(super) fn one(
    program: &Arc<Program>,
    options: &AttachOptions,
    at_return: bool,
) -> Result<Link> {
    let example = if at_return {
        "kretprobe/do_unlinkat"
    } else {
        "kprobe/do_unlinkat"
    };
    let target = program.needed_target(example)?;
    let (function, offset) = match target.split_once('+') {
        Some((function, text)) => {
            let wrong = || program.cannot_attach(&format!("`{text}` is no offset in bytes"));
            (function, parse_number(text).ok_or_else(wrong)?)
        }
        None => (target, 0),
    };
    if at_return && offset != 0 {
        return Err(program.cannot_attach("a function returns as a whole: leave out the offset"));
    }
    probe(program, options, at_return, function.to_owned(), offset)
}

/// `ksyscall/openat`
pub(super) fn system_call(
    program: &Arc<Program>,
    options: &AttachOptions,
    at_return: bool,
) -> Result<Link> {
    let name = program.needed_target("ksyscall/openat")?;
    probe(
        program,
        options,
        at_return,
        format!("{SYSCALL_PREFIX}{name}"),
        0,
    )
}

fn probe(
    program: &Arc<Program>,
    options: &AttachOptions,
    at_return: bool,
    function: String,
    offset: u64,
) -> Result<Link> {
    // A number of calls that are under way says nothing of entries.
    let source = match options.probe_source {
        ProbeSource::TracefsReturns(_) if !at_return => ProbeSource::Auto,
        source => source,
    };
    program.attach_to(&AttachPoint::Kprobe {
        at_return,
        function,
        offset,
        source,
        cookie: options.cookie,
    })
}

/// `kprobe.multi/tcp_*`
pub(super) fn many(
    program: &Arc<Program>,
    options: &AttachOptions,
    mode: MultiMode,
) -> Result<Link> {
    let pattern = program.needed_target("kprobe.multi/tcp_*")?;
    // A cookie is one function's; with a pattern nobody knows how many there are.
    if options.cookie.is_some() && pattern.contains(['*', '?']) {
        return Err(program.cannot_attach(
            "a cookie belongs to one function: name it, or describe the place in full",
        ));
    }
    program.attach_to(&AttachPoint::KprobeMulti {
        mode,
        functions: KernelFunctions::Pattern(pattern.to_owned()),
        cookies: options.cookie.into_iter().collect(),
    })
}
