// SPDX-License-Identifier: MIT OR Apache-2.0
// Congestion controls: one by a link, one to put in its place, one without a link, and one that
// is only created when asked for.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

__u64 begun, acknowledged, acknowledged_twice;

SEC("struct_ops")
void BPF_PROG(begin, struct sock *sk)
{
	__sync_fetch_and_add(&begun, 1);
}

SEC("struct_ops")
void BPF_PROG(grow, struct sock *sk, __u32 ack, __u32 acked)
{
	__sync_fetch_and_add(&acknowledged, 1);
}

SEC("struct_ops")
void BPF_PROG(grow_twice, struct sock *sk, __u32 ack, __u32 acked)
{
	__sync_fetch_and_add(&acknowledged_twice, 2);
}

SEC("struct_ops")
__u32 BPF_PROG(shrink, struct sock *sk)
{
	return 2;
}

SEC("struct_ops")
__u32 BPF_PROG(undo, struct sock *sk)
{
	return 10;
}

// Only the struct that is created on request has it.
SEC("struct_ops")
void BPF_PROG(sent, struct sock *sk, __u32 event)
{
}

// Members in another order than the kernel's, and one that no kernel has.
struct tcp_congestion_ops___ours {
	char name[16];
	__u64 of_the_future;
	__u32 (*undo_cwnd)(struct sock *sk);
	void (*cong_avoid)(struct sock *sk, __u32 ack, __u32 acked);
	__u32 (*ssthresh)(struct sock *sk);
	void (*init)(struct sock *sk);
};

SEC(".struct_ops.link")
struct tcp_congestion_ops___ours linked = {
	.name = "skep_linked",
	.init = (void *)begin,
	.cong_avoid = (void *)grow,
	.ssthresh = (void *)shrink,
	.undo_cwnd = (void *)undo,
};

// An update asks for the same name.
SEC(".struct_ops.link")
struct tcp_congestion_ops successor = {
	.name = "skep_linked",
	.init = (void *)begin,
	.cong_avoid = (void *)grow_twice,
	.ssthresh = (void *)shrink,
	.undo_cwnd = (void *)undo,
};

SEC(".struct_ops")
struct tcp_congestion_ops registered = {
	.name = "skep_registered",
	.init = (void *)begin,
	.cong_avoid = (void *)grow,
	.ssthresh = (void *)shrink,
	.undo_cwnd = (void *)undo,
};

SEC("?.struct_ops.link")
struct tcp_congestion_ops on_request = {
	.name = "skep_request",
	.cong_avoid = (void *)grow,
	.ssthresh = (void *)shrink,
	.undo_cwnd = (void *)undo,
	.cwnd_event = (void *)sent,
};

char LICENSE[] SEC("license") = "GPL";
