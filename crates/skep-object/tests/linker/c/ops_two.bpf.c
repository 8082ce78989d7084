/* SPDX-License-Identifier: MIT OR Apache-2.0
 * See ops_one.bpf.c.
 */
#include "shared.h"

char LICENSE[] SEC("license") = "GPL";

struct sock;

struct tcp_congestion_ops {
	void (*init)(struct sock *sk);
	u32 (*ssthresh)(struct sock *sk);
	void (*cong_avoid)(struct sock *sk, u32 ack, u32 acked);
	u32 (*undo_cwnd)(struct sock *sk);
	char name[16];
	u32 flags;
};

u32 threshold = 7;

NOINLINE HIDDEN u32 window_of(u64 *context)
{
	return threshold + 3;
}

SEC("struct_ops/two_ssthresh")
u32 two_ssthresh(u64 *context)
{
	return threshold + 1;
}

SEC("struct_ops/two_undo_cwnd")
u32 two_undo_cwnd(u64 *context)
{
	return window_of(context);
}

SEC("struct_ops/two_cong_avoid")
void two_cong_avoid(u64 *context)
{
}

SEC(".struct_ops")
struct tcp_congestion_ops skep_two = {
	.ssthresh = (void *)two_ssthresh,
	.cong_avoid = (void *)two_cong_avoid,
	.undo_cwnd = (void *)two_undo_cwnd,
	.name = "skep_two",
};
