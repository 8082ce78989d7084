// SPDX-License-Identifier: MIT OR Apache-2.0
// What timers see of tasks.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#define FRAMES 16

struct seen {
	__u32 pid;
	__u32 tid;
	__u64 period;
	__u64 counted;
	__s64 kernel; // what there is of a stack in the kernel
	__s64 bytes;
	__u64 ip;
	__u64 stack[FRAMES];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20);
} events SEC(".maps");

__u64 lost;

static __always_inline struct seen *see(void *ctx)
{
	struct seen *seen = bpf_ringbuf_reserve(&events, sizeof(*seen), 0);
	__u64 id = bpf_get_current_pid_tgid();

	if (!seen) {
		__sync_fetch_and_add(&lost, 1);
		return NULL;
	}
	seen->pid = id >> 32;
	seen->tid = id;
	seen->kernel = bpf_get_stack(ctx, seen->stack, sizeof(seen->stack), 0);
	seen->bytes = bpf_get_stack(ctx, seen->stack, sizeof(seen->stack), BPF_F_USER_STACK);
	return seen;
}

SEC("perf_event")
int sample(struct bpf_perf_event_data *ctx)
{
	struct bpf_perf_event_value value;
	struct seen *seen = see(ctx);

	if (!seen)
		return 0;
	seen->period = ctx->sample_period;
	seen->ip = ctx->regs.ip;
	seen->counted = bpf_perf_prog_read_value(ctx, &value, sizeof(value)) ? 0 : value.counter;
	bpf_ringbuf_submit(seen, 0);
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_getppid")
int call(void *ctx)
{
	struct seen *seen = see(ctx);

	if (!seen)
		return 0;
	seen->period = seen->counted = seen->ip = 0;
	bpf_ringbuf_submit(seen, 0);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
