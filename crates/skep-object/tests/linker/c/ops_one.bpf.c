/* SPDX-License-Identifier: MIT OR Apache-2.0
 * A congestion control, whose functions stand in two files, and a second one by a link.
 */
#include "shared.h"

char LICENSE[] SEC("license") = "GPL";

struct sock {
	int unused;
} CORE;

struct tcp_congestion_ops {
	void (*init)(struct sock *sk);
	u32 (*ssthresh)(struct sock *sk);
	void (*cong_avoid)(struct sock *sk, u32 ack, u32 acked);
	u32 (*undo_cwnd)(struct sock *sk);
	char name[16];
	u32 flags;
};

u64 started;
extern u32 threshold;
NOINLINE HIDDEN u32 window_of(u64 *context);

SEC("struct_ops/one_init")
void one_init(u64 *context)
{
	started++;
}

SEC("struct_ops/one_ssthresh")
u32 one_ssthresh(u64 *context)
{
	return threshold;
}

SEC("struct_ops/one_undo_cwnd")
u32 one_undo_cwnd(u64 *context)
{
	return window_of(context);
}

SEC("struct_ops/one_cong_avoid")
void one_cong_avoid(u64 *context)
{
}

SEC(".struct_ops")
struct tcp_congestion_ops skep_one = {
	.init = (void *)one_init,
	.ssthresh = (void *)one_ssthresh,
	.cong_avoid = (void *)one_cong_avoid,
	.undo_cwnd = (void *)one_undo_cwnd,
	.name = "skep_one",
};
