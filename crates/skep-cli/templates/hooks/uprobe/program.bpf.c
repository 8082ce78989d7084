// {{name}}, the kernel side: each environment variable that a process asks for.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <skep.h>

// What user space gets: `Lookup` of src/types.rs.
struct event {
	__u32 pid;
	char comm[16];
	char variable[64];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
	__type(value, struct event);
} events SEC(".maps");

SEC("uprobe/libc.so.6:getenv")
int BPF_UPROBE(lookup, const char *variable)
{
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event) {
		SKEP_LOST();
		return 0;
	}
	event->pid = bpf_get_current_pid_tgid() >> 32;
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	if (bpf_probe_read_user_str(event->variable, sizeof(event->variable), variable) < 0)
		event->variable[0] = 0;
	bpf_ringbuf_submit(event, 0);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
