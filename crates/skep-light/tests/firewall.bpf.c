// SPDX-License-Identifier: MIT OR Apache-2.0
// A program whose function others take the place of. It asks for no kernel's types.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

__noinline int is_allowed(struct xdp_md *ctx, int length)
{
	// What the compiler can't work out from outside.
	volatile int answer = 1;

	return ctx && length > 0 ? answer : 0;
}

SEC("xdp")
int filter(struct xdp_md *ctx)
{
	return is_allowed(ctx, 64 + ctx->rx_queue_index) ? XDP_PASS : XDP_DROP;
}

char LICENSE[] SEC("license") = "GPL";
