// SPDX-License-Identifier: MIT OR Apache-2.0
// Calls helpers that Linux 5.10 does not have.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

int sum;
__u64 now;

static long add(__u32 index, void *context)
{
	sum += index;
	return 0;
}

SEC("raw_tp/sys_enter")
int looks(void *ctx)
{
	now = bpf_ktime_get_tai_ns();
	return 0;
}

SEC("raw_tp/sys_enter")
int loops(void *ctx)
{
	bpf_loop(10, add, 0, 0);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
