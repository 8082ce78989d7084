// SPDX-License-Identifier: MIT OR Apache-2.0
// tasks: every thread there is, from the kernel's own list.
//
// Teaches: an iterator, which runs once for each thing of a kind and writes text.
//
//   skep run examples/tasks.bpf.c
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

SEC("iter/task")
int list(struct bpf_iter__task *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	struct task_struct *task = ctx->task;

	if (!task)
		return 0;                    // the call after the last one
	if (ctx->meta->seq_num == 0)
		BPF_SEQ_PRINTF(seq, "%8s %8s %8s  %s\n", "TGID", "TID", "PPID", "COMM");
	BPF_SEQ_PRINTF(seq, "%8d %8d %8d  %s\n", task->tgid, task->pid,
		       task->real_parent->tgid, task->comm);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
