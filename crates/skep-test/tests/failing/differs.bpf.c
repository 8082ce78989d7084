// SPDX-License-Identifier: MIT OR Apache-2.0
// What tests of differs.test.toml find otherwise than they expect.
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

struct event {
	__u32 pid;
	int ret;
	char comm[16];
	__be32 from;
	__be16 port;
	_Bool ok;
	unsigned char mac[6];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
	__type(value, struct event);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

__u64 calls;

SEC("xdp")
int filter(struct xdp_md *ctx)
{
	struct event event = {
		.pid = 7, .ret = -2, .comm = "cat", .from = __builtin_bswap32(0x0a000007),
		.port = __builtin_bswap16(443), .ok = 1, .mac = { 2, 0, 0, 0, 0, 1 },
	};
	__u32 key = 1;
	__u64 value = 10;

	calls++;
	bpf_map_update_elem(&counts, &key, &value, BPF_ANY);
	key = 2;
	bpf_map_update_elem(&counts, &key, &value, BPF_ANY);
	bpf_ringbuf_output(&events, &event, sizeof(event), 0);
	bpf_printk("one %d", 1);
	return XDP_PASS;
}

SEC("raw_tp/wild")
int wild(__u64 *ctx)
{
	bpf_printk("before");
	return *(volatile int *)ctx[0];
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
