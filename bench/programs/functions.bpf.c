// SPDX-License-Identifier: MIT OR Apache-2.0
// A program for ten thousand functions of the kernel; it does nothing there.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("kprobe.multi")
int at_functions(void *ctx)
{
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
