// SPDX-License-Identifier: MIT OR Apache-2.0
// A program for each hook, all of which count the target process' doings in `hits`. The tests load
// one at a time: no kernel has all of them.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

const volatile pid_t target_pid = 0;

__u64 hits;

static __always_inline int hit(void)
{
	if (bpf_get_current_pid_tgid() >> 32 == target_pid)
		__sync_fetch_and_add(&hits, 1);
	return 0;
}

// Programs that look at nothing but who runs them.
#define PLAIN(name, section) SEC("?" section) int name(void *ctx) { return hit(); }

PLAIN(kprobe, "kprobe/vfs_read")
PLAIN(kretprobe, "kretprobe/vfs_read")
PLAIN(ksyscall, "ksyscall/getppid")
PLAIN(kretsyscall, "kretsyscall/getppid")
PLAIN(kprobe_multi, "kprobe.multi/vfs_rea?")
PLAIN(kretprobe_multi, "kretprobe.multi/vfs_rea?")
PLAIN(kprobe_session, "kprobe.session/vfs_rea?")
PLAIN(fentry, "fentry/vfs_read")
PLAIN(fexit, "fexit/vfs_read")
PLAIN(fsession, "fsession/vfs_read")
PLAIN(fentry_multi, "fentry.multi/vfs_rea?")
PLAIN(fexit_multi, "fexit.multi/vfs_rea?")
PLAIN(fsession_multi, "fsession.multi/vfs_rea?")
PLAIN(fmod_ret, "fmod_ret/security_file_permission")
PLAIN(lsm, "lsm/file_permission")
PLAIN(lsm_sleepable, "lsm.s/file_open")
PLAIN(tracepoint, "tracepoint/syscalls/sys_enter_getppid")
PLAIN(raw_tp, "raw_tp/sys_enter")
PLAIN(raw_tp_writable, "raw_tp.w/bpf_test_finish")

// Of a call without arguments, BTF has no function.
#if defined(__TARGET_ARCH_x86)
#define GETPGID "__x64_sys_getpgid"
#elif defined(__TARGET_ARCH_arm64)
#define GETPGID "__arm64_sys_getpgid"
#else
#define GETPGID "__se_sys_getpgid"
#endif

PLAIN(fentry_sleepable, "fentry.s/" GETPGID)
PLAIN(fexit_sleepable, "fexit.s/" GETPGID)
PLAIN(fmod_ret_sleepable, "fmod_ret.s/" GETPGID)
PLAIN(fsession_sleepable, "fsession.s/" GETPGID)
PLAIN(fentry_multi_sleepable, "fentry.multi.s/" GETPGID)
PLAIN(fexit_multi_sleepable, "fexit.multi.s/" GETPGID)
PLAIN(fsession_multi_sleepable, "fsession.multi.s/" GETPGID)
PLAIN(tracepoint_sleepable, "tracepoint.s/syscalls/sys_enter_getppid")
PLAIN(raw_tp_sleepable, "raw_tp.s/sys_enter")
PLAIN(uprobe_sleepable, "uprobe.s/libc:getpid")
PLAIN(uretprobe_sleepable, "uretprobe.s/libc:getpid")
PLAIN(uprobe_multi_sleepable, "uprobe.multi.s/libc:getpi?")
PLAIN(uretprobe_multi, "uretprobe.multi/libc:getpi?")
PLAIN(uretprobe_multi_sleepable, "uretprobe.multi.s/libc:getpi?")
PLAIN(uprobe_session_sleepable, "uprobe.session.s/libc:getpi?")

SEC("?tp_btf.s/sys_enter")
int BPF_PROG(tp_btf_sleepable, struct pt_regs *regs, long id)
{
	return hit();
}

SEC("?tp_btf/sys_enter")
int BPF_PROG(tp_btf, struct pt_regs *regs, long id)
{
	return hit();
}

// Cgroup programs let things pass with 1.
#define PASSING(name, section) SEC("?" section) int name(void *ctx) { hit(); return 1; }

PASSING(cgroup_sock_create, "cgroup/sock_create")
PASSING(cgroup_sock_release, "cgroup/sock_release")
PASSING(cgroup_bind4, "cgroup/bind4")
PASSING(cgroup_post_bind4, "cgroup/post_bind4")
PASSING(cgroup_connect4, "cgroup/connect4")
PASSING(cgroup_sendmsg4, "cgroup/sendmsg4")
PASSING(cgroup_recvmsg4, "cgroup/recvmsg4")
PASSING(cgroup_getpeername4, "cgroup/getpeername4")
PASSING(cgroup_getsockname4, "cgroup/getsockname4")
PASSING(cgroup_bind6, "cgroup/bind6")
PASSING(cgroup_post_bind6, "cgroup/post_bind6")
PASSING(cgroup_connect6, "cgroup/connect6")
PASSING(cgroup_sendmsg6, "cgroup/sendmsg6")
PASSING(cgroup_recvmsg6, "cgroup/recvmsg6")
PASSING(cgroup_getpeername6, "cgroup/getpeername6")
PASSING(cgroup_getsockname6, "cgroup/getsockname6")
PASSING(cgroup_connect_unix, "cgroup/connect_unix")
PASSING(cgroup_sendmsg_unix, "cgroup/sendmsg_unix")
PASSING(cgroup_recvmsg_unix, "cgroup/recvmsg_unix")
PASSING(cgroup_getpeername_unix, "cgroup/getpeername_unix")
PASSING(cgroup_getsockname_unix, "cgroup/getsockname_unix")
PASSING(lsm_cgroup, "lsm_cgroup/socket_bind")

// Packets have no process of their own, and Linux 5.10 does not tell some programs of theirs.
#define COUNTING(name, section, answer)                                         \
	SEC("?" section) int name(void *ctx)                                    \
	{                                                                       \
		__sync_fetch_and_add(&hits, 1);                                 \
		return answer;                                                  \
	}

COUNTING(cgroup_skb_ingress, "cgroup_skb/ingress", 1)
COUNTING(cgroup_skb_egress, "cgroup_skb/egress", 1)
COUNTING(cgroup_sysctl, "cgroup/sysctl", 1)
COUNTING(cgroup_getsockopt, "cgroup/getsockopt", 1)
COUNTING(cgroup_setsockopt, "cgroup/setsockopt", 1)
COUNTING(cgroup_dev, "cgroup/dev", 1)
COUNTING(sockops, "sockops", 1)

char LICENSE[] SEC("license") = "GPL";
