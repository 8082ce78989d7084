// SPDX-License-Identifier: MIT OR Apache-2.0
// Maps whose slots the source fills: an array of maps, and programs to jump to.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

__u64 found;

struct number {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
};

struct number first SEC(".maps"), third SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 4);
	__type(key, __u32);
	__array(values, struct number);
} outer SEC(".maps") = {
	.values = { &first, 0, &third },
};

int answer_forty(struct bpf_raw_tracepoint_args *ctx);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__uint(key_size, sizeof(__u32));
	__array(values, int(struct bpf_raw_tracepoint_args *));
} jumps SEC(".maps") = {
	.values = { [1] = answer_forty },
};

// The slots to look into are the arguments of the test run.
SEC("raw_tp/sys_enter")
int look(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 key = ctx->args[0], jump = ctx->args[1], zero = 0;
	void *inner;
	__u64 *value;

	inner = bpf_map_lookup_elem(&outer, &key);
	if (!inner)
		return 1;
	value = bpf_map_lookup_elem(inner, &zero);
	if (!value)
		return 2;
	found = *value;
	bpf_tail_call(ctx, &jumps, jump);
	return 3;
}

SEC("raw_tp/sys_enter")
int answer_forty(struct bpf_raw_tracepoint_args *ctx)
{
	return 40;
}

char LICENSE[] SEC("license") = "GPL";
