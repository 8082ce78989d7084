// SPDX-License-Identifier: MIT OR Apache-2.0
// Probes on functions of a library and of a program.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

__u64 library_calls, entries, returns, inside;
__u64 last_argument, last_result;

SEC("uprobe/libc:getpriority")
int BPF_UPROBE(in_library, int which, int who)
{
	__sync_fetch_and_add(&library_calls, 1);
	return 0;
}

SEC("uprobe")
int BPF_UPROBE(at_entry, long number)
{
	__sync_fetch_and_add(&entries, 1);
	last_argument = number;
	return 0;
}

SEC("uretprobe")
int BPF_URETPROBE(at_return, long result)
{
	__sync_fetch_and_add(&returns, 1);
	last_result = result;
	return 0;
}

SEC("uprobe")
int at_offset(void *ctx)
{
	__sync_fetch_and_add(&inside, 1);
	return 0;
}

SEC("uprobe.multi/libc:getpri?rit*")
int many_in_library(void *ctx)
{
	__sync_fetch_and_add(&library_calls, 1);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
