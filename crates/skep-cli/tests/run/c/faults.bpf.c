// SPDX-License-Identifier: MIT OR Apache-2.0
// Programs that do wrong, which only the virtual machine lets begin.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

struct task_struct___dreamt {
	int favourite_colour;
} __attribute__((preserve_access_index));

SEC("tracepoint/syscalls/sys_enter_openat")
int reads_anywhere(void *ctx)
{
	return *(volatile int *)0x1234;
}

SEC("tracepoint/syscalls/sys_exit_openat")
int asks_for_what_is_not_there(void *ctx)
{
	struct task_struct___dreamt *task = (void *)bpf_get_current_task();

	return BPF_CORE_READ(task, favourite_colour);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
