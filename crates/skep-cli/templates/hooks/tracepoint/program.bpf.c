// {{name}}, the kernel side: each open of a file, and what came of it.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <skep.h>

// What user space gets: `Open` of src/types.rs.
struct event {
	__u32 pid;
	__s32 ret;
	char comm[16];
	char path[256];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
	__type(value, struct event);
} events SEC(".maps");

// From entry to return: the file name's address, by thread.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, __u32);
	__type(value, __u64);
} opening SEC(".maps") SKEP_HIDDEN;

SEC("tracepoint/syscalls/sys_enter_openat")
int enter(struct trace_event_raw_sys_enter *ctx)
{
	__u32 thread = bpf_get_current_pid_tgid();
	__u64 path = ctx->args[1];

	if (bpf_map_update_elem(&opening, &thread, &path, BPF_ANY))
		SKEP_LOST();
	return 0;
}

SEC("tracepoint/syscalls/sys_exit_openat")
int leave(struct trace_event_raw_sys_exit *ctx)
{
	__u64 id = bpf_get_current_pid_tgid();
	__u32 thread = id;
	__u64 *path = bpf_map_lookup_elem(&opening, &thread);
	struct event *event;

	if (!path)
		return 0;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (event) {
		event->pid = id >> 32;
		event->ret = ctx->ret;
		bpf_get_current_comm(event->comm, sizeof(event->comm));
		if (bpf_probe_read_user_str(event->path, sizeof(event->path), (void *)*path) < 0)
			event->path[0] = 0;
		bpf_ringbuf_submit(event, 0);
	} else {
		SKEP_LOST();
	}
	bpf_map_delete_elem(&opening, &thread);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
