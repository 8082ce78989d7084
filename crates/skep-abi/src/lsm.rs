//! LSM hooks: which a program may be attached to (`BPF_PROG_TYPE_LSM`), which may sleep, and what
//! programs there may return. As of Linux 6.18; names without `bpf_lsm_`.

use crate::ReturnRule;

/// What a hook is to BPF programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LsmHook<'a> {
    /// Its name, without `bpf_lsm_`.
    pub name: &'a str,
}

/// Hooks that no program may be attached to, since 6.12: they give or take what a program can't.
#[rustfmt::skip]
const DISABLED: &[&str] = &[
    "audit_rule_match",
    "getprocattr",
    "getselfattr",
    "inode_copy_up_xattr",
    "inode_getsecurity",
    "inode_listsecurity",
    "inode_need_killpriv",
    "ismaclabel",
    "key_getsecurity",
    "setprocattr",
    "vm_enough_memory",
    "xfrm_decode_session",
];

/// Hooks that are called where sleeping is allowed.
#[rustfmt::skip]
const SLEEPABLE: &[&str] = &[
    "bpf",
    "bpf_map",
    "bpf_map_create",
    "bpf_map_free",
    "bpf_prog",
    "bpf_prog_load",
    "bpf_token_capable",
    "bpf_token_cmd",
    "bpf_token_create",
    "bpf_token_free",
    "bprm_check_security",
    "bprm_committed_creds",
    "bprm_committing_creds",
    "bprm_creds_for_exec",
    "bprm_creds_from_file",
    "capget",
    "capset",
    "cred_prepare",
    "current_getsecid_subj",
    "file_ioctl",
    "file_lock",
    "file_open",
    "file_post_open",
    "file_receive",
    "inode_create",
    "inode_free_security",
    "inode_getattr",
    "inode_getxattr",
    "inode_mknod",
    "inode_need_killpriv",
    "inode_post_setxattr",
    "inode_readlink",
    "inode_rename",
    "inode_rmdir",
    "inode_setattr",
    "inode_setxattr",
    "inode_symlink",
    "inode_unlink",
    "kernel_module_request",
    "kernel_read_file",
    "kernfs_init_security",
    "mmap_file",
    "netlink_send",
    "path_chmod",
    "path_chown",
    "path_link",
    "path_mkdir",
    "path_notify",
    "path_rename",
    "path_rmdir",
    "path_symlink",
    "path_truncate",
    "path_unlink",
    "release_secctx",
    "sb_alloc_security",
    "sb_eat_lsm_opts",
    "sb_kern_mount",
    "sb_mount",
    "sb_remount",
    "sb_set_mnt_opts",
    "sb_show_options",
    "sb_statfs",
    "sb_umount",
    "settime",
    "socket_accept",
    "socket_bind",
    "socket_connect",
    "socket_create",
    "socket_getpeername",
    "socket_getpeersec_dgram",
    "socket_getsockname",
    "socket_getsockopt",
    "socket_listen",
    "socket_post_create",
    "socket_recvmsg",
    "socket_sendmsg",
    "socket_shutdown",
    "socket_socketpair",
    "syslog",
    "task_alloc",
    "task_getsecid_obj",
    "task_prctl",
    "task_setscheduler",
    "userns_create",
];

/// Functions of the kernel that begin with `bpf_lsm_` and are no hooks.
#[rustfmt::skip]
const OTHERS: &[&str] = &[
    "find_cgroup_shim",
    "func_proto",
    "get_retval_range",
    "has_d_inode_locked",
    "hook_returns_errno",
    "init",
    "is_sleepable_hook",
    "is_trusted",
    "verify_prog",
];

impl<'a> LsmHook<'a> {
    /// The hook that a function of the kernel's BTF is, if it is one by its name.
    ///
    /// ```
    /// use skep_abi::LsmHook;
    ///
    /// assert!(LsmHook::of_function("bpf_lsm_file_open").unwrap().may_sleep());
    /// assert!(LsmHook::of_function("bpf_lsm_verify_prog").is_none());
    /// ```
    #[must_use]
    pub fn of_function(function: &'a str) -> Option<Self> {
        let name = function.strip_prefix("bpf_lsm_")?;
        (!contains(OTHERS, name)).then_some(Self { name })
    }

    /// Whether programs may be attached to it (kernels before 6.12 attach to all).
    #[must_use]
    pub fn is_enabled(self) -> bool {
        !contains(DISABLED, self.name)
    }

    /// Whether sleepable programs may be attached to it.
    #[must_use]
    pub fn may_sleep(self) -> bool {
        contains(SLEEPABLE, self.name)
    }

    /// What a program may return that is attached to it (`BPF_LSM_MAC`, since 6.12), where the hook
    /// gives an `int`.
    #[must_use]
    pub fn returns(self) -> ReturnRule {
        match self.name {
            "xfrm_state_pol_flow_match" | "audit_rule_known" | "inode_xattr_skipcap" => {
                ReturnRule::Range(0, 1)
            }
            _ => ReturnRule::Range(-4095, 0),
        }
    }
}

fn contains(sorted: &[&str], name: &str) -> bool {
    sorted.binary_search(&name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted() {
        for table in [DISABLED, SLEEPABLE, OTHERS] {
            assert!(table.is_sorted(), "{table:?}");
        }
    }

    #[test]
    fn hooks_know_what_they_return() {
        let returns = |name| LsmHook::of_function(name).map(LsmHook::returns);
        let known = returns("bpf_lsm_audit_rule_known");
        assert_eq!(known, Some(ReturnRule::Range(0, 1)));
        let open = returns("bpf_lsm_file_open");
        assert_eq!(open, Some(ReturnRule::Range(-4095, 0)));
    }
}
