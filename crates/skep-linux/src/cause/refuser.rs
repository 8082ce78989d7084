//! Who refuses `bpf(2)` to a process that has the capabilities: a seccomp filter, a security module,
//! or the kernel's vendor. Told apart by what can be seen of each.

use skep_host::{Cause, Errno};

use crate::{LinuxHost, process, sys};

/// Security modules that judge calls of `bpf(2)`, by their names in the kernel's list.
const JUDGES: [(&str, &str); 2] = [("selinux", "SELinux"), ("bpf", "a program of the BPF LSM")];

/// Who it is, for what was refused.
pub(crate) fn of(host: &LinuxHost, refused: &str) -> Cause {
    let list = host
        .securityfs()
        .and_then(|tree| tree.read("lsm").ok())
        .unwrap_or_default();
    // A call that every kernel answers, and with no refusal.
    let harmless = sys::knows_common_attributes().err();
    judged(process::is_filtered(), harmless, list.trim(), refused)
}

/// From what can be seen: whether the process has a seccomp filter, what a harmless call of `bpf(2)`
/// was refused with, and the list of security modules.
fn judged(filtered: bool, harmless: Option<Errno>, list: &str, refused: &str) -> Cause {
    if filtered && harmless.is_some() {
        return Cause::Process {
            what: "a seccomp filter of this process refuses bpf(2): its container's profile, or its \
                   service's or sandbox's"
                .into(),
            fix: "allow bpf(2) there (a container's seccomp profile, SystemCallFilter= of a service), \
                  or run it outside"
                .into(),
        };
    }
    let judges: Vec<&str> = list
        .split(',')
        .filter_map(|name| JUDGES.iter().find(|(known, _)| *known == name))
        .map(|(_, shown)| *shown)
        .collect();
    match judges.as_slice() {
        [] if list.is_empty() => Cause::Process {
            what: format!(
                "{refused}, although this process has the capabilities: a security module, a BPF \
                 token's limits or the kernel's vendor decided so"
            ),
            fix: "look for the refusal in the kernel's log (`dmesg`) and in the audit log".into(),
        },
        [] => Cause::Process {
            what: format!(
                "{refused}, although this process has the capabilities: a BPF token's limits or the \
                 kernel's vendor decided so, since no security module here ({list}) judges bpf(2)"
            ),
            fix: "look for the refusal in the kernel's log (`dmesg`)".into(),
        },
        judges => Cause::Process {
            what: format!(
                "{refused}, although this process has the capabilities: most likely {} decided so",
                judges.join(" or ")
            ),
            fix:
                "look for the denial in the audit log (`ausearch -m avc -ts recent`) and in `dmesg`"
                    .into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_told_by_what_is_seen() {
        let eperm = Some(Errno::EPERM);
        for (filtered, harmless, list, part) in [
            (true, eperm, "capability,selinux", "a seccomp filter"),
            // It lets bpf(2) pass.
            (true, None, "capability,selinux", "SELinux decided"),
            (false, None, "lockdown,capability,bpf", "BPF LSM decided"),
            (
                false,
                None,
                "selinux,bpf",
                "SELinux or a program of the BPF LSM",
            ),
            (
                false,
                None,
                "lockdown,capability,yama",
                "(lockdown,capability,yama)",
            ),
            (false, None, "", "a security module"),
        ] {
            let cause = judged(filtered, harmless, list, "the kernel forbids it");
            assert!(cause.to_string().contains(part), "{part}: {cause}");
            assert!(!cause.fix().is_empty());
        }
    }
}
