// SPDX-License-Identifier: MIT OR Apache-2.0
// Programs that use a map only if a constant says so, and one that always does.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} extra SEC(".maps"), always SEC(".maps");

const volatile bool with_extra;
int unread SEC(".data.unread") = 7;

SEC("raw_tp/sys_enter")
int guarded(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 key = 0;
	__u64 *value;

	if (with_extra) {
		value = bpf_map_lookup_elem(&extra, &key);
		return value ? 2 : 3;
	}
	value = bpf_map_lookup_elem(&always, &key);
	return value ? *value + 1 : 4;
}

SEC("?raw_tp/sys_enter")
int unguarded(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&extra, &key) ? unread : 1;
}

char LICENSE[] SEC("license") = "GPL";
