// SPDX-License-Identifier: MIT OR Apache-2.0
// The current task as a structure, and text made of it.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include "facts.h"

SEC("syscall")
int structure(void *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	char comm[16] = {};
	int i;

	fact(task->pid);
	fact(task->tgid);
	fact(task->group_leader->pid);
	fact(task->real_parent->tgid);
	fact(task->cred->uid.val);
	fact(task->cred->egid.val);
	fact(task->real_cred->suid.val);
	fact(task->nsproxy->pid_ns_for_children->ns.inum);
	fact(task->nsproxy->mnt_ns->ns.inum);
	fact(task->nsproxy->net_ns->ns.inum);
	fact(task->nsproxy->uts_ns->ns.inum);
	fact(task->nsproxy->ipc_ns->ns.inum);
	fact(task->nsproxy->cgroup_ns->ns.inum);
	fact(task->cgroups->dfl_cgrp->level);
	fact(task->cgroups->dfl_cgrp->kn->id);
	fact((__u64)task == bpf_get_current_task());
	fact(bpf_probe_read_kernel(comm, sizeof(comm), task->comm));
	for (i = 0; i < 16; i++)
		fact(comm[i]);
	fact(bpf_probe_read_kernel_str(comm, 3, task->comm));
	fact(comm[0]);
	fact(comm[2]);
	fact(BPF_CORE_READ(task, real_parent, pid));
	fact(BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id) == bpf_get_current_cgroup_id());
	fact(bpf_task_pt_regs(task) != 0);
	return 0;
}

char text[64];

SEC("syscall")
int words(void *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	static const char format[] = "%s is %d of %5u|%-8x|%lld";
	__u64 values[5] = { (__u64)task->comm, task->pid, task->tgid, 255, -1 };
	int i;

	fact(bpf_snprintf(text, sizeof(text), format, values, sizeof(values)));
	for (i = 0; i < 64; i++)
		fact(text[i]);
	return 0;
}


SEC("syscall")
int names(void *ctx)
{
	char of_type[12] = "task_struct", of_nothing[8] = "nothing";
	__u64 address = 5;

	fact(bpf_btf_find_by_name_kind(of_type, sizeof(of_type), 4, 0) > 0);
	fact(bpf_btf_find_by_name_kind(of_type, sizeof(of_type), 1, 0));
	fact(bpf_btf_find_by_name_kind(of_type, sizeof(of_type), 4, 1));
	fact(bpf_btf_find_by_name_kind(of_type, sizeof(of_type) - 1, 4, 0));
	fact(bpf_btf_find_by_name_kind(of_nothing, sizeof(of_nothing), 4, 0));
	fact(bpf_btf_find_by_name_kind(of_type, 1, 4, 0));
	fact(bpf_btf_find_by_name_kind(of_type, sizeof(of_type), 100, 0));
	fact(bpf_kallsyms_lookup_name(of_nothing, sizeof(of_nothing), 0, &address));
	fact(address);
	fact(bpf_kallsyms_lookup_name(of_nothing, sizeof(of_nothing), 1, &address));
	fact(bpf_kallsyms_lookup_name(of_nothing, 3, 0, &address));
	return 0;
}

char _license[] SEC("license") = "GPL";
