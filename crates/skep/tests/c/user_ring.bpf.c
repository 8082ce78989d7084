// SPDX-License-Identifier: MIT OR Apache-2.0
// Drains a user ring buffer when it is asked to, and keeps account of what it saw.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_USER_RINGBUF);
	__uint(max_entries, 4096);
} commands SEC(".maps");

__u64 seen;
__u64 sum;
__u64 last;
// Samples after which a drain stops; 0 for all.
__u64 most;

static long each(struct bpf_dynptr *sample, void *context)
{
	__u64 number = 0;

	bpf_dynptr_read(&number, sizeof(number), sample, 0, 0);
	seen++;
	sum += number;
	last = number;
	return most && seen % most == 0;
}

SEC("syscall")
int drain(void *context)
{
	return bpf_user_ringbuf_drain(&commands, each, NULL, 0);
}

char LICENSE[] SEC("license") = "GPL";
