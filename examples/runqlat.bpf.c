// SPDX-License-Identifier: MIT OR Apache-2.0
// runqlat: how long threads that could run wait for a CPU.
//
// Teaches: typed tracepoints (tp_btf), whose arguments are kernel structures that are read
// like any C pointer, and a histogram.
//
//   skep run examples/runqlat.bpf.c --duration 10s
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <skep.h>

const volatile pid_t target_pid = 0;        // -p: only this process

// When a thread became able to run, by thread.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, pid_t);
	__type(value, __u64);
} waiting_since SEC(".maps") SKEP_HIDDEN;

// Slot i counts waits of 2^i to 2^(i+1) microseconds.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 27);
	__type(key, __u32);
	__type(value, __u64);
} latency SEC(".maps") SKEP_TITLE("run-queue latency") SKEP_HISTOGRAM("us");

static __always_inline int starts_waiting(pid_t tgid, pid_t tid)
{
	__u64 now = bpf_ktime_get_ns();

	if (!tid || (target_pid && tgid != target_pid))
		return 0;
	if (bpf_map_update_elem(&waiting_since, &tid, &now, BPF_ANY))
		SKEP_LOST();
	return 0;
}

SEC("tp_btf/sched_wakeup")
int BPF_PROG(wakeup, struct task_struct *task)
{
	return starts_waiting(task->tgid, task->pid);
}

SEC("tp_btf/sched_wakeup_new")
int BPF_PROG(wakeup_new, struct task_struct *task)
{
	return starts_waiting(task->tgid, task->pid);
}

SEC("tp_btf/sched_switch")
int BPF_PROG(switched, bool preempt, struct task_struct *from, struct task_struct *to)
{
	pid_t tid = to->pid;
	__u64 *since, *count;
	__s64 waited;
	__u32 slot;

	// Taken off the CPU while it could go on: it waits again.
	if (preempt)
		starts_waiting(from->tgid, from->pid);

	since = bpf_map_lookup_elem(&waiting_since, &tid);
	if (!since)
		return 0;
	waited = bpf_ktime_get_ns() - *since;
	bpf_map_delete_elem(&waiting_since, &tid);
	if (waited < 0)
		return 0;
	slot = skep_log2(waited / 1000);
	if (slot > 26)
		slot = 26;
	count = bpf_map_lookup_elem(&latency, &slot);
	if (count)
		__sync_fetch_and_add(count, 1);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
