// SPDX-License-Identifier: MIT OR Apache-2.0
// Functions of structs that may sleep: one that a scheduler is prepared by, and one of the struct
// that the kernel has for tests, which it runs and never attaches. No kernel of long ago has types
// of either, so they are written down here.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

__u64 prepared;

// Only those that may sleep can call it: it makes a queue.
extern __s32 scx_bpf_create_dsq(__u64 dsq_id, __s32 node) __ksym __weak;

SEC("?struct_ops.s")
__s32 BPF_PROG(prepare)
{
	__s32 error = scx_bpf_create_dsq(4242, -1);

	if (!error)
		__sync_fetch_and_add(&prepared, 1);
	return error;
}

struct sched_ext_ops___ours {
	__s32 (*init)(void);
	__u32 timeout_ms;
	char name[128];
};

SEC("?.struct_ops.link")
struct sched_ext_ops___ours scheduler = {
	.init = (void *)prepare,
	.timeout_ms = 10000,
	.name = "skep_prepared",
};

struct bpf_dummy_ops_state___ours {
	int val;
} __attribute__((preserve_access_index));

SEC("?struct_ops.s")
int BPF_PROG(add_two, struct bpf_dummy_ops_state___ours *state)
{
	int before = state->val;

	state->val = before + 2;
	return before;
}

struct bpf_dummy_ops___ours {
	int (*test_sleepable)(struct bpf_dummy_ops_state___ours *state);
};

SEC("?.struct_ops")
struct bpf_dummy_ops___ours tested = {
	.test_sleepable = (void *)add_two,
};

char LICENSE[] SEC("license") = "GPL";
