// SPDX-License-Identifier: MIT OR Apache-2.0
// execsnoop: which programs are started, by whom, with what arguments.
//
// Teaches: reading kernel structures with CO-RE, so that one object fits every kernel, and
// copying text of a length that is known only at run time.
//
//   skep run examples/execsnoop.bpf.c
//   skep run examples/execsnoop.bpf.c --duration 10s
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <skep.h>

const volatile uid_t target_uid = -1;       // -u: only this user

struct event {
	skep_time_t time;
	pid_t pid;
	pid_t ppid;
	uid_t uid;
	char comm[16];
	char args[160];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
	__type(value, struct event);
} events SEC(".maps");

SEC("tp_btf/sched_process_exec")
int exec(__u64 *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx[0];
	struct event *event;
	unsigned long start, length;
	uid_t uid = bpf_get_current_uid_gid();

	if (target_uid != (uid_t)-1 && uid != target_uid)
		return 0;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		SKEP_LOST();
		return 0;
	}
	event->time = bpf_ktime_get_ns();
	event->pid = BPF_CORE_READ(task, tgid);
	event->ppid = BPF_CORE_READ(task, real_parent, tgid);
	event->uid = uid;
	bpf_get_current_comm(event->comm, sizeof(event->comm));

	// The arguments lie behind each other in the new process' memory, a zero byte after each.
	start = BPF_CORE_READ(task, mm, arg_start);
	length = BPF_CORE_READ(task, mm, arg_end) - start;
	if (length > sizeof(event->args) - 1)
		length = sizeof(event->args) - 1;
	event->args[0] = 0;
	if (!bpf_probe_read_user(event->args, length, (void *)start)) {
		for (int i = 0; i < sizeof(event->args) - 1; i++) {
			if (i + 1 >= length)
				break;
			if (!event->args[i])
				event->args[i] = ' ';
		}
		event->args[length] = 0;
	}
	bpf_ringbuf_submit(event, 0);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
