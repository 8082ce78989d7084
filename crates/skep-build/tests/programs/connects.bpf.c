/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* TCP connects by kprobes: registers, flavors of addresses, byte order. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>

struct connect {
	union {
		u32 v4;
		u8 v6[16];
	} from, to;
	u16 port, family;
	u32 pid, uid;
	char comm[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, u32);
	__type(value, struct sock *);
} sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(u32));
	__uint(value_size, sizeof(u32));
} events SEC(".maps");

const volatile u16 only_port = 0;

static int enter(struct sock *sk)
{
	u32 tid = bpf_get_current_pid_tgid();

	return bpf_map_update_elem(&sockets, &tid, &sk, 0);
}

static int leave(struct pt_regs *ctx, int ret, u16 family)
{
	u64 id = bpf_get_current_pid_tgid();
	u32 tid = id;
	struct sock **skp = bpf_map_lookup_elem(&sockets, &tid), *sk;
	struct connect c = {};

	if (!skp)
		return 0;
	sk = *skp;
	bpf_map_delete_elem(&sockets, &tid);
	if (ret)
		return 0;
	BPF_CORE_READ_INTO(&c.port, sk, __sk_common.skc_dport);
	if (only_port && bpf_ntohs(c.port) != only_port)
		return 0;
	c.family = family;
	if (family == 2) {
		BPF_CORE_READ_INTO(&c.from.v4, sk, __sk_common.skc_rcv_saddr);
		BPF_CORE_READ_INTO(&c.to.v4, sk, __sk_common.skc_daddr);
	} else {
		BPF_CORE_READ_INTO(&c.from.v6, sk, __sk_common.skc_v6_rcv_saddr.in6_u.u6_addr8);
		BPF_CORE_READ_INTO(&c.to.v6, sk, __sk_common.skc_v6_daddr.in6_u.u6_addr8);
	}
	c.pid = id >> 32;
	c.uid = bpf_get_current_uid_gid();
	bpf_get_current_comm(&c.comm, sizeof(c.comm));
	bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU, &c, sizeof(c));
	return 0;
}

SEC("kprobe/tcp_v4_connect")
int BPF_KPROBE(enter_v4, struct sock *sk)
{
	return enter(sk);
}

SEC("kretprobe/tcp_v4_connect")
int BPF_KRETPROBE(leave_v4, int ret)
{
	return leave(ctx, ret, 2);
}

SEC("kprobe/tcp_v6_connect")
int BPF_KPROBE(enter_v6, struct sock *sk)
{
	return enter(sk);
}

SEC("kretprobe/tcp_v6_connect")
int BPF_KRETPROBE(leave_v6, int ret)
{
	return leave(ctx, ret, 10);
}

char LICENSE[] SEC("license") = "GPL";
