// SPDX-License-Identifier: MIT OR Apache-2.0
// Fills a perf buffer by hand: test runs make as many records as the first argument says, on the
// CPU that the run chooses.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

struct record {
	__u64 number;
	__u64 check;
	__u64 filler[3];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} events SEC(".maps");

__u64 lost;

SEC("raw_tp/sys_enter")
int produce(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 count = ctx->args[0], first = ctx->args[1];
	struct record record = {};

	for (__u64 i = 0; i < 512; i++) {
		if (i >= count)
			break;
		record.number = first + i;
		record.check = record.number ^ 0x5555;
		if (bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU, &record,
					  sizeof(record)))
			__sync_fetch_and_add(&lost, 1);
	}
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
