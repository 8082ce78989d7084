// SPDX-License-Identifier: MIT OR Apache-2.0
// Helpers that call back, and tail calls.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include "facts.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 5);
} array SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u64);
	__type(value, __u64);
	__uint(max_entries, 16);
} hash SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 2);
} percpu SEC(".maps");

struct sum {
	__u64 keys;
	__u64 values;
	__u64 calls;
	__u64 stop_at;
};

static int round(__u32 at, struct sum *sum)
{
	sum->keys += at;
	sum->calls++;
	return at == sum->stop_at;
}

static int nested_inner(__u32 at, struct sum *sum)
{
	sum->values += at;
	return 0;
}

static int nested_outer(__u32 at, struct sum *sum)
{
	sum->calls += bpf_loop(at, nested_inner, sum, 0);
	return 0;
}

SEC("syscall")
int loops(void *ctx)
{
	struct sum sum = { .stop_at = 1 << 20 };

	fact(bpf_loop(0, round, &sum, 0));
	fact(sum.calls);
	fact(bpf_loop(1000, round, &sum, 0));
	fact(sum.calls);
	fact(sum.keys);
	fact(bpf_loop(10, round, &sum, 1));
	fact(bpf_loop((1 << 23) + 1, round, &sum, 0));
	sum.stop_at = 7;
	fact(bpf_loop(1000, round, &sum, 0));
	fact(sum.calls);
	sum.stop_at = 0;
	fact(bpf_loop(1000, round, &sum, 0));
	fact(bpf_loop(10, nested_outer, &sum, 0));
	fact(sum.values);
	fact(sum.calls);
	return 3;
}

static long visit_array(struct bpf_map *map, const __u32 *key, __u64 *value, struct sum *sum)
{
	sum->keys += *key;
	sum->values += *value;
	sum->calls++;
	*value += 100;
	return *key == sum->stop_at;
}

static long visit_hash(struct bpf_map *map, const __u64 *key, __u64 *value, struct sum *sum)
{
	sum->keys += *key;
	sum->values += *value;
	sum->calls++;
	return 0;
}

static long delete_all(struct bpf_map *map, const __u64 *key, __u64 *value, struct sum *sum)
{
	__u64 copy = *key;

	sum->calls += !bpf_map_delete_elem(map, &copy);
	return 0;
}

SEC("syscall")
int entries(void *ctx)
{
	struct sum sum = { .stop_at = 100 };
	__u64 key, *value;
	__u32 at, next;

	for (next = 0; next < 5; next++) {
		at = next;
		key = next + 10;
		bpf_map_update_elem(&array, &at, &key, 0);
	}
	fact(bpf_for_each_map_elem(&array, visit_array, &sum, 0));
	fact(sum.keys);
	fact(sum.values);
	at = 2;
	value = bpf_map_lookup_elem(&array, &at);
	fact(value ? *value : -1);
	sum.stop_at = 2;
	fact(bpf_for_each_map_elem(&array, visit_array, &sum, 0));
	fact(sum.calls);
	fact(bpf_for_each_map_elem(&array, visit_array, &sum, 1));
	sum.calls = sum.keys = sum.values = 0;
	fact(bpf_for_each_map_elem(&hash, visit_hash, &sum, 0));
	for (next = 1; next <= 8; next++) {
		__u64 square = next * next;

		key = next;
		bpf_map_update_elem(&hash, &key, &square, 0);
	}
	fact(bpf_for_each_map_elem(&hash, visit_hash, &sum, 0));
	fact(sum.keys);
	fact(sum.values);
	sum.calls = 0;
	fact(bpf_for_each_map_elem(&hash, delete_all, &sum, 0));
	fact(sum.calls);
	fact(bpf_for_each_map_elem(&hash, visit_hash, &sum, 0));
	at = 1;
	value = bpf_map_lookup_elem(&percpu, &at);
	if (value)
		*value = 77;
	value = bpf_map_lookup_percpu_elem(&percpu, &at, bpf_get_smp_processor_id());
	fact(value ? *value : -1);
	fact(!bpf_map_lookup_percpu_elem(&percpu, &at, 100000));
	at = 2;
	fact(!bpf_map_lookup_percpu_elem(&percpu, &at, 0));
	return 0;
}

char _license[] SEC("license") = "GPL";
