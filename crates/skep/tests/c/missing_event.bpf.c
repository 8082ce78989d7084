// SPDX-License-Identifier: MIT OR Apache-2.0
// Two hooks that are there, around one that is not: the middle one is misspelt.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

__u64 fired;

SEC("tracepoint/syscalls/sys_enter_getppid")
int a_good_one(void *ctx)
{
	__sync_fetch_and_add(&fired, 1);
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_opneat")
int b_misspelt(void *ctx)
{
	return 0;
}

SEC("raw_tp/sys_enter")
int c_another(void *ctx)
{
	__sync_fetch_and_add(&fired, 1);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
