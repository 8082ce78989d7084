// SPDX-License-Identifier: MIT OR Apache-2.0
// Work that is done later: by work queues, and for a task.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include "facts.h"
#include "renamed.h"

extern int bpf_wq_init(struct bpf_wq *wq, void *map, unsigned int flags) __ksym;
extern int bpf_wq_start(struct bpf_wq *wq, unsigned int flags) __ksym;

struct work {
	struct bpf_wq work;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, int);
	__type(value, struct work);
} works SEC(".maps");

struct task_work {
	struct bpf_task_work work;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2);
	__type(key, int);
	__type(value, struct task_work);
} task_works SEC(".maps");

int done_key, done_pid;

static int worked(void *map, int *key, void *value)
{
	done_key = *key + 100;
	return 0;
}

SEC("syscall")
int by_queue(void *ctx)
{
	int one = 1;
	struct work *work = bpf_map_lookup_elem(&works, &one);

	if (!work)
		return 1;
	fact(bpf_wq_init(&work->work, &works, 0));
	fact(bpf_wq_set_callback(&work->work, worked, 0));
	fact(bpf_wq_start(&work->work, 0));
	return 0;
}

static int worked_for(struct bpf_map *map, void *key, void *value)
{
	done_key = *(int *)key + 100;
	done_pid = bpf_get_current_pid_tgid();
	return 0;
}

int wanted_pid;

static __always_inline int for_this_task(int key, int resume)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_work empty = {}, *work;

	wanted_pid = bpf_get_current_pid_tgid();
	fact(bpf_map_update_elem(&task_works, &key, &empty, 0));
	work = bpf_map_lookup_elem(&task_works, &key);
	if (!work)
		return 1;
	fact(resume ? bpf_task_work_schedule_resume(task, &work->work, &task_works, worked_for)
		    : bpf_task_work_schedule_signal(task, &work->work, &task_works, worked_for));
	return 0;
}

SEC("syscall")
int for_a_task(void *ctx)
{
	return for_this_task(2, 0);
}

SEC("syscall")
int for_a_resumed_task(void *ctx)
{
	return for_this_task(3, 1);
}

char LICENSE[] SEC("license") = "GPL";
