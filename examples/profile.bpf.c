// SPDX-License-Identifier: MIT OR Apache-2.0
// profile: what the CPUs are busy with, by sampling stacks.
//
// Teaches: a perf event as a timer, and stack traces, which skep shows with names.
//
//   skep run examples/profile.bpf.c --duration 5s
//   skep run examples/profile.bpf.c -- gzip -9 -k -c /usr/bin/clang-14
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <skep.h>

const volatile pid_t target_pid = 0;        // -p: only this process

struct place {
	pid_t pid;
	char comm[16];
	skep_ustack_t user_stack;
	skep_kstack_t kernel_stack;
};

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(max_entries, 16384);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, 127 * sizeof(__u64));
} stacks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, struct place);
	__type(value, __u64);
} samples SEC(".maps") SKEP_TITLE("samples by stack");

SEC("perf_event")                          // 99 times a second on every CPU: -F
int sample(struct bpf_perf_event_data *ctx)
{
	struct place place = {};
	__u64 one = 1, *seen;

	place.pid = bpf_get_current_pid_tgid() >> 32;
	if (!place.pid || (target_pid && place.pid != target_pid))
		return 0;
	bpf_get_current_comm(place.comm, sizeof(place.comm));
	place.user_stack = bpf_get_stackid(ctx, &stacks, BPF_F_USER_STACK);
	place.kernel_stack = bpf_get_stackid(ctx, &stacks, 0);
	seen = bpf_map_lookup_elem(&samples, &place);
	if (seen)
		__sync_fetch_and_add(seen, 1);
	else if (bpf_map_update_elem(&samples, &place, &one, BPF_NOEXIST))
		SKEP_LOST();
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
