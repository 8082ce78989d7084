// SPDX-License-Identifier: MIT OR Apache-2.0
// Sends numbered records by a ring buffer, or by a perf buffer where there are none: test runs make as
// many as the first argument says.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include "skep.h"

struct record {
	__u64 number;
	__u64 check;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps") SKEP_OR_PERF_BUFFER;

SEC("raw_tp/sys_enter")
int produce(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 count = ctx->args[0];
	struct record record = {};

	for (__u64 i = 0; i < 512; i++) {
		if (i >= count)
			break;
		record.number = i;
		record.check = i ^ 0x5555;
		skep_output(ctx, events, &record, sizeof(record));
	}
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
