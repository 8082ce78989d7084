// SPDX-License-Identifier: MIT OR Apache-2.0
// A scheduler that leaves all to the kernel's queue of everybody, and counts. Its struct is written
// down here: kernels without sched_ext have no types of it.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

const volatile pid_t target_pid = 0;

__u64 ran;
__u64 enabled;

SEC("struct_ops")
void BPF_PROG(on_running, struct task_struct *p)
{
	if (p->tgid == target_pid)
		__sync_fetch_and_add(&ran, 1);
}

SEC("struct_ops")
void BPF_PROG(on_enable, struct task_struct *p)
{
	__sync_fetch_and_add(&enabled, 1);
}

struct sched_ext_ops___ours {
	void (*running)(struct task_struct *p);
	void (*enable)(struct task_struct *p);
	__u32 timeout_ms;
	char name[128];
};

SEC(".struct_ops.link")
struct sched_ext_ops___ours counting = {
	.running = (void *)on_running,
	.enable = (void *)on_enable,
	.timeout_ms = 10000,
	.name = "skep_counting",
};

char LICENSE[] SEC("license") = "GPL";
