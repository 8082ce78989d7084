// SPDX-License-Identifier: MIT OR Apache-2.0
// Timers that write down when they fired, for a clock that the test moves.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

struct value {
	__u64 fired;
	__u64 at;
	__u64 again;
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);
	__type(value, struct value);
	__uint(max_entries, 8);
} values SEC(".maps");

/* The context of every program. */
struct arguments {
	__u32 key;
	__u32 clock;
	__u64 delay;
	__u64 again;
	__u64 flags;
	__s64 answer;
};

__u32 order[16];
__u32 fired;
__s64 cancelled = 1;

static int fire(void *map, __u32 *of, struct value *value)
{
	__u32 at = __sync_fetch_and_add(&fired, 1);

	if (at < 16)
		order[at] = *of;
	value->fired++;
	value->at = bpf_ktime_get_ns();
	cancelled = bpf_timer_cancel(&value->timer);
	if (value->again) {
		value->again--;
		bpf_timer_start(&value->timer, 10, 0);
	}
	return 0;
}

SEC("syscall")
int start(struct arguments *args)
{
	struct value fresh = {}, *value;
	__u32 of = args->key;

	bpf_map_update_elem(&values, &of, &fresh, BPF_NOEXIST);
	value = bpf_map_lookup_elem(&values, &of);
	if (!value)
		return 1;
	value->again = args->again;
	bpf_timer_init(&value->timer, &values, args->clock);
	bpf_timer_set_callback(&value->timer, fire);
	args->answer = bpf_timer_start(&value->timer, args->delay, args->flags);
	return 0;
}

SEC("syscall")
int cancel(struct arguments *args)
{
	struct value *value;
	__u32 of = args->key;

	value = bpf_map_lookup_elem(&values, &of);
	if (!value)
		return 1;
	args->answer = bpf_timer_cancel(&value->timer);
	return 0;
}

SEC("syscall")
int forget(struct arguments *args)
{
	__u32 of = args->key;

	args->answer = bpf_map_delete_elem(&values, &of);
	return 0;
}

char _license[] SEC("license") = "GPL";
