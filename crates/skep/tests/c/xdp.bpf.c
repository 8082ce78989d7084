// SPDX-License-Identifier: MIT OR Apache-2.0
// XDP in a row, and from device to device, for UDP to the port 4242.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

// The letters of those who saw a packet, the last in the lowest byte.
__u64 written;
__u64 in_devmap, in_cpumap, arrived;
// What `a` answers.
volatile __u32 answer = XDP_PASS;

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bpf_devmap_val);
} devices SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_CPUMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bpf_cpumap_val);
} processors SEC(".maps");

static __always_inline int is_ours(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *ethernet = data;
	struct iphdr *ip = (void *)(ethernet + 1);
	struct udphdr *udp = (void *)(ip + 1);

	return (void *)(udp + 1) <= end && ethernet->h_proto == bpf_htons(ETH_P_IP) &&
	       ip->protocol == IPPROTO_UDP && udp->dest == bpf_htons(4242);
}

#define WRITES(name, section, letter, verdict)                  \
	SEC("?" section) int name(struct xdp_md *ctx)           \
	{                                                       \
		if (!is_ours(ctx))                              \
			return XDP_PASS;                        \
		written = written << 8 | letter;                \
		return verdict;                                 \
	}

WRITES(a, "xdp", 'a', answer)
WRITES(b, "xdp", 'b', XDP_PASS)
WRITES(c, "xdp", 'c', XDP_PASS)

// How they run beside others, as libxdp's `xdp_helpers.h` has it said.
#define XDP_RUN_CONFIG(name) _##name SEC(".xdp_run_config")

struct {
	__uint(priority, 10);
	__uint(XDP_DROP, 1);
	__uint(XDP_PASS, 0);
} XDP_RUN_CONFIG(early);

struct {
	__uint(prority, 10);
} XDP_RUN_CONFIG(mistaken);

WRITES(early, "xdp", 'e', answer)
WRITES(mistaken, "xdp", 'm', XDP_PASS)
WRITES(a_frags, "xdp.frags", 'a', XDP_PASS)
WRITES(b_frags, "xdp.frags", 'b', XDP_PASS)

// A map takes programs of the kind of those that use it: with several buffers, or without.
#define REDIRECTS(name, section, map)                                                  \
	SEC("?" section) int name(struct xdp_md *ctx)                                  \
	{                                                                              \
		return is_ours(ctx) ? bpf_redirect_map(&map, 0, XDP_DROP) : XDP_PASS;  \
	}

REDIRECTS(to_device, "xdp", devices)
REDIRECTS(to_device_frags, "xdp.frags", devices)
REDIRECTS(to_processor, "xdp", processors)
REDIRECTS(to_processor_frags, "xdp.frags", processors)

SEC("?xdp")
int arrives(struct xdp_md *ctx)
{
	if (is_ours(ctx))
		__sync_fetch_and_add(&arrived, 1);
	return XDP_PASS;
}

#define COUNTS(name, section, counter)                          \
	SEC("?" section) int name(struct xdp_md *ctx)           \
	{                                                       \
		if (is_ours(ctx))                               \
			__sync_fetch_and_add(&counter, 1);      \
		return XDP_PASS;                                \
	}

COUNTS(leaves, "xdp/devmap", in_devmap)
COUNTS(leaves_frags, "xdp.frags/devmap", in_devmap)
COUNTS(elsewhere, "xdp/cpumap", in_cpumap)
COUNTS(elsewhere_frags, "xdp.frags/cpumap", in_cpumap)

char LICENSE[] SEC("license") = "GPL";
