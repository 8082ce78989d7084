//! What this process may do and what the system says of itself: capabilities, sysctls, mounts,
//! CPU lists.

use std::{fs, path::PathBuf};

use skep_abi::Capability;

/// The capabilities that this thread has in effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Capabilities(u64);

impl Capabilities {
    /// It has `capability`, or `CAP_SYS_ADMIN`, which stands for those split off from it.
    pub(crate) fn covers(self, capability: Capability) -> bool {
        let split_off = matches!(capability, Capability::Perfmon | Capability::Bpf);
        self.has(capability) || (split_off && self.has(Capability::SysAdmin))
    }

    /// It has just this one.
    pub(crate) fn has(self, capability: Capability) -> bool {
        self.0 >> capability.raw() & 1 == 1
    }
}

/// This thread's capabilities; `None` where /proc does not say.
pub(crate) fn capabilities() -> Option<Capabilities> {
    let status = fs::read_to_string("/proc/thread-self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))?;
    Some(Capabilities(u64::from_str_radix(line.trim(), 16).ok()?))
}

/// This process is in a user namespace of its own (a container's, `unshare --user`), where its
/// capabilities count for what is in there, and not for the kernel. False where /proc does not say.
pub(crate) fn in_user_namespace() -> bool {
    /// `PROC_USER_INIT_INO`, the first one's number.
    const INITIAL: &str = "user:[4026531837]";
    fs::read_link("/proc/self/ns/user").is_ok_and(|name| name.as_os_str() != INITIAL)
}

/// A seccomp filter judges this thread's system calls. False where /proc does not say.
pub(crate) fn is_filtered() -> bool {
    /// `SECCOMP_MODE_FILTER`.
    const FILTER: &str = "2";
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let mut lines = status.lines();
    lines
        .find_map(|line| line.strip_prefix("Seccomp:"))
        .is_some_and(|mode| mode.trim() == FILTER)
}

/// A sysctl's value, by its dotted name.
pub(crate) fn sysctl(name: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/sys/{}", name.replace('.', "/"))).ok()?;
    Some(text.trim().to_owned())
}

/// A mount of this process's namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// Where.
    pub(crate) point: PathBuf,
    /// The file system's type.
    pub(crate) kind: String,
}

/// What is mounted; empty where /proc does not say.
pub(crate) fn mounts() -> Vec<Mount> {
    parse_mounts(&fs::read_to_string("/proc/self/mounts").unwrap_or_default())
}

fn parse_mounts(text: &str) -> Vec<Mount> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let point = fields.next()?.replace("\\040", " ");
            Some(Mount {
                point: point.into(),
                kind: fields.next()?.to_owned(),
            })
        })
        .collect()
}

/// The numbers of a list such as `0-3,8`, in order. `None` for anything else.
pub(crate) fn parse_cpu_list(text: &str) -> Option<Vec<u32>> {
    /// More CPUs than any kernel supports.
    const LIMIT: u32 = 1 << 16;
    let mut cpus = Vec::new();
    for part in text.trim().split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last >= LIMIT || cpus.last().is_some_and(|&before| before >= first) {
            return None;
        }
        cpus.extend(first..=last);
    }
    Some(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_lists() {
        assert_eq!(parse_cpu_list("0-1\n"), Some(vec![0, 1]));
        assert_eq!(parse_cpu_list("0-1,4"), Some(vec![0, 1, 4]));
        assert_eq!(parse_cpu_list("0"), Some(vec![0]));
        assert_eq!(parse_cpu_list(""), Some(vec![]));
        for bad in ["x", "3-1", "0-4294967295", "1,0", "0-", "-1"] {
            assert_eq!(parse_cpu_list(bad), None, "{bad}");
        }
    }

    #[test]
    fn mounts_parse() {
        let text = "none /a\\040b bpf rw 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw 0 0\nbroken\n";
        let mounts = parse_mounts(text);
        assert_eq!(mounts.len(), 2);
        assert_eq!(
            mounts[0],
            Mount {
                point: "/a b".into(),
                kind: "bpf".into()
            }
        );
    }

    #[test]
    fn capabilities_of_sys_admin() {
        let admin = Capabilities(1 << 21); // CAP_SYS_ADMIN
        assert!(admin.covers(Capability::Bpf) && admin.covers(Capability::Perfmon));
        assert!(!admin.has(Capability::Bpf) && !admin.covers(Capability::NetAdmin));
    }
}
