// SPDX-License-Identifier: MIT OR Apache-2.0
// Exceptions: thrown two functions deep, caught by a function of the program's, or by none.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#define __exception_cb(name) __attribute__((btf_decl_tag("exception_callback:" #name)))

extern void bpf_throw(u64 cookie) __ksym;

u64 depth_reached, cookie_caught, came_back;

__noinline int caught(u64 cookie)
{
	cookie_caught = cookie;
	return cookie + 5;
}

__noinline static int deeper(int depth)
{
	depth_reached = depth;
	if (depth == 3)
		bpf_throw(30);
	return depth;
}

__noinline static int deep(int depth)
{
	int answer = deeper(depth + 1);

	came_back += 1;
	return answer;
}

SEC("syscall")
__exception_cb(caught)
int with_callback(void *ctx)
{
	deep(1);
	deep(2);
	return 1;
}

SEC("syscall")
int without(void *ctx)
{
	bpf_throw(16);
	return 7;
}

SEC("syscall")
__exception_cb(caught)
int not_thrown(void *ctx)
{
	deep(1);
	return 7;
}

char LICENSE[] SEC("license") = "GPL";
