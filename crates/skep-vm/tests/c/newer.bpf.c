// SPDX-License-Identifier: MIT OR Apache-2.0
// Kernel functions on strings that few kernels have: what they answer is said here.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

extern int bpf_strncasecmp(const char *a, const char *b, __SIZE_TYPE__ len) __ksym;
extern int bpf_strcasestr(const char *a, const char *b) __ksym;
extern int bpf_strncasestr(const char *a, const char *b, __SIZE_TYPE__ len) __ksym;

char hello[] = "hello World";

/* The program answers the line of the first fault. */
#define CHECK(what) do { if (!(what)) return __LINE__; } while (0)

SEC("syscall")
int whatever_case(void *ctx)
{
	CHECK(bpf_strncasecmp(hello, "HELLO there", 6) == 0);
	CHECK(bpf_strncasecmp(hello, "HELLO there", 7) == 1);
	CHECK(bpf_strncasecmp("HELLO there", hello, 7) == -1);
	CHECK(bpf_strncasecmp(hello, "none", 0) == 0);
	CHECK(bpf_strncasecmp(hello, "hello world, and more", 40) == -1);
	CHECK(bpf_strcasestr(hello, "WORLD") == 6);
	CHECK(bpf_strcasestr(hello, "") == 0);
	CHECK(bpf_strcasestr(hello, "worlds") == -2);
	CHECK(bpf_strncasestr(hello, "WORLD", 11) == 6);
	CHECK(bpf_strncasestr(hello, "WORLD", 10) == -2);
	CHECK(bpf_strncasestr(hello, "HELLO", 5) == 0);
	CHECK(bpf_strncasecmp(hello, (void *)-1, 1) == -14 ||
	      bpf_strncasecmp(hello, (void *)-1, 1) == -34);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
