// SPDX-License-Identifier: MIT OR Apache-2.0
// The lives of tasks, and system calls in all forms that programs can have them in.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

enum kind { EXEC = 1, FORK, EXIT, EXEC_BTF, FORK_BTF, EXIT_BTF };

struct life {
	__u32 kind, pid, tid, other;
	__u32 uid, flag;
	char comm[16];
	char text[64];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 16 * 1024 * 1024);
} events SEC(".maps");

__u64 lost, forks, exits, execs;
/* getppid with a mark as its first argument, as each form of program sees it */
__u64 tp_enter, tp_exit, raw_enter, raw_exit, btf_enter, btf_exit, probe, probe_return, all_enter;
__u64 last_ret, last_raw_ret, last_probe_ret, task_regs;

#define MARK 0x1234567
#define GETPPID 110

static __always_inline struct life *begin(__u32 kind)
{
	struct life *life = bpf_ringbuf_reserve(&events, sizeof(*life), 0);
	__u64 id = bpf_get_current_pid_tgid();

	if (!life) {
		__sync_fetch_and_add(&lost, 1);
		return 0;
	}
	__builtin_memset(life, 0, sizeof(*life));
	life->kind = kind;
	life->pid = id >> 32;
	life->tid = id;
	life->uid = bpf_get_current_uid_gid();
	bpf_get_current_comm(life->comm, sizeof(life->comm));
	return life;
}

SEC("tracepoint/sched/sched_process_exec")
int on_exec(struct trace_event_raw_sched_process_exec *ctx)
{
	struct life *life = begin(EXEC);

	if (!life)
		return 0;
	__sync_fetch_and_add(&execs, 1);
	life->other = ctx->old_pid;
	bpf_probe_read_kernel_str(life->text, sizeof(life->text),
				  (void *)ctx + (ctx->__data_loc_filename & 0xffff));
	bpf_ringbuf_submit(life, 0);
	return 0;
}

SEC("tracepoint/sched/sched_process_fork")
int on_fork(struct trace_event_raw_sched_process_fork *ctx)
{
	struct life *life = begin(FORK);

	__sync_fetch_and_add(&forks, 1);
	if (!life)
		return 0;
	life->other = ctx->child_pid;
	life->flag = ctx->parent_pid;
	bpf_ringbuf_submit(life, 0);
	return 0;
}

SEC("tracepoint/sched/sched_process_exit")
int on_exit(struct trace_event_raw_sched_process_exit *ctx)
{
	struct life *life = begin(EXIT);

	__sync_fetch_and_add(&exits, 1);
	if (!life)
		return 0;
	life->other = ctx->pid;
	life->flag = ctx->group_dead;
	bpf_ringbuf_submit(life, 0);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec_btf, struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)
{
	struct life *life = begin(EXEC_BTF);

	if (!life)
		return 0;
	life->other = old_pid;
	life->flag = p->tgid;
	bpf_probe_read_kernel_str(life->text, sizeof(life->text), bprm->filename);
	bpf_ringbuf_submit(life, 0);
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork_btf, struct task_struct *parent, struct task_struct *child)
{
	struct life *life = begin(FORK_BTF);

	if (!life)
		return 0;
	life->other = child->pid;
	life->flag = child->real_parent->tgid;
	bpf_ringbuf_submit(life, 0);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit_btf, struct task_struct *p, bool group_dead)
{
	struct life *life = begin(EXIT_BTF);

	if (!life)
		return 0;
	life->other = p->pid;
	life->flag = group_dead;
	bpf_ringbuf_submit(life, 0);
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_getppid")
int on_tp_enter(struct trace_event_raw_sys_enter *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task_btf();
	struct pt_regs *regs = (void *)bpf_task_pt_regs(task);

	if (ctx->args[0] == MARK && ctx->id == GETPPID)
		__sync_fetch_and_add(&tp_enter, 1);
	if (BPF_CORE_READ(regs, di) == MARK)
		__sync_fetch_and_add(&task_regs, 1);
	return 0;
}

SEC("tracepoint/syscalls/sys_exit_getppid")
int on_tp_exit(struct trace_event_raw_sys_exit *ctx)
{
	last_ret = ctx->ret;
	__sync_fetch_and_add(&tp_exit, 1);
	return 0;
}

SEC("ksyscall/getppid")
int BPF_KSYSCALL(on_probe, long mark)
{
	if (mark == MARK)
		__sync_fetch_and_add(&probe, 1);
	return 0;
}

SEC("kretsyscall/getppid")
int BPF_KRETPROBE(on_probe_return, long ret)
{
	last_probe_ret = ret;
	__sync_fetch_and_add(&probe_return, 1);
	return 0;
}

SEC("raw_tp/sys_enter")
int on_raw_enter(struct bpf_raw_tracepoint_args *ctx)
{
	struct pt_regs *regs = (void *)ctx->args[0];

	if (ctx->args[1] == GETPPID && BPF_CORE_READ(regs, di) == MARK)
		__sync_fetch_and_add(&raw_enter, 1);
	return 0;
}

SEC("raw_tp/sys_exit")
int on_raw_exit(struct bpf_raw_tracepoint_args *ctx)
{
	struct pt_regs *regs = (void *)ctx->args[0];

	if (BPF_CORE_READ(regs, orig_ax) == GETPPID && BPF_CORE_READ(regs, di) == MARK) {
		last_raw_ret = ctx->args[1];
		__sync_fetch_and_add(&raw_exit, 1);
	}
	return 0;
}

SEC("tp_btf/sys_enter")
int BPF_PROG(on_btf_enter, struct pt_regs *regs, long id)
{
	if (id == GETPPID && regs->di == MARK)
		__sync_fetch_and_add(&btf_enter, 1);
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_btf_exit, struct pt_regs *regs, long ret)
{
	if (regs->orig_ax == GETPPID && regs->di == MARK)
		__sync_fetch_and_add(&btf_exit, 1);
	return 0;
}

SEC("tracepoint/raw_syscalls/sys_enter")
int on_all_enter(struct trace_event_raw_sys_enter *ctx)
{
	if (ctx->id == GETPPID && ctx->args[0] == MARK)
		__sync_fetch_and_add(&all_enter, 1);
	return 0;
}

char _license[] SEC("license") = "GPL";
