// SPDX-License-Identifier: MIT OR Apache-2.0
// Rules of somebody who means no good: an endless loop, and a look at memory that is not theirs.
// No verifier has seen them; in checked mode the machine stops them where they go wrong.
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

SEC("tp/shop/order")
int endless(volatile __u64 *order)
{
	while (order[1])
		;
	return 0;
}

SEC("tp/shop/order")
int nosy(__u64 *order)
{
	return order[4000];
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
