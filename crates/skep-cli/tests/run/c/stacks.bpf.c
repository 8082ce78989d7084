// SPDX-License-Identifier: MIT OR Apache-2.0
// User stacks of all that is traced, by process.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <skep.h>

struct place {
	pid_t pid;
	skep_ustack_t stack;
};

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(max_entries, 4096);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, 127 * sizeof(__u64));
} stacks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct place);
	__type(value, __u64);
} samples SEC(".maps") SKEP_TITLE("samples");

SEC("perf_event")
int sample(struct bpf_perf_event_data *ctx)
{
	struct place place = { .pid = bpf_get_current_pid_tgid() >> 32 };
	__u64 one = 1, *seen;

	place.stack = bpf_get_stackid(ctx, &stacks, BPF_F_USER_STACK);
	seen = bpf_map_lookup_elem(&samples, &place);
	if (seen)
		__sync_fetch_and_add(seen, 1);
	else if (bpf_map_update_elem(&samples, &place, &one, BPF_NOEXIST))
		SKEP_LOST();
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
