// SPDX-License-Identifier: MIT OR Apache-2.0
// Programs that run in a row on one hook: each writes its letter behind those of the others, for
// UDP to the port 4242.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

// The letters, the last in the lowest byte.
__u64 written;

static __always_inline void writes(struct __sk_buff *skb, int ip_at, char letter)
{
	__be16 port = 0;
	__u8 protocol = 0;

	bpf_skb_load_bytes(skb, ip_at + offsetof(struct iphdr, protocol), &protocol, 1);
	bpf_skb_load_bytes(skb, ip_at + sizeof(struct iphdr) + 2, &port, sizeof(port));
	if (protocol == IPPROTO_UDP && port == bpf_htons(4242))
		written = written << 8 | letter;
}

#define WRITES(name, section, at, letter, answer)                                         \
	SEC("?" section) int name(struct __sk_buff *skb)                                  \
	{                                                                                 \
		writes(skb, at, letter);                                                  \
		return answer;                                                            \
	}

WRITES(tcx_a, "tcx/egress", ETH_HLEN, 'a', TC_ACT_UNSPEC)
WRITES(tcx_b, "tcx/egress", ETH_HLEN, 'b', TC_ACT_UNSPEC)
WRITES(tcx_c, "tcx/egress", ETH_HLEN, 'c', TC_ACT_UNSPEC)
// Filters, or tcx.
WRITES(tc_a, "tc/egress", ETH_HLEN, 'a', TC_ACT_UNSPEC)
WRITES(tc_b, "tc/egress", ETH_HLEN, 'b', TC_ACT_UNSPEC)
WRITES(tc_c, "tc/ingress", ETH_HLEN, 'c', TC_ACT_UNSPEC)
// Whether there is an Ethernet header depends on the pair's mode.
#define WRITES_IP(name, section, letter)                                                  \
	SEC("?" section) int name(struct __sk_buff *skb)                                  \
	{                                                                                 \
		__be16 port = 0;                                                          \
		bpf_skb_load_bytes_relative(skb, sizeof(struct iphdr) + 2, &port, 2,      \
					    BPF_HDR_START_NET);                           \
		if (port == bpf_htons(4242))                                              \
			written = written << 8 | letter;                                  \
		return TC_ACT_UNSPEC;                                                     \
	}

WRITES_IP(netkit_primary_a, "netkit/primary", 'a')
WRITES_IP(netkit_primary_b, "netkit/primary", 'b')
WRITES_IP(netkit_peer_a, "netkit/peer", 'a')
WRITES_IP(netkit_peer_b, "netkit/peer", 'b')
WRITES(cgroup_a, "cgroup_skb/egress", 0, 'a', 1)
WRITES(cgroup_b, "cgroup_skb/egress", 0, 'b', 1)
WRITES(cgroup_c, "cgroup_skb/egress", 0, 'c', 1)

char LICENSE[] SEC("license") = "GPL";
