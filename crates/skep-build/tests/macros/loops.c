/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* bpf_helpers.h: loops by iterators. */
#include "types.h"
#include <bpf/bpf_helpers.h>


int table[16];

SEC("raw_tp/sched_switch")
int loops(void *ctx)
{
	int i, j, sum = 0, *at;

	bpf_for(i, 0, 16) {
		if (i == 9)
			continue;
		sum += table[i];
		bpf_for(j, 0, i)
			table[i] += j;
		if (sum > 1000)
			break;
	}
	bpf_repeat(sum)
		sum++;
	bpf_for_each(num, at, 2, 8)
		sum += *at;
	return sum;
}

char LICENSE[] SEC("license") = "GPL";
