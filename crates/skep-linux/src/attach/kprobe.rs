//! Functions of the kernel: one by the perf event source `kprobe` (4.17), many by one link
//! (5.18).

use std::{collections::BTreeSet, ffi::CString};

use skep_abi::KprobeMultiFlags;
use skep_host::{
    Attachment, Cause, Errno, KernelFunctions, LinkOptions, LinkTarget, MultiMode, ProgramFd,
    Result,
};

use super::{Refusal, perf_event, source::Source};
use crate::{LinuxHost, link, mounts::missing_tracefs, perf};

/// Where tracefs lists the functions that can be hooked by many.
const TRACEABLE: &str = "available_filter_functions";

pub(super) fn attach(
    host: &LinuxHost,
    program: &ProgramFd,
    function: &str,
    offset: u64,
    at_return: bool,
    cookie: Option<u64>,
) -> Result<Attachment, Refusal> {
    // Without the source the kernel has no probes: that it does not support them is found out.
    let source = Source::open("kprobe").map_err(|_| Errno::EOPNOTSUPP)?;
    let name = CString::new(function).map_err(|_| Errno::EINVAL)?;
    let mut attr = source.attributes(at_return)?;
    attr.config1 = name.as_ptr() as u64;
    attr.config2 = offset;
    // The event is opened on one CPU, but the program runs for the function on every CPU.
    let event = perf::open(&attr, perf::any_cpu(host)).map_err(|errno| Refusal {
        errno,
        cause: open_cause(host, errno, function, offset),
    })?;
    perf_event::hold(host, program, vec![event], cookie)
}

fn open_cause(host: &LinuxHost, errno: Errno, function: &str, offset: u64) -> Option<Cause> {
    match errno {
        Errno::ENOENT => Some(not_found(host, function)),
        Errno::EINVAL | Errno::EADDRNOTAVAIL if offset != 0 => Some(Cause::Other {
            what: format!("{function}+{offset:#x} is no instruction that can be probed"),
            fix: "probe the function's start, or an instruction's first byte inside of it".into(),
        }),
        Errno::EINVAL | Errno::EADDRNOTAVAIL => Some(Cause::Other {
            what: format!("the kernel lets nobody probe `{function}`: it runs while probes do"),
            fix: "probe a function that calls it; /sys/kernel/debug/kprobes/blacklist has them all"
                .into(),
        }),
        _ => perf::open_cause(host, errno),
    }
}

/// What to say of a function that is not there.
pub(super) fn not_found(host: &LinuxHost, function: &str) -> Cause {
    let all = traceable(host).unwrap_or_default();
    Cause::NotFound {
        kind: "kernel function",
        name: function.to_owned(),
        near: skep_abi::near_names(function, all.iter().map(String::as_str)),
    }
}

/// The functions that can be hooked by many, each once.
fn traceable(host: &LinuxHost) -> Result<BTreeSet<String>> {
    let tree = host.tracefs().ok_or_else(|| missing_tracefs(host))?;
    let text = tree.read(TRACEABLE).map_err(|error| {
        let cause = Cause::KernelOption("CONFIG_DYNAMIC_FTRACE");
        let errno = crate::sys::errno_of(&error);
        skep_host::Error::system("read", format!("tracefs' {TRACEABLE}"), errno)
            .because((errno == Errno::ENOENT).then_some(cause))
    })?;
    Ok(text
        .lines()
        // A module's function is followed by the module's name.
        .filter_map(|line| line.split_ascii_whitespace().next())
        // Places that linking left over.
        .filter(|name| !name.starts_with("__ftrace_invalid_address__"))
        .map(str::to_owned)
        .collect())
}

pub(super) fn attach_many(
    host: &LinuxHost,
    program: &ProgramFd,
    mode: MultiMode,
    functions: &KernelFunctions,
    cookies: &[u64],
) -> Result<Attachment, Refusal> {
    let found;
    let (names, addresses): (&[String], &[u64]) = match functions {
        KernelFunctions::Names(names) => (names, &[]),
        KernelFunctions::Addresses(addresses) => (&[], addresses),
        KernelFunctions::Pattern(pattern) => {
            found = matching(host, pattern)?;
            (&found, &[])
        }
    };
    let names: Vec<CString> = names
        .iter()
        .map(|name| CString::new(name.as_str()))
        .collect::<Result<_, _>>()
        .map_err(|_| Errno::EINVAL)?;
    let symbols: Vec<_> = names.iter().map(CString::as_c_str).collect();
    let mut request = link::plain(program, LinkTarget::None, mode.kprobe());
    request.options = LinkOptions::KprobeMulti {
        symbols: &symbols,
        addresses,
        cookies,
        flags: match mode {
            MultiMode::Return => KprobeMultiFlags::RETURN,
            MultiMode::Entry | MultiMode::Session => KprobeMultiFlags::empty(),
        },
    };
    let link = link::create_raw(host, &request).map_err(|errno| Refusal {
        errno,
        cause: match (errno, names.as_slice()) {
            (Errno::ESRCH, [one]) => Some(not_found(host, &one.to_string_lossy())),
            (Errno::ESRCH, _) => Some(Cause::Other {
                what: "one of the functions is not there, or can't be traced".into(),
                fix: format!("take those that tracefs' {TRACEABLE} has"),
            }),
            _ => None,
        },
    })?;
    Ok(Attachment::link(link))
}

/// Whether it may mean several functions.
pub(super) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '[', ']'])
}

/// The functions that a pattern means; at least one.
pub(super) fn matching(host: &LinuxHost, pattern: &str) -> Result<Vec<String>, Refusal> {
    // A name without a wildcard needs no list.
    if !is_pattern(pattern) {
        return Ok(vec![pattern.to_owned()]);
    }
    if pattern.contains(['[', ']']) {
        // No function's name has them: they are meant as a shell would read them.
        let cause = Cause::Other {
            what: format!(
                "`{pattern}` has brackets, and of the letters in a pattern only `*` and `?` stand \
                 for others"
            ),
            fix: format!("write `{}`", without_brackets(pattern)),
        };
        return Err(Refusal::because(Errno::EINVAL, cause));
    }
    let mut all = traceable(host)?;
    all.retain(|name| skep_abi::glob_matches(pattern, name));
    if all.is_empty() {
        let cause = Cause::NotFound {
            kind: "kernel function like",
            name: pattern.to_owned(),
            near: Vec::new(),
        };
        return Err(Refusal::because(Errno::ENOENT, cause));
    }
    Ok(all.into_iter().collect())
}

/// A pattern with a `?` in place of each `[…]`.
fn without_brackets(pattern: &str) -> String {
    let mut plain = String::new();
    let mut inside = false;
    for letter in pattern.chars() {
        match letter {
            '[' if !inside => {
                inside = true;
                plain.push('?');
            }
            ']' => inside = false,
            _ if inside => {}
            _ => plain.push(letter),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_become_question_marks() {
        for (pattern, plain) in [
            ("vfs_rea[d]", "vfs_rea?"),
            ("tcp_[rs]*", "tcp_?*"),
            ("x[", "x?"),
            ("x]", "x"),
        ] {
            assert_eq!(without_brackets(pattern), plain);
        }
    }
}
