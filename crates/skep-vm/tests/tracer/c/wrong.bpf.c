// SPDX-License-Identifier: MIT OR Apache-2.0
// Programs that do what hurts: themselves, and what they are run for.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct enter { __u64 common; long nr; unsigned long args[6]; };

__u64 runs = 0;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

__u64 lost = 0;

/* Reads where nothing is. */
SEC("tracepoint/syscalls/sys_enter_getppid")
int wild(struct enter *ctx)
{
	__u64 *nowhere = (__u64 *)(ctx->args[0] + 0x100000000000);

	__sync_fetch_and_add(&runs, 1);
	return *nowhere;
}

/* Never ends. */
SEC("tracepoint/syscalls/sys_enter_getppid")
int endless(struct enter *ctx)
{
	volatile __u64 rounds = 1;

	__sync_fetch_and_add(&runs, 1);
	while (rounds)
		rounds += 2;
	return 0;
}

/* Fills a ring that nobody reads. */
SEC("tracepoint/syscalls/sys_enter_getppid")
int fills(struct enter *ctx)
{
	char *record = bpf_ringbuf_reserve(&events, 256, 0);

	__sync_fetch_and_add(&runs, 1);
	if (!record) {
		__sync_fetch_and_add(&lost, 1);
		return 0;
	}
	bpf_ringbuf_submit(record, 0);
	return 0;
}

/* Changes the task's memory, and signals it. */
SEC("tracepoint/syscalls/sys_enter_getpgid")
int changes(struct enter *ctx)
{
	long answer = 42;

	if (ctx->args[1] != 0x1234567)
		return 0;
	bpf_probe_write_user((void *)ctx->args[2], &answer, sizeof(answer));
	bpf_send_signal(10);
	__sync_fetch_and_add(&runs, 1);
	return 0;
}

/* Values as the kernel has them (`enum pid_type`). */
enum whom { THREAD, PROCESS };

struct task_struct;
extern int bpf_send_signal_task(struct task_struct *task, int sig, enum whom type,
	__u64 value) __ksym;

/* Sends a signal with a value. */
SEC("tracepoint/syscalls/sys_enter_getpgid")
int queues(struct enter *ctx)
{
	if (ctx->args[1] != 0x1234567)
		return 0;
	bpf_send_signal_task(bpf_get_current_task_btf(), 12, ctx->args[3] ? PROCESS : THREAD,
		ctx->args[2]);
	__sync_fetch_and_add(&runs, 1);
	return 0;
}

char _license[] SEC("license") = "GPL";
