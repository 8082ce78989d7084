// SPDX-License-Identifier: MIT OR Apache-2.0
// One of two files: the hook. What it counts and the ring are linked_ring.bpf.c's.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <skep.h>

const volatile pid_t target_pid = 0;
extern __u64 total;
extern int record(struct task_struct *task, __u64 number);

static __attribute__((noinline)) __u64 next(__u64 number)
{
	return number + 1;
}

// Gives way to the other file's.
__weak __attribute__((noinline)) __u64 scaled(__u64 number)
{
	return number;
}

SEC("tracepoint/syscalls/sys_enter_getppid")
int on_getppid(void *ctx)
{
	pid_t pid = bpf_get_current_pid_tgid() >> 32;

	if (target_pid && pid != target_pid)
		return 0;
	total = next(total);
	return record((void *)bpf_get_current_task(), scaled(total));
}

char LICENSE[] SEC("license") = "GPL";
