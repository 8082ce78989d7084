// SPDX-License-Identifier: MIT OR Apache-2.0
// malloc_sizes: how much memory a process asks for at a time.
//
// Teaches: a uprobe on a function of a library, its first argument, and a histogram.
//
//   skep run examples/malloc_sizes.bpf.c -- ls -R /etc
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <skep.h>

const volatile pid_t target_pid = 0;        // -p: only this process

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 40);
	__type(key, __u32);
	__type(value, __u64);
} sizes SEC(".maps") SKEP_TITLE("malloc sizes") SKEP_HISTOGRAM("bytes");

SEC("uprobe/libc.so.6:malloc")
int BPF_UPROBE(allocate, unsigned long size)
{
	__u32 slot = skep_log2(size);
	__u64 *count;

	if (target_pid && bpf_get_current_pid_tgid() >> 32 != target_pid)
		return 0;
	if (slot > 39)
		slot = 39;
	count = bpf_map_lookup_elem(&sizes, &slot);
	if (count)
		__sync_fetch_and_add(count, 1);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
