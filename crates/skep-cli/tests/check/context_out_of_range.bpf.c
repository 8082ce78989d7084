// A read behind the end of the context.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

SEC("xdp")
int peek(struct xdp_md *ctx)
{
	__u32 *words = (__u32 *)ctx;

	return words[8] ? XDP_DROP : XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
