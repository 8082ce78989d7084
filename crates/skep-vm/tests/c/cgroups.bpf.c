// SPDX-License-Identifier: MIT OR Apache-2.0
// Open-coded iterators over cgroups and their tasks.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

extern struct cgroup *bpf_cgroup_from_id(u64 cgid) __ksym;
extern void bpf_cgroup_release(struct cgroup *cgrp) __ksym;
extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;
extern int bpf_iter_css_new(struct bpf_iter_css *it, struct cgroup_subsys_state *start,
	unsigned int flags) __ksym;
extern struct cgroup_subsys_state *bpf_iter_css_next(struct bpf_iter_css *it) __ksym;
extern void bpf_iter_css_destroy(struct bpf_iter_css *it) __ksym;
extern int bpf_iter_css_task_new(struct bpf_iter_css_task *it, struct cgroup_subsys_state *css,
	unsigned int flags) __ksym;
extern struct task_struct *bpf_iter_css_task_next(struct bpf_iter_css_task *it) __ksym;
extern void bpf_iter_css_task_destroy(struct bpf_iter_css_task *it) __ksym;

struct arguments {
	__u64 cgroup; /* 0: where the program runs */
	__u32 flags;
	__s32 answer;
};

__u64 seen[16];

SEC("syscall")
int groups(struct arguments *args)
{
	struct cgroup *start = bpf_cgroup_from_id(args->cgroup);
	struct cgroup_subsys_state *css;
	struct bpf_iter_css it;
	int i;

	if (!start)
		return 1;
	bpf_rcu_read_lock();
	args->answer = bpf_iter_css_new(&it, &start->self, args->flags);
#pragma unroll
	for (i = 0; i < 16; i++) {
		css = bpf_iter_css_next(&it);
		seen[i] = css ? css->cgroup->kn->id : 0;
	}
	bpf_iter_css_destroy(&it);
	bpf_rcu_read_unlock();
	bpf_cgroup_release(start);
	return 0;
}

__u32 itself, others;

SEC("syscall")
int tasks(struct arguments *args)
{
	__u64 own = bpf_get_current_cgroup_id();
	struct cgroup *group = bpf_cgroup_from_id(args->cgroup ? args->cgroup : own);
	__u32 current = bpf_get_current_pid_tgid();
	struct bpf_iter_css_task it;
	struct task_struct *task;

	itself = others = 0;
	if (!group)
		return 1;
	args->answer = bpf_iter_css_task_new(&it, &group->self, args->flags);
	while ((task = bpf_iter_css_task_next(&it))) {
		if (task->pid == current)
			itself++;
		if (task->pid != task->tgid)
			others = 1;
	}
	bpf_iter_css_task_destroy(&it);
	bpf_cgroup_release(group);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
