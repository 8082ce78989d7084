// SPDX-License-Identifier: MIT OR Apache-2.0
// cgroup_egress: what the processes of a cgroup send, by destination.
//
// Teaches: a network hook that belongs to processes and not to a device, and addresses and
// ports in network byte order, which skep prints as such by their types.
//
//   skep run examples/cgroup_egress.bpf.c --cgroup /sys/fs/cgroup --duration 10s
#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include <skep.h>

struct destination {
	__be32 address;
	__be16 port;
	__u16 protocol;
};

struct traffic {
	__u64 packets;
	skep_bytes_t bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct destination);
	__type(value, struct traffic);
} sent SEC(".maps") SKEP_TITLE("sent by destination");

SEC("cgroup_skb/egress")
int meter(struct __sk_buff *skb)
{
	struct destination to = {};
	struct traffic *traffic, first = { .packets = 1, .bytes = skb->len };
	struct iphdr ip;
	__be16 ports[2];

	if (skb->protocol != bpf_htons(0x0800) || bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)))
		return 1;
	to.address = ip.daddr;
	to.protocol = ip.protocol;
	if ((ip.protocol == IPPROTO_TCP || ip.protocol == IPPROTO_UDP) &&
	    !bpf_skb_load_bytes(skb, ip.ihl * 4, ports, sizeof(ports)))
		to.port = ports[1];

	traffic = bpf_map_lookup_elem(&sent, &to);
	if (traffic) {
		__sync_fetch_and_add(&traffic->packets, 1);
		__sync_fetch_and_add(&traffic->bytes, skb->len);
	} else if (bpf_map_update_elem(&sent, &to, &first, BPF_NOEXIST)) {
		SKEP_LOST();
	}
	return 1;                            // let it pass
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
