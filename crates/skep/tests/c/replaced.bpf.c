// SPDX-License-Identifier: MIT OR Apache-2.0
// A program whose function others take the place of, and watch.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

__u64 asked;

__noinline int is_allowed(struct xdp_md *ctx, int length)
{
	// What the compiler can't work out from outside.
	volatile int answer = 1;

	asked++;
	return ctx && length > 0 ? answer : 0;
}

__noinline int of_another_kind(struct xdp_md *ctx)
{
	volatile int answer = 1;

	return ctx ? answer : 0;
}

SEC("xdp")
int filter(struct xdp_md *ctx)
{
	if (!of_another_kind(ctx))
		return XDP_ABORTED;
	return is_allowed(ctx, 64 + ctx->rx_queue_index) ? XDP_PASS : XDP_DROP;
}

char LICENSE[] SEC("license") = "GPL";
