// A key with padding that nobody wrote.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

struct file_key {
	__u32 pid;
	__u64 inode;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, struct file_key);
	__type(value, __u64);
} seen SEC(".maps");

SEC("socket")
int note(struct __sk_buff *skb)
{
	struct file_key key;
	__u64 one = 1;

	key.pid = skb->mark;
	key.inode = 3;
	bpf_map_update_elem(&seen, &key, &one, BPF_ANY);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
