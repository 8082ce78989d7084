/* SPDX-License-Identifier: MIT OR Apache-2.0
 * What one.bpf.c and two.bpf.c agree on.
 */
#pragma once
#include "test.h"

struct key {
	long id;
};

struct total {
	u64 calls;
	u64 sum;
};

struct task_struct {
	int pid;
	int tgid;
} CORE;

static long (*const printk)(const char *format, u32 size, ...) = (void *)6;

/* Maps of the other file: declarations, which need not be kept. */
#define DECLARED __attribute__((section(".maps")))

enum libbpf_tristate { TRI_NO, TRI_YES, TRI_MODULE };
