// SPDX-License-Identifier: MIT OR Apache-2.0
// An atomic addition whose old value is wanted, which is an instruction since Linux 5.12.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

__u64 calls;
__u64 last;

SEC("raw_tp/sys_enter")
int number(void *ctx)
{
	last = __sync_fetch_and_add(&calls, 1);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
