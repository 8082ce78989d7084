// SPDX-License-Identifier: MIT OR Apache-2.0
// usdt_imports: the modules that Python imports, and how long each took.
//
// Teaches: static probe points of user space (USDT), which a program's authors put where things
// happen and promise to keep: their arguments come by name, not by a function's signature. Here
// one says that an import begins, one that it is done; imports within imports lie on a stack.
// Needs a Python that was built with its points, as distributions build it.
//
//   skep run examples/usdt_imports.bpf.c -- python3 -c 'import json'
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/usdt.bpf.h>
#include <skep.h>

#define DEEPEST 64

const volatile pid_t target_pid = 0;        // -p: only this process

struct import {
	skep_time_t time;
	pid_t pid;
	__u32 depth;
	skep_ns_t took;
	bool found;
	char name[64];
};

// Where each thread is: how deep, and when each import that it is in began.
struct imports {
	__u32 depth;
	__u64 began[DEEPEST];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct imports);
} threads SEC(".maps") SKEP_HIDDEN;

// What a thread's entry starts as: too large for a program's stack.
static const struct imports none;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} events SEC(".maps") SKEP_EVENT(import);
SKEP_KEEP_TYPE(struct import);

SEC("usdt/python3:python:import__find__load__start")
int BPF_USDT(begin, const char *name)
{
	__u32 thread = bpf_get_current_pid_tgid();
	struct imports *imports;
	__u32 depth;

	if (target_pid && bpf_get_current_pid_tgid() >> 32 != target_pid)
		return 0;
	bpf_map_update_elem(&threads, &thread, &none, BPF_NOEXIST);
	imports = bpf_map_lookup_elem(&threads, &thread);
	if (!imports)
		return 0;
	depth = imports->depth++;
	if (depth < DEEPEST)
		imports->began[depth] = bpf_ktime_get_ns();
	return 0;
}

SEC("usdt/python3:python:import__find__load__done")
int BPF_USDT(end, const char *name, int found)
{
	__u32 thread = bpf_get_current_pid_tgid();
	struct imports *imports = bpf_map_lookup_elem(&threads, &thread);
	struct import *event;
	__u32 depth;

	// One that began before this program did has no beginning here.
	if (!imports || !imports->depth)
		return 0;
	depth = --imports->depth;
	if (depth >= DEEPEST) {
		SKEP_LOST();
		return 0;
	}
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		SKEP_LOST();
		return 0;
	}
	event->time = bpf_ktime_get_ns();
	event->pid = bpf_get_current_pid_tgid() >> 32;
	event->depth = depth;
	event->took = event->time - imports->began[depth];
	event->found = found;
	bpf_probe_read_user_str(event->name, sizeof(event->name), name);
	bpf_ringbuf_submit(event, 0);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
