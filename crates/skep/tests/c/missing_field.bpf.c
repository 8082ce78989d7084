// SPDX-License-Identifier: MIT OR Apache-2.0
// Reads a field that no kernel has.
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

struct task_struct {
	int tgid;
	int favourite_colour;
} __attribute__((preserve_access_index));

int colour;

SEC("raw_tp/sys_enter")
int look(void *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	colour = BPF_CORE_READ(task, favourite_colour);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
