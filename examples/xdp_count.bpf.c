// SPDX-License-Identifier: MIT OR Apache-2.0
// xdp_count: packets and bytes by protocol, as a network device receives them.
//
// Teaches: parsing a packet with the bounds that the verifier asks for, and per-CPU values,
// which skep adds up.
//
//   skep run examples/xdp_count.bpf.c --device lo -- ping -c 3 127.0.0.1
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include <skep.h>

enum protocol {
	other = 0,
	icmp = 1,
	tcp = 6,
	udp = 17,
	icmp6 = 58,
};

struct traffic {
	__u64 packets;
	skep_bytes_t bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 256);
	__type(key, enum protocol);
	__type(value, struct traffic);
} received SEC(".maps") SKEP_TITLE("received by protocol");

static __always_inline enum protocol protocol_of(void *data, void *end)
{
	struct ethhdr *ethernet = data;

	if ((void *)(ethernet + 1) > end)
		return other;
	if (ethernet->h_proto == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = (void *)(ethernet + 1);

		if ((void *)(ip + 1) <= end)
			return ip->protocol;
	} else if (ethernet->h_proto == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip6 = (void *)(ethernet + 1);

		if ((void *)(ip6 + 1) <= end)
			return ip6->nexthdr;
	}
	return other;
}

SEC("xdp")
int count(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	enum protocol protocol = protocol_of(data, end);
	struct traffic *traffic = bpf_map_lookup_elem(&received, &protocol);
	struct traffic first = { .packets = 1, .bytes = end - data };

	if (traffic) {
		traffic->packets++;
		traffic->bytes += end - data;
	} else if (bpf_map_update_elem(&received, &protocol, &first, BPF_NOEXIST)) {
		SKEP_LOST();
	}
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
