// SPDX-License-Identifier: MIT OR Apache-2.0
// Packets at four hooks; UDP to the port 4242 is dropped where `drop` says so.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

__u64 at_xdp, at_ingress, at_egress, at_action, at_cgroup, at_socket;
volatile __u32 drop;

SEC("xdp")
int device(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *ethernet = data;
	struct iphdr *ip = (void *)(ethernet + 1);
	struct udphdr *udp = (void *)(ip + 1);

	if ((void *)(udp + 1) > end || ethernet->h_proto != bpf_htons(ETH_P_IP) ||
	    ip->protocol != IPPROTO_UDP || udp->dest != bpf_htons(4242))
		return XDP_PASS;
	__sync_fetch_and_add(&at_xdp, 1);
	return drop ? XDP_DROP : XDP_PASS;
}

SEC("?xdp")
int device_passes(struct xdp_md *ctx)
{
	return XDP_PASS;
}

static __always_inline int is_ours(struct __sk_buff *skb, int ip_at)
{
	__be16 port = 0;
	__u8 protocol = 0;

	bpf_skb_load_bytes(skb, ip_at + offsetof(struct iphdr, protocol), &protocol, 1);
	bpf_skb_load_bytes(skb, ip_at + sizeof(struct iphdr) + 2, &port, sizeof(port));
	return protocol == IPPROTO_UDP && port == bpf_htons(4242);
}

SEC("tcx/ingress")
int coming(struct __sk_buff *skb)
{
	if (is_ours(skb, ETH_HLEN))
		__sync_fetch_and_add(&at_ingress, 1);
	return TC_ACT_UNSPEC;    // TCX_NEXT
}

SEC("tcx/egress")
int going(struct __sk_buff *skb)
{
	if (is_ours(skb, ETH_HLEN))
		__sync_fetch_and_add(&at_egress, 1);
	return TC_ACT_UNSPEC;    // TCX_NEXT
}

// Packets go on from an action as from a filter.
SEC("?action")
int acting(struct __sk_buff *skb)
{
	if (!is_ours(skb, ETH_HLEN))
		return TC_ACT_PIPE;
	__sync_fetch_and_add(&at_action, 1);
	return drop ? TC_ACT_SHOT : TC_ACT_PIPE;
}

SEC("cgroup_skb/egress")
int sending(struct __sk_buff *skb)
{
	if (!is_ours(skb, 0))
		return 1;
	__sync_fetch_and_add(&at_cgroup, 1);
	return !drop;
}

SEC("socket")
int received(struct __sk_buff *skb)
{
	__sync_fetch_and_add(&at_socket, 1);
	return drop ? 0 : -1;
}

char LICENSE[] SEC("license") = "GPL";
