// SPDX-License-Identifier: MIT OR Apache-2.0
// What a program that is bound to a device asks its driver about a packet.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

extern int bpf_xdp_metadata_rx_hash(const struct xdp_md *ctx, u32 *hash,
	enum xdp_rss_hash_type *rss_type) __ksym;
extern int bpf_xdp_metadata_rx_timestamp(const struct xdp_md *ctx, u64 *timestamp) __ksym;
extern int bpf_xdp_metadata_rx_vlan_tag(const struct xdp_md *ctx, __be16 *vlan_proto,
	u16 *vlan_tci) __ksym;

/* Hash, time, tag; and that the program has run. */
int answers[4];

SEC("xdp")
int asks(struct xdp_md *ctx)
{
	enum xdp_rss_hash_type kind = 0;
	u16 protocol = 0, tag = 0;
	u64 time = 0;
	u32 hash = 0;

	answers[0] = bpf_xdp_metadata_rx_hash(ctx, &hash, &kind);
	answers[1] = bpf_xdp_metadata_rx_timestamp(ctx, &time);
	answers[2] = bpf_xdp_metadata_rx_vlan_tag(ctx, &protocol, &tag);
	answers[3] = 1;
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
