// SPDX-License-Identifier: MIT OR Apache-2.0
// Values that live with tasks and with cgroups.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include "facts.h"

struct value {
	__u64 a, b;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct value);
} tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u32);
} others SEC(".maps");

SEC("syscall")
int of_tasks(void *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct value first = { 1, 2 }, *value;
	__u32 *other;

	fact(!!bpf_task_storage_get(&tasks, task, 0, 0));
	fact(bpf_task_storage_delete(&tasks, task));
	fact(!!bpf_task_storage_get(&tasks, task, &first, 2));
	value = bpf_task_storage_get(&tasks, task, &first, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!value)
		return 1;
	fact(value->a);
	fact(value->b);
	value->b = 9;
	value = bpf_task_storage_get(&tasks, task, &first, BPF_LOCAL_STORAGE_GET_F_CREATE);
	fact(value ? value->b : 0);
	value = bpf_task_storage_get(&tasks, task, 0, 0);
	fact(value ? value->b : 0);
	other = bpf_task_storage_get(&others, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	fact(other ? *other : 100);
	fact(bpf_task_storage_delete(&tasks, task));
	fact(bpf_task_storage_delete(&tasks, task));
	/* It stays as long as this program may use it. */
	if (value)
		fact(value->b);
	value = bpf_task_storage_get(&tasks, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	fact(value ? value->b : 100);
	return 0;
}

struct {
	__uint(type, BPF_MAP_TYPE_CGRP_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct value);
} groups SEC(".maps");

extern struct cgroup *bpf_cgroup_from_id(u64 cgid) __ksym;
extern void bpf_cgroup_release(struct cgroup *cgrp) __ksym;

SEC("syscall")
int of_cgroups(void *ctx)
{
	struct cgroup *group = bpf_cgroup_from_id(bpf_get_current_cgroup_id());
	struct value first = { 1, 2 }, *value;

	if (!group)
		return 1;
	fact(!!bpf_cgrp_storage_get(&groups, group, 0, 0));
	fact(bpf_cgrp_storage_delete(&groups, group));
	fact(!!bpf_cgrp_storage_get(&groups, group, &first, 2));
	value = bpf_cgrp_storage_get(&groups, group, &first, BPF_LOCAL_STORAGE_GET_F_CREATE);
	fact(value ? value->b : 100);
	if (value)
		value->b = 9;
	value = bpf_cgrp_storage_get(&groups, group, &first, BPF_LOCAL_STORAGE_GET_F_CREATE);
	fact(value ? value->b : 100);
	fact(bpf_cgrp_storage_delete(&groups, group));
	fact(bpf_cgrp_storage_delete(&groups, group));
	value = bpf_cgrp_storage_get(&groups, group, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	fact(value ? value->b : 100);
	fact(bpf_cgrp_storage_delete(&groups, group));
	bpf_cgroup_release(group);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
