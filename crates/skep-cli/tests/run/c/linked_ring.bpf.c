// SPDX-License-Identifier: MIT OR Apache-2.0
// The other of two files: see linked_hook.bpf.c.
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <skep.h>

struct event {
	pid_t pid;
	__u64 number;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 * 1024);
	__type(value, struct event);
} events SEC(".maps");

__u64 total = 100;

static __attribute__((noinline)) __u64 next(__u64 number)
{
	return number * 10;
}

__attribute__((noinline)) __u64 scaled(__u64 number)
{
	return next(number);
}

// Hidden, and so verified with its caller: a global function could not take a task.
__hidden __attribute__((noinline)) int record(struct task_struct *task, __u64 number)
{
	struct event event = { .number = number };

	event.pid = BPF_CORE_READ(task, tgid);
	if (bpf_ringbuf_output(&events, &event, sizeof(event), 0))
		SKEP_LOST();
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
