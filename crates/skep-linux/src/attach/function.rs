//! What the kernel has under a function's name: others of that name, what the compiler made of it,
//! whether it may be hooked. Only looked for when something failed, since it reads all symbols.

use std::collections::BTreeSet;

use skep_host::Cause;

use super::kprobe_multi;
use crate::{
    LinuxHost,
    mounts::{FileSystem, Tree},
    symbols,
};

/// How many names or addresses an error shows.
const SHOWN: usize = 4;

/// What link-time optimisation of clang's adds to a static function's name, which is otherwise as
/// it was.
const LTO: &str = ".llvm.";

/// A function of the kernel.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Function {
    address: u64,
    name: String,
    module: Option<String>,
}

impl Function {
    fn place(&self) -> String {
        match &self.module {
            Some(module) => format!("{:#x} (module {module})", self.address),
            None => format!("{:#x}", self.address),
        }
    }
}

/// The functions of a name, and those that the compiler made of one and named after it
/// (`name.isra.0`).
#[derive(Debug, Default)]
struct Of {
    same: BTreeSet<Function>,
    made: BTreeSet<Function>,
    /// All names of functions, if they were asked for.
    names: BTreeSet<String>,
}

impl Of {
    fn read(full: &str, with_names: bool) -> Self {
        // `module:function` is of that module alone.
        let (module, name) = match full.split_once(':') {
            Some((module, name)) => (Some(module), name),
            None => (None, full),
        };
        let mut this = Self::default();
        // A kernel that hides its symbols has none that would help.
        let _ = symbols::each(|line| {
            if !line.is_function() {
                return;
            }
            let of = line.module.map(String::from_utf8_lossy);
            if module.is_some_and(|module| of.as_deref() != Some(module)) {
                return;
            }
            let rest = line.name.strip_prefix(name.as_bytes());
            let here = match rest {
                Some([]) => Some(&mut this.same),
                Some([b'.', ..]) => Some(&mut this.made),
                _ => None,
            };
            if let Some(here) = here {
                here.insert(Function {
                    address: line.address().unwrap_or(0),
                    name: String::from_utf8_lossy(line.name).into_owned(),
                    module: of.map(|module| module.into_owned()),
                });
            }
            if with_names {
                this.names
                    .insert(String::from_utf8_lossy(line.name).into_owned());
            }
        });
        this
    }
}

/// The name that link-time optimisation gave to a function, if that is the only one of it.
pub(super) fn renamed_by_lto(name: &str) -> Option<String> {
    let of = Of::read(name, false);
    let mut renamed = of.made.iter().filter(|made| {
        made.name
            .strip_prefix(bare(name))
            .is_some_and(|rest| rest.starts_with(LTO))
    });
    match (renamed.next(), renamed.next()) {
        (Some(one), None) => Some(match name.split_once(':') {
            Some((module, _)) => format!("{module}:{}", one.name),
            None => one.name.clone(),
        }),
        _ => None,
    }
}

/// A function's name without its module's.
fn bare(name: &str) -> &str {
    name.split_once(':').map_or(name, |(_, bare)| bare)
}

/// What to say of a function that the kernel does not probe: it has several, or none, or lets
/// nobody.
pub(super) fn refused(host: &LinuxHost, name: &str) -> Cause {
    let same = Of::read(name, false).same;
    match same.len() {
        0 => not_found(host, name),
        1 => not_probeable(host, name),
        // Of several, kernels before 6.7 try the first.
        _ => several(name, &same),
    }
}

/// What to say of a name of which the kernel has several functions.
fn several(name: &str, same: &BTreeSet<Function>) -> Cause {
    let known: Vec<&Function> = same.iter().filter(|one| one.address != 0).collect();
    let places: Vec<String> = known.iter().take(SHOWN).map(|one| one.place()).collect();
    let more = if known.len() > SHOWN { ", …" } else { "" };
    let count = same.len();
    match known.first() {
        Some(first) => Cause::Other {
            what: format!(
                "the kernel has {count} functions `{name}`: at {}{more}",
                places.join(", ")
            ),
            fix: format!(
                "say which by its address, as in `kprobe/{:#x}`",
                first.address
            ),
        },
        None => Cause::Other {
            what: format!("the kernel has several functions `{name}`"),
            fix: "say which by its address, as /proc/kallsyms shows it to who has CAP_SYSLOG: \
                  `kprobe/0x…`"
                .into(),
        },
    }
}

/// What to say of a function that is not there.
pub(super) fn not_found(host: &LinuxHost, name: &str) -> Cause {
    let of = Of::read(name, true);
    if !of.made.is_empty() {
        let names: BTreeSet<&str> = of.made.iter().map(|made| made.name.as_str()).collect();
        return made_of(name, &names);
    }
    if let Some(first) = of.same.first() {
        // It is there, so whoever asked wants it for something that not all are good for.
        return not_traceable(name, first);
    }
    let plain = bare(name);
    let near = skep_abi::near_names(plain, of.names.iter().map(String::as_str));
    if near.is_empty() && host.has_type_of_function(plain) {
        return Cause::Other {
            what: format!(
                "the kernel has types of a function `{name}`, and no code: the compiler put it \
                 into its callers (inlined)"
            ),
            fix: "hook a function that calls it".into(),
        };
    }
    Cause::NotFound {
        kind: "kernel function",
        name: name.to_owned(),
        near,
    }
}

/// What to say of a function of which there is only what the compiler made of it.
fn made_of(name: &str, names: &BTreeSet<&str>) -> Cause {
    let shown: Vec<String> = names
        .iter()
        .take(SHOWN)
        .map(|name| format!("`{name}`"))
        .collect();
    let means = |suffix: &str, meaning: &'static str| {
        let has = names.iter().any(|made| made.contains(suffix));
        has.then_some(meaning)
    };
    let meanings: Vec<&str> = [
        means(".isra", "`.isra` has fewer or other arguments"),
        means(".constprop", "`.constprop` lacks those that are constant"),
        means(".part", "`.part` is what was not inlined of it"),
        means(".cold", "`.cold` is its unlikely part"),
        means(LTO, "`.llvm` is a static function, otherwise as it was"),
    ]
    .into_iter()
    .flatten()
    .collect();
    let meanings = match meanings.as_slice() {
        [] => String::new(),
        meanings => format!(" ({})", meanings.join(", ")),
    };
    Cause::Other {
        what: format!(
            "the kernel has no function `{name}`, only what the compiler made of it: {}{meanings}",
            shown.join(", ")
        ),
        fix: format!(
            "hook that under its full name: {}",
            shown.first().map_or("", String::as_str)
        ),
    }
}

fn not_traceable(name: &str, function: &Function) -> Cause {
    let of = match &function.module {
        Some(module) => format!("`{name}` of module {module}"),
        None => format!("`{name}`"),
    };
    Cause::Other {
        what: format!(
            "{of} is there and can't be traced: it is marked `notrace` or `noinstr`, is assembly, \
             or was compiled without places for tracers"
        ),
        fix: format!("hook a function that calls it, or try it by `kprobe/{name}`"),
    }
}

/// Why the kernel refuses probes in a function that is there.
fn not_probeable(host: &LinuxHost, name: &str) -> Cause {
    let plain = bare(name);
    let fix = || "hook a function that calls it".to_owned();
    if is_blacklisted(plain) {
        return Cause::Other {
            what: format!(
                "the kernel lets nobody probe `{name}`: it runs while probes do (it is in \
                 /sys/kernel/debug/kprobes/blacklist)"
            ),
            fix: fix(),
        };
    }
    let traceable = kprobe_multi::traceable(host).ok();
    if traceable.is_some_and(|all| !all.contains(plain)) {
        return Cause::Other {
            what: format!(
                "the kernel lets nobody probe `{name}`: it is marked `notrace` or `noinstr`, or is \
                 assembly, and probes in such functions could call themselves"
            ),
            fix: fix(),
        };
    }
    Cause::Other {
        what: format!("the kernel lets nobody probe `{name}`"),
        fix: "look for its reason in the kernel's log (`dmesg`), or hook a function that calls it"
            .into(),
    }
}

/// Whether it is on the kernel's list of functions without probes.
fn is_blacklisted(name: &str) -> bool {
    // Mounted for this question alone, where it is not mounted.
    let tree = Tree::open(FileSystem::Debugfs);
    let list = tree.and_then(|tree| tree.read("kprobes/blacklist").ok());
    // `0xffffffff81000000-0xffffffff81000010<tab>name`
    list.is_some_and(|list| {
        list.lines()
            .filter_map(|line| line.split_ascii_whitespace().nth(1))
            .any(|listed| listed == name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_are_told_by_address() {
        let one = |address, module: Option<&str>| Function {
            address,
            name: "t_next".into(),
            module: module.map(str::to_owned),
        };
        let both = [one(0xffff_0000, None), one(0xffff_8000, Some("veth"))].into();
        let Cause::Other { what, fix } = several("t_next", &both) else {
            panic!("another cause");
        };
        assert_eq!(
            what,
            "the kernel has 2 functions `t_next`: at 0xffff0000, 0xffff8000 (module veth)"
        );
        assert!(fix.ends_with("`kprobe/0xffff0000`"), "{fix}");
    }

    #[test]
    fn suffixes_are_told_with_what_they_mean() {
        let names = ["pick.isra.0", "pick.cold"].into();
        let Cause::Other { what, fix } = made_of("pick", &names) else {
            panic!("another cause");
        };
        assert_eq!(
            what,
            "the kernel has no function `pick`, only what the compiler made of it: `pick.cold`, \
             `pick.isra.0` (`.isra` has fewer or other arguments, `.cold` is its unlikely part)"
        );
        assert!(fix.ends_with("`pick.cold`"), "{fix}");
    }

    #[test]
    fn names_without_modules() {
        assert_eq!(bare("veth:veth_xmit"), "veth_xmit");
        assert_eq!(bare("vfs_read"), "vfs_read");
    }
}
