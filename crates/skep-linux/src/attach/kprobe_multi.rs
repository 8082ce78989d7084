//! Many functions of the kernel by one link (5.18).

use std::{collections::BTreeSet, ffi::CString};

use skep_abi::KprobeMultiFlags;
use skep_host::{
    Attachment, Cause, Errno, KernelFunctions, LinkOptions, LinkTarget, MultiMode, ProgramFd,
    Result,
};

use super::{Refusal, function};
use crate::{LinuxHost, link, mounts::missing_tracefs};

/// Where tracefs lists the functions that can be hooked by many.
const TRACEABLE: &str = "available_filter_functions";

/// The functions that can be hooked by many, each once.
pub(super) fn traceable(host: &LinuxHost) -> Result<BTreeSet<String>> {
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

pub(super) fn attach(
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
            (Errno::ESRCH, [one]) => Some(function::not_found(host, &one.to_string_lossy())),
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
