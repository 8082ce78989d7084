/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Ingress packets' lengths and TTLs, with direct packet access. */
#include <vmlinux.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define TC_ACT_OK 0
#define ETH_P_IP 0x0800

SEC("tc")
int ingress(struct __sk_buff *ctx)
{
	void *end = (void *)(__u64)ctx->data_end, *data = (void *)(__u64)ctx->data;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);

	if (ctx->protocol != bpf_htons(ETH_P_IP) || (void *)(ip + 1) > end)
		return TC_ACT_OK;
	bpf_printk("%d bytes, ttl %d", bpf_ntohs(ip->tot_len), ip->ttl);
	return TC_ACT_OK;
}

char LICENSE[] SEC("license") = "GPL";
