/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* usdt.bpf.h. */
#include "types.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/usdt.bpf.h>

#ifndef LAYOUT_OF_ANOTHER
_Static_assert(sizeof(struct __bpf_usdt_arg_spec) == 16, "size");
_Static_assert(__builtin_offsetof(struct __bpf_usdt_arg_spec, reg_off) == 12, "reg_off");
_Static_assert(__builtin_offsetof(struct __bpf_usdt_arg_spec, arg_signed) == 14, "arg_signed");
_Static_assert(__builtin_offsetof(struct __bpf_usdt_arg_spec, arg_bitshift) == 15, "bitshift");
_Static_assert(__builtin_offsetof(struct __bpf_usdt_spec, usdt_cookie) == 12 * 16, "cookie");
#endif

long seen[12];

SEC("usdt/libc.so.6:libc:setjmp")
int BPF_USDT(point, void *a, int b, long c)
{
	seen[0] = (long)a + b + c;
	return 0;
}

SEC("usdt/libc.so.6:libc:longjmp")
int BPF_USDT(point_none)
{
	long value;

	seen[1] = bpf_usdt_arg_cnt(ctx);
	seen[2] = bpf_usdt_cookie(ctx);
	seen[3] = bpf_usdt_arg(ctx, 3, &value);
	seen[4] = value;
#if __has_include(<linux/errno.h>)
	seen[5] = ENOENT;
#endif
	return 0;
}

SEC("usdt/libc.so.6:libc:sizes")
int sizes(struct pt_regs *ctx)
{
	seen[0] = bpf_usdt_arg_size(ctx, 1);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
