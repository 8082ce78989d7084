// SPDX-License-Identifier: MIT OR Apache-2.0
// Timers: what their helpers answer. When they fire is for tests with a clock of their own.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include "facts.h"

#define HOUR (3600ULL * 1000000000)

struct value {
	__u64 fired;
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct value);
	__uint(max_entries, 4);
} array SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);
	__type(value, struct value);
	__uint(max_entries, 4);
} hash SEC(".maps");

static int fire(void *map, __u32 *key, struct value *value)
{
	value->fired++;
	return 0;
}

SEC("syscall")
int answers(void *ctx)
{
	struct value *value;
	__u32 key = 1;

	value = bpf_map_lookup_elem(&array, &key);
	if (!value)
		return 1;
	fact(bpf_timer_set_callback(&value->timer, fire));
	fact(bpf_timer_start(&value->timer, 0, 0));
	fact(bpf_timer_cancel(&value->timer));
	fact(bpf_timer_init(&value->timer, &array, 2));
	fact(bpf_timer_init(&value->timer, &array, 16 | 1));
	fact(bpf_timer_init(&value->timer, &array, 1));
	fact(bpf_timer_init(&value->timer, &array, 1));
	fact(bpf_timer_start(&value->timer, HOUR, 0));
	fact(bpf_timer_cancel(&value->timer));
	fact(bpf_timer_set_callback(&value->timer, fire));
	fact(bpf_timer_start(&value->timer, HOUR, 4));
	fact(bpf_timer_start(&value->timer, HOUR, 0));
	fact(bpf_timer_start(&value->timer, HOUR, BPF_F_TIMER_CPU_PIN));
	fact(bpf_timer_cancel(&value->timer));
	fact(bpf_timer_cancel(&value->timer));
	fact(bpf_timer_start(&value->timer, HOUR, 0));
	fact(bpf_timer_set_callback(&value->timer, fire));
	fact(bpf_timer_start(&value->timer, ~0ULL >> 2, BPF_F_TIMER_ABS));
	fact(bpf_timer_set_callback(&value->timer, fire));
	fact(bpf_timer_cancel(&value->timer));
	fact(value->fired);
	return 0;
}

SEC("syscall")
int deleted(void *ctx)
{
	struct value fresh = {}, *value;
	__u32 key = 3;

	fact(bpf_map_update_elem(&hash, &key, &fresh, 0));
	value = bpf_map_lookup_elem(&hash, &key);
	if (!value)
		return 1;
	fact(bpf_timer_init(&value->timer, &hash, 7));
	fact(bpf_timer_set_callback(&value->timer, fire));
	fact(bpf_timer_start(&value->timer, HOUR, 0));
	fact(bpf_map_update_elem(&hash, &key, &fresh, BPF_EXIST));
	fact(bpf_map_delete_elem(&hash, &key));
	fact(bpf_map_update_elem(&hash, &key, &fresh, 0));
	value = bpf_map_lookup_elem(&hash, &key);
	if (!value)
		return 2;
	fact(bpf_timer_cancel(&value->timer));
	fact(bpf_timer_init(&value->timer, &hash, 0));
	fact(bpf_timer_set_callback(&value->timer, fire));
	return 0;
}

char _license[] SEC("license") = "GPL";
