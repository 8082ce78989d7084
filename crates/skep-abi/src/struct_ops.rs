//! Members of struct_ops that may sleep.

/// Whether a program for a member of a structure of operations may be loaded as sleepable, as of
/// Linux 6.18. Structures that are not known here decide nothing: `None`.
///
/// ```
/// use skep_abi::struct_ops_member_may_sleep;
///
/// assert_eq!(struct_ops_member_may_sleep("sched_ext_ops", "init"), Some(true));
/// assert_eq!(struct_ops_member_may_sleep("sched_ext_ops", "enqueue"), Some(false));
/// ```
#[must_use]
pub fn struct_ops_member_may_sleep(structure: &str, member: &str) -> Option<bool> {
    let members: &[&str] = match structure {
        "sched_ext_ops" => &[
            "cgroup_exit",
            "cgroup_init",
            "cgroup_prep_move",
            "cpu_offline",
            "cpu_online",
            "exit",
            "init",
            "init_task",
        ],
        "hid_bpf_ops" => &["hid_hw_output_report", "hid_hw_request", "hid_rdesc_fixup"],
        "bpf_dummy_ops" => &["test_sleepable"],
        _ => return None,
    };
    Some(members.contains(&member))
}
