// SPDX-License-Identifier: MIT OR Apache-2.0
// The verifier refuses it: a lookup that may have found nothing is read.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, __u64);
} hits SEC(".maps");

SEC("xdp")
int count(struct xdp_md *ctx)
{
	__u32 key = 1;
	__u64 *value = bpf_map_lookup_elem(&hits, &key);

	*value += 1;  // not tested first
	return 2;
}

char LICENSE[] SEC("license") = "GPL";
