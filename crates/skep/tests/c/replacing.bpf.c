// SPDX-License-Identifier: MIT OR Apache-2.0
// Programs on another program's functions (`replaced.bpf.c`).
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

__u64 entries;
__u64 exits;
__u64 last_length;
__u64 last_answer;

SEC("?freplace/is_allowed")
int nothing_is(struct xdp_md *ctx, int length)
{
	entries++;
	last_length = length;
	return 0;
}

SEC("?freplace/of_another_kind")
int misfit(struct xdp_md *ctx, int length)
{
	return length;
}

SEC("?fentry/filter")
int BPF_PROG(before, struct xdp_buff *xdp)
{
	entries++;
	return 0;
}

SEC("?fexit/filter")
int BPF_PROG(after, struct xdp_buff *xdp, int answer)
{
	exits++;
	last_answer = answer;
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
