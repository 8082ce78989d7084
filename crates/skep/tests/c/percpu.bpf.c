// SPDX-License-Identifier: MIT OR Apache-2.0
// Variables of which each CPU has its own.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

__u64 counter SEC(".percpu") = 40;
__u32 odd SEC(".percpu") = 7;
__u32 other SEC(".percpu.more") = 9;

SEC("socket")
int count(struct __sk_buff *skb)
{
	counter += 2;
	other++;
	return counter + odd;
}

char LICENSE[] SEC("license") = "GPL";
