// SPDX-License-Identifier: MIT OR Apache-2.0
// opensnoop: which process opens which file, and what came of it.
//
// Teaches: two tracepoints that belong together, a hash map that carries state from the one to
// the other, globals that the command line sets, and a ring buffer of typed events.
//
//   skep run examples/opensnoop.bpf.c
//   skep run examples/opensnoop.bpf.c -- ls /etc
//   skep run examples/opensnoop.bpf.c -p 812 --format json | jq -r .path
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <skep.h>

const volatile pid_t target_pid = 0;        // -p: only this process
const volatile uid_t target_uid = -1;       // -u: only this user
const volatile bool failed_only = false;    // --set failed_only=true

struct event {
	skep_time_t time;
	pid_t pid;
	char comm[16];
	int ret;
	char path[256];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
	__type(value, struct event);        // what a record is: skep prints it by this type
} events SEC(".maps");

// From entry to return: the file name's address, by thread.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, pid_t);
	__type(value, const char *);
} opening SEC(".maps") SKEP_HIDDEN;

static __always_inline int enter(const char *path)
{
	__u64 id = bpf_get_current_pid_tgid();
	pid_t pid = id >> 32, tid = id;

	if (target_pid && pid != target_pid)
		return 0;
	if (target_uid != (uid_t)-1 && (uid_t)bpf_get_current_uid_gid() != target_uid)
		return 0;
	if (bpf_map_update_elem(&opening, &tid, &path, BPF_ANY))
		SKEP_LOST();
	return 0;
}

static __always_inline int leave(long ret)
{
	__u64 id = bpf_get_current_pid_tgid();
	pid_t tid = id;
	const char **path = bpf_map_lookup_elem(&opening, &tid);
	struct event *event;

	if (!path)
		return 0;
	if (failed_only && ret >= 0)
		goto done;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		SKEP_LOST();
		goto done;
	}
	event->time = bpf_ktime_get_ns();
	event->pid = id >> 32;
	event->ret = ret;
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	// By now the kernel has read the name itself, so it is in memory.
	if (bpf_probe_read_user_str(event->path, sizeof(event->path), *path) < 0)
		event->path[0] = 0;
	bpf_ringbuf_submit(event, 0);
done:
	bpf_map_delete_elem(&opening, &tid);
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_openat")
int enter_openat(struct trace_event_raw_sys_enter *ctx)
{
	return enter((const char *)ctx->args[1]);
}

SEC("tracepoint/syscalls/sys_exit_openat")
int leave_openat(struct trace_event_raw_sys_exit *ctx)
{
	return leave(ctx->ret);
}

SEC("tracepoint/syscalls/sys_enter_openat2")
int enter_openat2(struct trace_event_raw_sys_enter *ctx)
{
	return enter((const char *)ctx->args[1]);
}

SEC("tracepoint/syscalls/sys_exit_openat2")
int leave_openat2(struct trace_event_raw_sys_exit *ctx)
{
	return leave(ctx->ret);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
