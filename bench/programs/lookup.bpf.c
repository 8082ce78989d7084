// SPDX-License-Identifier: MIT OR Apache-2.0
// Programs for a function and a static probe point of a large binary; they never run.
// Registers as this machine's headers lay them out: the bench is for x86-64.
#define __TARGET_ARCH_x86
#define __x86_64__
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/usdt.bpf.h>

SEC("uprobe")
int at_symbol(void *ctx)
{
	return 0;
}

SEC("usdt")
int at_point(struct pt_regs *ctx)
{
	long first;

	return bpf_usdt_arg(ctx, 0, &first);
}

char LICENSE[] SEC("license") = "GPL";
