// Two functions whose buffers fit the stack each for itself, and not together.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

struct event {
	__u32 pid;
	char path[256];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

static __attribute__((noinline)) int send(void *path)
{
	struct event event = {};

	event.pid = bpf_get_current_pid_tgid() >> 32;
	bpf_probe_read_kernel_str(event.path, sizeof(event.path), path);
	return bpf_ringbuf_output(&events, &event, sizeof(event), 0);
}

SEC("tc")
int outer(struct __sk_buff *skb)
{
	char path[300] = {};

	bpf_skb_load_bytes(skb, 0, path, sizeof(path));
	return send(path);
}

char LICENSE[] SEC("license") = "GPL";
