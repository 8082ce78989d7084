// SPDX-License-Identifier: MIT OR Apache-2.0
// What a recording meets beside the examples: functions and callbacks that look at the world,
// chance, pointers into the kernel, and text. ANOTHER_ORDER asks the same otherwise,
// ANOTHER_QUESTION asks for more.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <skep.h>

const volatile pid_t target_pid = 0;
__u64 calls;

struct event {
	skep_time_t time;
	pid_t pid;
	pid_t tid;
	__u32 random;
	__u64 sum;
	__u64 call;
	char comm[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 * 1024);
	__type(value, struct event);
} events SEC(".maps");

static __noinline int thread_of(struct task_struct *task)
{
	return BPF_CORE_READ(task, pid);
}

static long add(__u32 index, __u64 *sum)
{
	*sum += (bpf_get_prandom_u32() & 0xff) + index;
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_getppid")
int on_getppid(void *ctx)
{
	struct event event = {};
	struct task_struct *task = (void *)bpf_get_current_task();

	if (target_pid && bpf_get_current_pid_tgid() >> 32 != target_pid)
		return 0;
#ifdef ANOTHER_ORDER
	bpf_get_current_comm(event.comm, sizeof(event.comm));
	event.tid = thread_of(task);
	event.time = bpf_ktime_get_ns();
	event.pid = BPF_CORE_READ(task, tgid);
#else
	event.time = bpf_ktime_get_ns();
	event.pid = BPF_CORE_READ(task, tgid);
	event.tid = thread_of(task);
	bpf_get_current_comm(event.comm, sizeof(event.comm));
#endif
#ifdef ANOTHER_QUESTION
	event.pid = bpf_get_current_uid_gid();
#endif
	bpf_loop(4, add, &event.sum, 0);
	event.random = bpf_get_prandom_u32();
	event.call = __sync_fetch_and_add(&calls, 1);
	if (bpf_ringbuf_output(&events, &event, sizeof(event), 0))
		SKEP_LOST();
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
