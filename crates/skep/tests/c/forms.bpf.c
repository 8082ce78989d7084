// SPDX-License-Identifier: MIT OR Apache-2.0
// One program in three forms, of which each kernel takes the best that it can; and one that needs the
// kernel's types.
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "skep.h"

const volatile pid_t target_pid = 0;

__u64 by_entry, by_probe, by_tracepoint, relocated_hits;

#define COUNT(counter) do {                                             \
	if (bpf_get_current_pid_tgid() >> 32 == target_pid)             \
		__sync_fetch_and_add(&counter, 1);                      \
} while (0)

SEC("fentry/vfs_read")
int at_entry(void *ctx)
{
	COUNT(by_entry);
	return 0;
}

SEC("?kprobe/vfs_read")
SKEP_INSTEAD_OF(at_entry)
int probed(void *ctx)
{
	COUNT(by_probe);
	return 0;
}

SEC("?tracepoint/syscalls/sys_enter_read")
SKEP_INSTEAD_OF(probed)
int traced(void *ctx)
{
	COUNT(by_tracepoint);
	return 0;
}

SEC("?raw_tp/sys_enter")
int relocated(void *ctx)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();

	if (BPF_CORE_READ(task, tgid) == target_pid)
		__sync_fetch_and_add(&relocated_hits, 1);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
