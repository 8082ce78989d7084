/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Who waited for a CPU, by typed trace points and task storage. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

struct task_struct___old {
	volatile long int state;
} __attribute__((preserve_access_index));

struct wait {
	u64 ns;
	pid_t pid, before;
	char comm[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, u64);
} queued SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
} waits SEC(".maps");

const volatile u64 least_us = 0;

static __always_inline long state_of(void *task)
{
	struct task_struct *new = task;

	if (bpf_core_field_exists(new->__state))
		return BPF_CORE_READ(new, __state);
	return BPF_CORE_READ((struct task_struct___old *)task, state);
}

static int enqueue(struct task_struct *t)
{
	u64 *when;

	if (!t->pid)
		return 0;
	when = bpf_task_storage_get(&queued, t, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (when)
		*when = bpf_ktime_get_ns();
	return 0;
}

SEC("tp_btf/sched_wakeup")
int BPF_PROG(wakeup, struct task_struct *p)
{
	return enqueue(p);
}

SEC("tp_btf/sched_wakeup_new")
int BPF_PROG(wakeup_new, struct task_struct *p)
{
	return enqueue(p);
}

SEC("tp_btf/sched_switch")
int BPF_PROG(on_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	struct wait *w;
	u64 *when, ns;

	if (state_of(prev) == 0)
		enqueue(prev);
	when = bpf_task_storage_get(&queued, next, 0, 0);
	if (!when || !*when)
		return 0;
	ns = bpf_ktime_get_ns() - *when;
	*when = 0;
	if (ns < least_us * 1000)
		return 0;
	w = bpf_ringbuf_reserve(&waits, sizeof(*w), 0);
	if (!w)
		return 0;
	w->ns = ns;
	w->pid = next->pid;
	w->before = prev->pid;
	bpf_probe_read_kernel_str(&w->comm, sizeof(w->comm), next->comm);
	bpf_ringbuf_submit(w, 0);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
