// SPDX-License-Identifier: MIT OR Apache-2.0
// A timer that a system call of a process starts, and that goes on by itself while it sleeps. For
// the virtual machine: the kernel lets no tracing program have a timer.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <skep.h>

#define TICKS 5
#define PERIOD 10000000 // nanoseconds
#define CLOCK_MONOTONIC 1

const volatile pid_t target_pid = 0;

struct tick {
	__u32 number;
	bool in_time;
};

struct ticker {
	struct bpf_timer timer;
	__u64 due;
	__u32 number;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ticker);
} tickers SEC(".maps") SKEP_HIDDEN;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps") SKEP_EVENT(tick);
SKEP_KEEP_TYPE(struct tick);

static int tick(void *map, __u32 *key, struct ticker *ticker)
{
	struct tick *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event) {
		SKEP_LOST();
		return 0;
	}
	event->number = ++ticker->number;
	event->in_time = bpf_ktime_get_ns() >= ticker->due;
	bpf_ringbuf_submit(event, 0);
	ticker->due += PERIOD;
	if (ticker->number < TICKS)
		bpf_timer_start(&ticker->timer, PERIOD, 0);
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_clock_nanosleep")
int begin(void *ctx)
{
	__u32 key = 0;
	struct ticker *ticker;

	if (bpf_get_current_pid_tgid() >> 32 != target_pid)
		return 0;
	ticker = bpf_map_lookup_elem(&tickers, &key);
	if (!ticker || bpf_timer_init(&ticker->timer, &tickers, CLOCK_MONOTONIC))
		return 0;
	ticker->due = bpf_ktime_get_ns() + PERIOD;
	bpf_timer_set_callback(&ticker->timer, tick);
	bpf_timer_start(&ticker->timer, PERIOD, 0);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
