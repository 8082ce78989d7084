// SPDX-License-Identifier: MIT OR Apache-2.0
// Programs whose places are said by flags: each counts UDP packets to the port 4242 under a number
// of its own.
#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, __u64);
} packets SEC(".maps");

static __always_inline void count(__u32 who)
{
	__u64 one = 1, *there = bpf_map_lookup_elem(&packets, &who);

	if (there)
		__sync_fetch_and_add(there, 1);
	else
		bpf_map_update_elem(&packets, &who, &one, BPF_ANY);
}

static __always_inline int device(struct xdp_md *ctx, __u32 who)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *ethernet = data;
	struct iphdr *ip = (void *)(ethernet + 1);
	struct udphdr *udp = (void *)(ip + 1);

	if ((void *)(udp + 1) <= end && ip->protocol == IPPROTO_UDP &&
	    udp->dest == bpf_htons(4242))
		count(who);
	return XDP_PASS;
}

SEC("xdp")
int first(struct xdp_md *ctx)
{
	return device(ctx, 71);
}

SEC("xdp")
int second(struct xdp_md *ctx)
{
	return device(ctx, 72);
}

SEC("netfilter")
int filter(void *ctx)
{
	count(73);
	return 1; // NF_ACCEPT
}

SEC("lwt_out")
int routed(struct __sk_buff *skb)
{
	count(74);
	return 0; // BPF_OK
}

SEC("tc/ingress")
int coming(struct __sk_buff *skb)
{
	__be16 port = 0;

	bpf_skb_load_bytes(skb, sizeof(struct ethhdr) + sizeof(struct iphdr) + 2, &port, 2);
	if (port == bpf_htons(4242))
		count(75);
	return -1; // TC_ACT_UNSPEC
}

char LICENSE[] SEC("license") = "GPL";
