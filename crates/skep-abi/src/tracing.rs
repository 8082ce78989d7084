//! Kernel functions as targets of `fentry`, `fexit` and `fmod_ret` programs: what BTF does not say
//! about them. As of Linux 6.18.

/// A kernel function that a tracing program is attached to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TracedFunction<'a> {
    /// Its name.
    pub name: &'a str,
}

/// Functions that tracing programs run through themselves.
const DENIED: &[&str] = &[
    "__rcu_read_lock",
    "__rcu_read_unlock",
    "migrate_disable",
    "migrate_enable",
    "preempt_count_add",
    "preempt_count_sub",
    "rcu_read_unlock_strict",
];

/// Functions that never return, so that nothing can run after them.
const NO_RETURN: &[&str] = &[
    "__ia32_sys_exit",
    "__ia32_sys_exit_group",
    "__kunit_abort",
    "__module_put_and_kthread_exit",
    "__x64_sys_exit",
    "__x64_sys_exit_group",
    "do_exit",
    "do_group_exit",
    "kthread_complete_and_exit",
    "kthread_exit",
    "kunit_try_catch_throw",
    "make_task_dead",
];

/// What functions of system calls begin with.
const SYSTEM_CALLS: &[&str] = &[
    "__arm64_sys_",
    "__ia32_sys_",
    "__riscv_sys_",
    "__s390x_sys_",
    "__x64_sys_",
];

/// Others that errors may be injected into (`ALLOW_ERROR_INJECTION`), so that their result may be
/// changed and programs may sleep there.
const INJECTABLE: &[&str] = &[
    "bpf_fentry_test1",
    "bpf_modify_return_test",
    "bpf_modify_return_test2",
    "btrfs_check_leaf_full",
    "btrfs_check_node",
    "btrfs_cow_block",
    "btrfs_search_slot",
    "btrfs_should_cancel_balance",
    "io_ctl_init",
    "open_ctree",
    "should_fail_bio",
    "update_socket_protocol",
];

/// Functions whose result may be changed, where nothing may sleep: errors are injected there, and
/// their callers hold locks.
const INJECTABLE_ATOMIC: &[&str] = &[
    "__filemap_add_folio",
    "should_fail_alloc_page",
    "should_failslab",
];

impl TracedFunction<'_> {
    /// Whether no tracing program may be attached to it.
    #[must_use]
    pub fn is_denied(self) -> bool {
        DENIED.contains(&self.name)
    }

    /// Whether it never returns, so that `fexit` and `fmod_ret` programs can't be attached (6.15).
    #[must_use]
    pub fn never_returns(self) -> bool {
        NO_RETURN.contains(&self.name)
    }

    /// Whether it is a system call.
    fn is_system_call(self) -> bool {
        SYSTEM_CALLS
            .iter()
            .any(|prefix| self.name.starts_with(prefix))
    }

    /// Whether sleepable programs may be attached to it.
    #[must_use]
    pub fn may_sleep(self) -> bool {
        self.is_system_call()
            || INJECTABLE.contains(&self.name) && self.name != "update_socket_protocol"
    }

    /// Whether `fmod_ret` programs may be attached to it.
    #[must_use]
    pub fn may_be_modified(self) -> bool {
        self.is_system_call()
            || self.name.starts_with("security_")
            || INJECTABLE.contains(&self.name)
            || INJECTABLE_ATOMIC.contains(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_told_apart() {
        let of = |name| TracedFunction { name };
        assert!(of("__x64_sys_openat").may_sleep());
        assert!(of("security_file_open").may_be_modified());
        assert!(!of("security_file_open").may_sleep());
        assert!(!of("should_failslab").may_sleep());
        assert!(of("do_exit").never_returns() && !of("do_exit").is_denied());
    }
}
