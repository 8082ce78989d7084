//! Many functions of the kernel by one link (5.18).

use std::{borrow::Cow, collections::BTreeSet};

use skep_abi::{KernelVersion, KprobeMultiFlags};
use skep_host::{
    Attachment, Cause, Errno, FunctionNames, KernelFunctions, LinkOptions, LinkTarget, MultiMode,
    ProgramFd, Result,
};

use super::{Refusal, function};
use crate::{LinuxHost, link, mounts::missing_tracefs, sys::errno_of};

/// Where tracefs lists the functions that can be hooked by many.
const TRACEABLE: &str = "available_filter_functions";
/// The same with their addresses. Since 6.5.
const ADDRESSED: &str = "available_filter_functions_addrs";

/// How many names an error shows.
const SHOWN: usize = 4;

/// What to hook, as the kernel takes it.
enum Functions<'f> {
    Names(Cow<'f, FunctionNames>),
    Addresses(Cow<'f, [u64]>),
}

pub(super) fn attach(
    host: &LinuxHost,
    program: &ProgramFd,
    mode: MultiMode,
    functions: &KernelFunctions,
    cookies: &[u64],
) -> Result<Attachment, Refusal> {
    let functions = match functions {
        KernelFunctions::Names(names) => Functions::Names(Cow::Borrowed(names)),
        KernelFunctions::Addresses(addresses) => Functions::Addresses(addresses.into()),
        KernelFunctions::Pattern(pattern) => places(host, pattern)?,
    };
    let none = FunctionNames::default();
    let (names, addresses): (&FunctionNames, &[u64]) = match &functions {
        Functions::Names(names) => (names, &[]),
        Functions::Addresses(addresses) => (&none, addresses),
    };
    let count = names.len().max(addresses.len());
    if !cookies.is_empty() && cookies.len() != count {
        let cause = Cause::Other {
            what: format!("{} cookies are given for {count} functions", cookies.len()),
            fix: "give a cookie for each, in their order, or none".into(),
        };
        return Err(Refusal::because(Errno::EINVAL, cause));
    }
    let mut request = link::plain(program, LinkTarget::None, mode.kprobe());
    request.options = LinkOptions::KprobeMulti {
        symbols: names,
        addresses,
        cookies,
        flags: match mode {
            MultiMode::Return => KprobeMultiFlags::RETURN,
            MultiMode::Entry | MultiMode::Session => KprobeMultiFlags::empty(),
        },
    };
    let link = link::create_raw(host, &request).map_err(|errno| Refusal {
        errno,
        cause: cause(host, errno, &functions),
    })?;
    Ok(Attachment::link(link))
}

fn cause(host: &LinuxHost, errno: Errno, functions: &Functions<'_>) -> Option<Cause> {
    let names = match (errno, functions) {
        (Errno::ESRCH | Errno::ENOENT, Functions::Names(names)) => &**names,
        (Errno::ESRCH | Errno::ENOENT | Errno::EINVAL, Functions::Addresses(_)) => {
            return Some(Cause::Other {
                what: "at one of the addresses no function begins that can be traced".into(),
                fix: format!("take those that tracefs' {ADDRESSED} has"),
            });
        }
        _ => return None,
    };
    if names.len() == 1 {
        return names
            .iter()
            .next()
            .map(|one| function::not_found(host, one));
    }
    // The kernel does not say which.
    let known = traceable(host).ok()?;
    let mut missing = names.iter().filter(|name| !known.contains(*name));
    let shown: Vec<String> = missing
        .by_ref()
        .take(SHOWN)
        .map(|name| format!("`{name}`"))
        .collect();
    let first = names.iter().find(|name| !known.contains(*name))?;
    Some(Cause::Other {
        what: format!(
            "of the {} functions, {}{} are not there, or can't be traced",
            names.len(),
            shown.join(", "),
            if missing.next().is_some() {
                ", …"
            } else {
                ""
            }
        ),
        fix: match skep_abi::near_names(first, known.iter().map(String::as_str)).as_slice() {
            [] => format!("take those that tracefs' {TRACEABLE} has"),
            [near, ..] => format!("did you mean `{near}`? Tracefs' {TRACEABLE} has them all"),
        },
    })
}

/// The functions that can be hooked by many, each once.
pub(super) fn traceable(host: &LinuxHost) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    each_traceable(host, TRACEABLE, |found| {
        names.insert(found.name.to_owned());
    })?;
    Ok(names)
}

/// A line of the list.
struct Traceable<'l> {
    /// Where the list has addresses.
    address: Option<u64>,
    name: &'l str,
    module: Option<&'l str>,
}

impl<'l> Traceable<'l> {
    /// Reads `[ffffffff81000000 ]name[ [module]]`.
    fn read(line: &'l str, addressed: bool) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let address = match addressed {
            true => Some(u64::from_str_radix(words.next()?, 16).ok()?),
            false => None,
        };
        let name = words.next()?;
        let module = words
            .next()
            .and_then(|word| word.strip_prefix('[')?.strip_suffix(']'));
        // Places that linking left over.
        let real = !name.starts_with("__ftrace_invalid_address__");
        real.then_some(Self {
            address,
            name,
            module,
        })
    }
}

fn each_traceable(
    host: &LinuxHost,
    list: &str,
    mut visit: impl FnMut(Traceable<'_>),
) -> Result<()> {
    let tree = host.tracefs().ok_or_else(|| missing_tracefs(host))?;
    let text = tree.read(list).map_err(|error| {
        let cause = Cause::KernelOption("CONFIG_DYNAMIC_FTRACE");
        let errno = errno_of(&error);
        skep_host::Error::system("read", format!("tracefs' {list}"), errno)
            .because((errno == Errno::ENOENT).then_some(cause))
    })?;
    let lines = text.lines();
    lines
        .filter_map(|line| Traceable::read(line, list == ADDRESSED))
        .for_each(&mut visit);
    Ok(())
}

/// Whether it may mean several functions.
pub(super) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '[', ']'])
}

/// What a pattern means, at least one function: by their addresses where the kernel tells them,
/// which spares it looking for each name, and finds all that are of one.
fn places(host: &LinuxHost, pattern: &str) -> Result<Functions<'static>, Refusal> {
    /// The kernel whose tracefs lists addresses.
    const LISTED: KernelVersion = KernelVersion::new(6, 5);
    if !is_pattern(pattern) && !pattern.contains(':') || host.version() < LISTED {
        return matching(host, pattern).map(named);
    }
    let of = Pattern::read(pattern)?;
    let mut addresses = Vec::new();
    let mut hidden = false;
    let listed = each_traceable(host, ADDRESSED, |found| {
        if of.matches(&found) {
            let address = found.address.unwrap_or(0);
            hidden |= address == 0;
            addresses.push(address);
        }
    });
    if listed.is_err() || hidden {
        return matching(host, pattern).map(named);
    }
    if addresses.is_empty() {
        return Err(none_like(host, pattern));
    }
    addresses.sort_unstable();
    addresses.dedup();
    Ok(Functions::Addresses(addresses.into()))
}

fn named(names: Vec<String>) -> Functions<'static> {
    Functions::Names(Cow::Owned(names.into_iter().collect()))
}

/// The names of the functions that a pattern means; at least one.
pub(super) fn matching(host: &LinuxHost, pattern: &str) -> Result<Vec<String>, Refusal> {
    // A name without a wildcard needs no list.
    if !is_pattern(pattern) && !pattern.contains(':') {
        return Ok(vec![pattern.to_owned()]);
    }
    let of = Pattern::read(pattern)?;
    let mut names = BTreeSet::new();
    each_traceable(host, TRACEABLE, |found| {
        if of.matches(&found) {
            names.insert(found.name.to_owned());
        }
    })?;
    if names.is_empty() {
        return Err(none_like(host, pattern));
    }
    Ok(names.into_iter().collect())
}

/// `tcp_*`, or `module:veth_*`, which means those of a module alone.
struct Pattern<'p> {
    module: Option<&'p str>,
    name: &'p str,
}

impl<'p> Pattern<'p> {
    fn read(pattern: &'p str) -> Result<Self, Refusal> {
        if pattern.contains(['[', ']']) {
            // No function's name has them: they are meant as a shell would read them.
            let cause = Cause::Other {
                what: format!(
                    "`{pattern}` has brackets, and of the letters in a pattern only `*` and `?` \
                     stand for others"
                ),
                fix: format!("write `{}`", without_brackets(pattern)),
            };
            return Err(Refusal::because(Errno::EINVAL, cause));
        }
        let (module, name) = match pattern.split_once(':') {
            Some((module, name)) => (Some(module), name),
            None => (None, pattern),
        };
        Ok(Self { module, name })
    }

    fn matches(&self, found: &Traceable<'_>) -> bool {
        let here = self.module.is_none_or(|module| {
            // The kernel proper is a module of this name to those who name modules.
            found.module.unwrap_or("vmlinux") == module
        });
        here && skep_abi::glob_matches(self.name, found.name)
    }
}

fn none_like(host: &LinuxHost, pattern: &str) -> Refusal {
    // What its plain beginning is near to.
    let plain = pattern.rsplit(':').next().unwrap_or(pattern);
    let plain = plain.trim_matches(['*', '?']);
    let near = match plain.contains(['*', '?']) || plain.is_empty() {
        true => Vec::new(),
        false => {
            let known = traceable(host).unwrap_or_default();
            skep_abi::near_names(plain, known.iter().map(String::as_str))
        }
    };
    let cause = Cause::NotFound {
        kind: "kernel function like",
        name: pattern.to_owned(),
        near,
    };
    Refusal::because(Errno::ENOENT, cause)
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

    #[test]
    fn lines_of_the_lists() {
        let plain = Traceable::read("veth_xmit [veth]", false).unwrap();
        assert_eq!(
            (plain.address, plain.name, plain.module),
            (None, "veth_xmit", Some("veth"))
        );
        let addressed = Traceable::read("ffffffff81000000 vfs_read", true).unwrap();
        assert_eq!(addressed.address, Some(0xffff_ffff_8100_0000));
        for (pattern, plain_one, of_module) in [
            ("veth:*", false, true),
            ("v*", true, true),
            ("vmlinux:vfs_*", true, false),
        ] {
            let Ok(pattern) = Pattern::read(pattern) else {
                panic!("{pattern} is refused");
            };
            assert_eq!(pattern.matches(&addressed), plain_one);
            assert_eq!(pattern.matches(&plain), of_module);
        }
        assert!(Traceable::read("__ftrace_invalid_address___84", false).is_none());
        assert!(Traceable::read("", true).is_none());
    }
}
