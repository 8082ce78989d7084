// SPDX-License-Identifier: MIT OR Apache-2.0
// A map for one program alone, and another program that wants it, too.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} secret SEC(".maps");

__u64 offset = 3;

SEC("socket")
int owner(struct __sk_buff *skb)
{
	__u32 key = 0;
	__u64 *value = bpf_map_lookup_elem(&secret, &key);

	return value ? *value + offset : 0;
}

SEC("?socket")
int intruder(struct __sk_buff *skb)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&secret, &key) ? 1 : 0;
}

char LICENSE[] SEC("license") = "GPL";
