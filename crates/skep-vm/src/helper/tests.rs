//! Which helpers the machine has, and why it has not the others.

use skep_abi::Helper;

use super::by_id;

const SOCKETS: &str = "the machine has no sockets to set up, redirect to or pick among";
const MESSAGES: &str = "the machine has no stream of messages between sockets (`sk_msg`)";
const HEADERS: &str = "no socket's callbacks run here (`sock_ops`)";
const TUNNELS: &str = "no lightweight tunnel routes packets here (`lwt`)";
const REMOTES: &str = "the machine has no infrared receiver (`lirc_mode2`)";
const SYSCTL: &str = "nobody writes the machine's sysctls (`cgroup_sysctl`)";
const COOKIES: &str = "the machine has no TCP that could check a cookie";
const FILES: &str = "the machine has no files, paths or inodes";
const COMMANDS: &str = "programs give no commands here: the embedder does";
const COUNTERS: &str = "the machine has no branch or event counters of a processor";
const REGIONS: &str = "tasks have no `vm_area_struct`";

/// The helpers that the machine does not have, by name and reason; all others it has.
const ABSENT: &[(&str, &str)] = &[
    ("bpf_setsockopt", SOCKETS),
    ("bpf_getsockopt", SOCKETS),
    ("bpf_bind", SOCKETS),
    ("bpf_sk_select_reuseport", SOCKETS),
    ("bpf_sock_map_update", SOCKETS),
    ("bpf_sock_hash_update", SOCKETS),
    ("bpf_skc_to_tcp6_sock", SOCKETS),
    ("bpf_skc_to_tcp_sock", SOCKETS),
    ("bpf_skc_to_tcp_timewait_sock", SOCKETS),
    ("bpf_skc_to_tcp_request_sock", SOCKETS),
    ("bpf_skc_to_udp6_sock", SOCKETS),
    ("bpf_skc_to_unix_sock", SOCKETS),
    ("bpf_skc_to_mptcp_sock", SOCKETS),
    ("bpf_tcp_send_ack", SOCKETS),
    ("bpf_skb_get_xfrm_state", "the machine has no IPsec"),
    ("bpf_msg_redirect_map", MESSAGES),
    ("bpf_msg_redirect_hash", MESSAGES),
    ("bpf_msg_apply_bytes", MESSAGES),
    ("bpf_msg_cork_bytes", MESSAGES),
    ("bpf_msg_pull_data", MESSAGES),
    ("bpf_msg_push_data", MESSAGES),
    ("bpf_msg_pop_data", MESSAGES),
    ("bpf_sock_ops_cb_flags_set", HEADERS),
    ("bpf_load_hdr_opt", HEADERS),
    ("bpf_store_hdr_opt", HEADERS),
    ("bpf_reserve_hdr_opt", HEADERS),
    ("bpf_lwt_push_encap", TUNNELS),
    ("bpf_lwt_seg6_store_bytes", TUNNELS),
    ("bpf_lwt_seg6_adjust_srh", TUNNELS),
    ("bpf_lwt_seg6_action", TUNNELS),
    ("bpf_rc_repeat", REMOTES),
    ("bpf_rc_keydown", REMOTES),
    ("bpf_rc_pointer_rel", REMOTES),
    ("bpf_sysctl_get_name", SYSCTL),
    ("bpf_sysctl_get_current_value", SYSCTL),
    ("bpf_sysctl_get_new_value", SYSCTL),
    ("bpf_sysctl_set_new_value", SYSCTL),
    ("bpf_tcp_check_syncookie", COOKIES),
    ("bpf_tcp_gen_syncookie", COOKIES),
    ("bpf_tcp_raw_gen_syncookie_ipv4", COOKIES),
    ("bpf_tcp_raw_gen_syncookie_ipv6", COOKIES),
    ("bpf_tcp_raw_check_syncookie_ipv4", COOKIES),
    ("bpf_tcp_raw_check_syncookie_ipv6", COOKIES),
    ("bpf_d_path", FILES),
    ("bpf_bprm_opts_set", FILES),
    ("bpf_ima_inode_hash", FILES),
    ("bpf_ima_file_hash", FILES),
    ("bpf_sock_from_file", FILES),
    ("bpf_sys_bpf", COMMANDS),
    ("bpf_sys_close", COMMANDS),
    ("bpf_read_branch_records", COUNTERS),
    ("bpf_get_branch_snapshot", COUNTERS),
    ("bpf_find_vma", REGIONS),
];

#[test]
fn every_helper_is_there_or_has_a_reason() {
    for (name, _) in ABSENT {
        assert!(Helper::by_name(name).is_some(), "{name} is no helper");
    }
    let wrong: Vec<_> = Helper::all()
        .iter()
        .filter(|helper| {
            let absent = ABSENT.iter().any(|(name, _)| *name == helper.name);
            by_id(helper.id).is_some() == absent
        })
        .map(|helper| helper.name)
        .collect();
    assert!(wrong.is_empty(), "not as the table says: {wrong:?}");
}

#[test]
fn no_helper_is_there_twice() {
    let mut numbers: Vec<_> = super::TABLES
        .iter()
        .flat_map(|table| table.iter())
        .map(|(number, _)| *number)
        .collect();
    let count = numbers.len();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), count);
}
