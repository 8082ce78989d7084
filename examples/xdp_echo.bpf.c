// SPDX-License-Identifier: MIT OR Apache-2.0
// xdp_echo: answers ARP and ping for every address of a network, before any stack sees them.
//
// Teaches: changing a packet where it lies and sending it back (XDP_TX), and a checksum that is
// mended by what changed, not computed anew.
//
//   skep run examples/xdp_echo.bpf.c --tap -- ping -c 3 10.7.0.9
#include <linux/bpf.h>
#include <linux/icmp.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include <skep.h>

// The address that whoever asks is told: of a device that there is nowhere.
static const unsigned char here[ETH_ALEN] = {0x02, 0, 0, 0, 0, 0x09};

struct arp {
	struct arphdr head;
	unsigned char from[ETH_ALEN];
	__be32 from_address;
	unsigned char to[ETH_ALEN];
	__be32 to_address;
} __attribute__((packed));

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __be32);
	__type(value, __u64);
} answered SEC(".maps") SKEP_TITLE("answered for");

static __always_inline void count(__be32 address)
{
	__u64 *answers = bpf_map_lookup_elem(&answered, &address), one = 1;

	if (answers)
		__sync_fetch_and_add(answers, 1);
	else if (bpf_map_update_elem(&answered, &address, &one, BPF_NOEXIST))
		SKEP_LOST();
}

// Back to where it came from.
static __always_inline int answer(struct ethhdr *eth)
{
	__builtin_memcpy(eth->h_dest, eth->h_source, ETH_ALEN);
	__builtin_memcpy(eth->h_source, here, ETH_ALEN);
	return XDP_TX;
}

static __always_inline int answer_arp(struct ethhdr *eth, void *end)
{
	struct arp *arp = (void *)(eth + 1);
	__be32 asked;

	if ((void *)(arp + 1) > end || arp->head.ar_op != bpf_htons(ARPOP_REQUEST) ||
	    arp->head.ar_pro != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	asked = arp->to_address;
	arp->head.ar_op = bpf_htons(ARPOP_REPLY);
	__builtin_memcpy(arp->to, arp->from, ETH_ALEN);
	arp->to_address = arp->from_address;
	__builtin_memcpy(arp->from, here, ETH_ALEN);
	arp->from_address = asked;
	return answer(eth);
}

static __always_inline int answer_ping(struct ethhdr *eth, void *end)
{
	struct iphdr *ip = (void *)(eth + 1);
	struct icmphdr *icmp;
	__be32 asked;
	__u32 sum;

	if ((void *)(ip + 1) > end || ip->ihl != 5 || ip->protocol != IPPROTO_ICMP)
		return XDP_PASS;
	icmp = (void *)(ip + 1);
	if ((void *)(icmp + 1) > end || icmp->type != ICMP_ECHO)
		return XDP_PASS;
	asked = ip->daddr;                   // the sum of both addresses stays what it is
	ip->daddr = ip->saddr;
	ip->saddr = asked;
	icmp->type = ICMP_ECHOREPLY;         // 8 becomes 0: the checksum grows by as much
	sum = icmp->checksum + bpf_htons(ICMP_ECHO << 8);
	icmp->checksum = sum + (sum >> 16);
	count(asked);
	return answer(eth);
}

SEC("xdp")
int echo(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;

	if ((void *)(eth + 1) > end)
		return XDP_PASS;
	if (eth->h_proto == bpf_htons(ETH_P_ARP))
		return answer_arp(eth, end);
	if (eth->h_proto == bpf_htons(ETH_P_IP))
		return answer_ping(eth, end);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
