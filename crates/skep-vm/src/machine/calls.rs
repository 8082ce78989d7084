//! The system calls of the processor that this runs on, by the names that the kernel's tracepoints
//! and functions have.

use std::sync::OnceLock;

use syscalls::Sysno;

/// Calls whose function in the kernel is named otherwise than their number.
const OTHERWISE: &[(&str, &str)] = &[
    ("fstat", "newfstat"),
    ("lstat", "newlstat"),
    ("sendfile", "sendfile64"),
    ("stat", "newstat"),
    ("umount2", "umount"),
    ("uname", "newuname"),
];

/// Numbers that no kernel of today has a function for.
const GONE: &[&str] = &[
    "_sysctl",
    "afs_syscall",
    "create_module",
    "epoll_ctl_old",
    "epoll_wait_old",
    "get_kernel_syms",
    "getpmsg",
    "lookup_dcookie",
    "nfsservctl",
    "putpmsg",
    "query_module",
    "security",
    "tuxcall",
    "vserver",
];

/// What the functions behind system calls are called, before the call's own name.
const PREFIX: &str = if cfg!(target_arch = "x86_64") {
    "__x64_sys_"
} else if cfg!(target_arch = "aarch64") {
    "__arm64_sys_"
} else {
    "sys_"
};

/// A system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) name: &'static str,
    pub(crate) number: u32,
}

/// All of them, by name.
pub(crate) fn all() -> &'static [Call] {
    static ALL: OnceLock<Vec<Call>> = OnceLock::new();
    ALL.get_or_init(|| {
        let known = Sysno::iter().filter(|call| !GONE.contains(&call.name()));
        let mut all: Vec<_> = known
            .map(|call| {
                let other = OTHERWISE.iter().find(|(name, _)| *name == call.name());
                Call {
                    name: other.map_or(call.name(), |(_, kernels)| *kernels),
                    number: call.id() as u32,
                }
            })
            .collect();
        all.sort_by_key(|call| call.name);
        all
    })
}

/// The number of a call by its name.
pub(crate) fn number(name: &str) -> Option<u32> {
    let all = all();
    let place = all.binary_search_by_key(&name, |call| call.name).ok()?;
    Some(all[place].number)
}

/// The number of the call whose tracepoint this is, and whether it is the one at its end.
pub(crate) fn of_tracepoint(name: &str) -> Option<(u32, bool)> {
    match name.strip_prefix("sys_enter_") {
        Some(call) => Some((number(call)?, false)),
        None => Some((number(name.strip_prefix("sys_exit_")?)?, true)),
    }
}

/// The number of the call that a function of the kernel carries out.
pub(crate) fn of_function(name: &str) -> Option<u32> {
    number(name.strip_prefix(PREFIX)?)
}

/// The kernel's name of a tracepoint or function of a call, which was asked for by that of the
/// call's number.
pub(crate) fn renamed(name: &str) -> Option<String> {
    OTHERWISE.iter().find_map(|(number, kernels)| {
        let before = name.strip_suffix(number)?;
        let ours = before.ends_with("sys_enter_") || before.ends_with("sys_exit_");
        (ours || before == PREFIX).then(|| format!("{before}{kernels}"))
    })
}

/// The names of those functions.
pub(crate) fn functions() -> impl Iterator<Item = String> {
    all().iter().map(|call| format!("{PREFIX}{}", call.name))
}

/// The names of their tracepoints.
pub(crate) fn tracepoints() -> impl Iterator<Item = String> {
    let both = |call: &Call| ["enter", "exit"].map(|end| format!("sys_{end}_{}", call.name));
    all().iter().flat_map(both)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_found_by_the_kernels_names() {
        #[cfg(target_arch = "x86_64")]
        assert_eq!(number("openat"), Some(257));
        assert_eq!(number("opnat"), None);
        assert_eq!(number("fstat"), None, "its function is newfstat");
        let exit = of_tracepoint("sys_exit_newfstat");
        assert_eq!(exit, number("newfstat").map(|number| (number, true)));
        assert!(exit.is_some());
        assert_eq!(of_tracepoint("sys_openat"), None);
        let kernels = renamed("syscalls/sys_exit_fstat");
        assert_eq!(kernels.as_deref(), Some("syscalls/sys_exit_newfstat"));
        assert_eq!(renamed("sys_exit_openat"), None);
        let function = functions().find(|name| name.ends_with("_sys_openat"));
        assert_eq!(of_function(&function.unwrap()), number("openat"));
    }
}
