/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* bpf_endian.h, in both byte orders. */
#include "types.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
_Static_assert(bpf_htons(0x0102) == 0x0201 && bpf_ntohs(0x0102) == 0x0201, "16");
_Static_assert(bpf_htonl(0x01020304) == 0x04030201, "32");
_Static_assert(bpf_cpu_to_be64(1) == 1ULL << 56, "64");
#else
_Static_assert(bpf_htons(0x0102) == 0x0102 && bpf_ntohs(0x0102) == 0x0102, "16");
_Static_assert(bpf_htonl(0x01020304) == 0x01020304, "32");
_Static_assert(bpf_cpu_to_be64(1) == 1, "64");
#endif
_Static_assert(bpf_ntohl(bpf_htonl(7)) == 7 && bpf_be64_to_cpu(bpf_cpu_to_be64(7)) == 7, "back");

SEC("socket")
int use(struct __sk_buff *skb)
{
	switch (skb->protocol) {
	case bpf_htons(0x0800):
		return bpf_ntohs(skb->vlan_proto);
	case __bpf_constant_htons(0x86dd):
		return bpf_ntohl(skb->remote_ip4) + bpf_htonl(skb->local_ip4);
	}
	return bpf_be64_to_cpu(bpf_cpu_to_be64(skb->tstamp)) + __bpf_ntohs(skb->queue_mapping);
}
