// A function gets what a lookup gave, and uses it as if it were there.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

struct traffic {
	__u64 bytes;
	__u64 packets;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, struct traffic);
} stats SEC(".maps");

static __noinline void count(struct traffic *stat, __u64 bytes)
{
	stat->packets++;
	stat->bytes += bytes;
}

SEC("tc")
int account(struct __sk_buff *skb)
{
	__u32 key = skb->protocol & 0xff;
	struct traffic *stat = bpf_map_lookup_elem(&stats, &key);

	count(stat, skb->len);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
