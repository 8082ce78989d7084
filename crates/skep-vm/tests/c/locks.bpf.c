// SPDX-License-Identifier: MIT OR Apache-2.0
// Spin locks in values.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include "facts.h"

struct value {
	__u64 before;
	struct bpf_spin_lock lock;
	__u32 after;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct value);
	__uint(max_entries, 2);
} array SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);
	__type(value, struct value);
	__uint(max_entries, 2);
} hash SEC(".maps");

SEC("syscall")
int lock(void *ctx)
{
	struct value fresh = { .before = 5, .after = 6 };
	struct value *value;
	__u32 key = 1;

	value = bpf_map_lookup_elem(&array, &key);
	if (!value)
		return 1;
	bpf_spin_lock(&value->lock);
	value->before = 1;
	value->after = 2;
	bpf_spin_unlock(&value->lock);
	bpf_spin_lock(&value->lock);
	value->before += 10;
	bpf_spin_unlock(&value->lock);
	fact(value->before);
	fact(value->after);
	fact(bpf_map_update_elem(&array, &key, &fresh, BPF_F_LOCK));
	fact(value->before);
	fact(value->after);
	fact(bpf_map_update_elem(&hash, &key, &fresh, 0));
	fact(bpf_map_update_elem(&hash, &key, &fresh, BPF_F_LOCK | BPF_NOEXIST));
	fact(bpf_map_update_elem(&hash, &key, &fresh, BPF_F_LOCK | BPF_EXIST));
	value = bpf_map_lookup_elem(&hash, &key);
	if (!value)
		return 2;
	bpf_spin_lock(&value->lock);
	value->before++;
	bpf_spin_unlock(&value->lock);
	fact(value->before);
	return 0;
}

char _license[] SEC("license") = "GPL";
