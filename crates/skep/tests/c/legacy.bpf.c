// SPDX-License-Identifier: MIT OR Apache-2.0
// Maps from before BTF had a section for them, as libbpf 0.x and its users wrote them.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

struct bpf_map_def {
	unsigned int type;
	unsigned int key_size;
	unsigned int value_size;
	unsigned int max_entries;
	unsigned int map_flags;
};

struct value {
	__u64 count;
};

struct bpf_map_def SEC("maps") counts = {
	.type = BPF_MAP_TYPE_HASH,
	.key_size = sizeof(__u32),
	.value_size = sizeof(struct value),
	.max_entries = 4,
	.map_flags = BPF_F_NO_PREALLOC,
};

struct bpf_map_def SEC("maps") slots = {
	.type = BPF_MAP_TYPE_ARRAY,
	.key_size = sizeof(__u32),
	.value_size = sizeof(__u64),
	.max_entries = 2,
};

// BPF_ANNOTATE_KV_PAIR(counts, __u32, struct value)
struct ____btf_map_counts {
	__u32 key;
	struct value value;
};
struct ____btf_map_counts __attribute__((section(".maps.counts"), used)) ____btf_map_counts = {};

SEC("raw_tp/sys_enter")
int count(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 key = 3, slot = 1;
	struct value fresh = { .count = 40 };
	__u64 *number = bpf_map_lookup_elem(&slots, &slot);

	bpf_map_update_elem(&counts, &key, &fresh, 0);
	return number ? *number : 0;
}

char LICENSE[] SEC("license") = "GPL";
