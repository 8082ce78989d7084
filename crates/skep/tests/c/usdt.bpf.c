// SPDX-License-Identifier: MIT OR Apache-2.0
// A program for each static probe point of usdt_points.c, which keeps what its arguments are.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/usdt.bpf.h>

struct seen {
	long hits;
	long cookie;
	long count;
	long error; // of the argument after the last
	long values[BPF_USDT_MAX_ARG_CNT];
	long sizes[BPF_USDT_MAX_ARG_CNT];
};

static __always_inline int see(struct pt_regs *ctx, struct seen *seen)
{
	long value;

	seen->cookie = bpf_usdt_cookie(ctx);
	seen->count = bpf_usdt_arg_cnt(ctx);
	for (int i = 0; i < BPF_USDT_MAX_ARG_CNT; i++) {
		bpf_usdt_arg(ctx, i, &value);
		seen->values[i] = value;
		seen->sizes[i] = bpf_usdt_arg_size(ctx, i);
	}
	seen->error = bpf_usdt_arg(ctx, seen->count, &value);
	__sync_fetch_and_add(&seen->hits, 1);
	return 0;
}

#define POINT(name) \
	struct seen seen_##name; \
	SEC("usdt") int on_##name(struct pt_regs *ctx) { return see(ctx, &seen_##name); }

POINT(page_end)
POINT(registers)
POINT(more_registers)
POINT(memory)
POINT(indexed)
POINT(code)
POINT(fixed)
POINT(address)
POINT(constants)
POINT(none)
POINT(watched)
POINT(many)

// By its parameters' types.
long typed_hits, typed_first, typed_second, typed_third;

SEC("usdt")
int BPF_USDT(typed, unsigned char first, int second, long third)
{
	__sync_fetch_and_add(&typed_hits, 1);
	typed_first = first;
	typed_second = second;
	typed_third = third;
	return 0;
}

// Without any argument, and so without the header's maps.
long plain_hits;

SEC("usdt")
int plain(void *ctx)
{
	__sync_fetch_and_add(&plain_hits, 1);
	return 0;
}

// One that may sleep reads the code that it interrupts.
long sleeping_hits, sleeping_read;

SEC("?usdt.s")
int sleeping(struct pt_regs *ctx)
{
	char code;

	__sync_fetch_and_add(&sleeping_hits, 1);
	if (bpf_copy_from_user(&code, sizeof(code), (void *)PT_REGS_IP(ctx)) == 0)
		__sync_fetch_and_add(&sleeping_read, 1);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
