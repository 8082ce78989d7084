/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* C's own headers are there as well: <stdint.h>, <stdbool.h>, <stddef.h>. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

volatile uint64_t total;
bool on = true;

SEC("tc")
int count(struct __sk_buff *skb)
{
	if (on)
		total += (uint32_t)skb->len;
	return TC_ACT_UNSPEC;
}

char LICENSE[] SEC("license") = "GPL";
