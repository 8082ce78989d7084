/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Programs that attach to types of the kernel, and call its functions.
 */
#include "test.h"

char LICENSE[] SEC("license") = "GPL";

struct task_struct {
	int pid;
} CORE;

struct bpf_iter__task {
	void *meta;
	struct task_struct *task;
};

extern struct task_struct *bpf_task_acquire(struct task_struct *task) KSYM;
extern void bpf_task_release(struct task_struct *task) KSYM;
extern const int runqueues_not_there KSYM WEAK;

u64 count;

SEC("tp_btf/sched_switch")
int switched(u64 *context)
{
	count++;
	return 0;
}

SEC("tp_btf/task_newtask")
int acquired(u64 *context)
{
	struct task_struct *task = bpf_task_acquire((struct task_struct *)context[0]);

	if (&runqueues_not_there)
		count++;
	if (task)
		bpf_task_release(task);
	return 0;
}

SEC("iter/task")
int tasks(struct bpf_iter__task *context)
{
	count++;
	return 0;
}
