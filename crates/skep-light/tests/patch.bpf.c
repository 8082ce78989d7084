// SPDX-License-Identifier: MIT OR Apache-2.0
// Programs on functions of `firewall.bpf.c`.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

__u64 replaced;
__u64 left;

SEC("freplace/is_allowed")
int nothing_is(struct xdp_md *ctx, int length)
{
	replaced++;
	return 0;
}

SEC("fexit/filter")
int BPF_PROG(after, void *xdp, int answer)
{
	left = left << 8 | answer;
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
