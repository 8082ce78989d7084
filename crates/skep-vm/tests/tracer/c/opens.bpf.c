// SPDX-License-Identifier: MIT OR Apache-2.0
// What opensnoop does, without the kernel's types: an event for each openat that ends.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct enter { __u64 common; long nr; unsigned long args[6]; };
struct leave { __u64 common; long nr; long ret; };

struct event {
	__u32 pid, tid;
	__u64 uid_gid;
	__s64 ret;
	char comm[16];
	char path[256];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 * 1024 * 1024);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, __u32);
	__type(value, __u64);
} opening SEC(".maps");

__u64 lost = 0;

SEC("tracepoint/syscalls/sys_enter_openat")
int enter(struct enter *ctx)
{
	__u32 tid = bpf_get_current_pid_tgid();
	__u64 path = ctx->args[1];

	bpf_map_update_elem(&opening, &tid, &path, BPF_ANY);
	return 0;
}

SEC("tracepoint/syscalls/sys_exit_openat")
int leave(struct leave *ctx)
{
	__u64 id = bpf_get_current_pid_tgid();
	__u32 tid = id;
	__u64 *path = bpf_map_lookup_elem(&opening, &tid);
	struct event *event;

	if (!path)
		return 0;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		__sync_fetch_and_add(&lost, 1);
		return 0;
	}
	event->pid = id >> 32;
	event->tid = tid;
	event->uid_gid = bpf_get_current_uid_gid();
	event->ret = ctx->ret;
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	if (bpf_probe_read_user_str(event->path, sizeof(event->path), (void *)*path) < 0)
		event->path[0] = 0;
	bpf_ringbuf_submit(event, 0);
	bpf_map_delete_elem(&opening, &tid);
	return 0;
}

char _license[] SEC("license") = "GPL";
