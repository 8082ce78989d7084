// SPDX-License-Identifier: MIT OR Apache-2.0
// Exceptions: thrown at several depths, with and without a callback.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include "facts.h"

#define __exception_cb(name) __attribute__((btf_decl_tag("exception_callback:" #name)))

extern void bpf_throw(u64 cookie) __ksym;

__noinline int caught(u64 cookie)
{
	fact(cookie);
	return cookie + 5;
}

__noinline static int deeper(int depth)
{
	fact(depth);
	if (depth == 3)
		bpf_throw(30);
	return depth;
}

__noinline static int deep(int depth)
{
	int answer = deeper(depth + 1);

	fact(answer);
	return answer;
}

__noinline int global(int depth)
{
	if (depth > 5)
		bpf_throw(depth);
	return depth * 2;
}

SEC("syscall")
int at_once(void *ctx)
{
	fact(1);
	bpf_throw(16);
	return 0;
}

SEC("syscall")
__exception_cb(caught)
int with_callback(void *ctx)
{
	fact(2);
	fact(deep(1));
	fact(deep(2));
	fact(4);
	return 1;
}

SEC("syscall")
__exception_cb(caught)
int not_thrown(void *ctx)
{
	fact(deep(1));
	return 7;
}

SEC("syscall")
int from_global(void *ctx)
{
	fact(global(3));
	fact(global(6));
	return 9;
}

char LICENSE[] SEC("license") = "GPL";
