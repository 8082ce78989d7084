// An index from outside goes into an array as it is.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#define SLOTS 64

struct counters {
	__u64 slot[SLOTS];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct counters);
} table SEC(".maps");

SEC("tracepoint/syscalls/sys_enter_close")
int count(struct trace_event_raw_sys_enter *ctx)
{
	__u32 zero = 0;
	struct counters *counters = bpf_map_lookup_elem(&table, &zero);
	__u32 fd = ctx->args[0];

	if (!counters)
		return 0;
	counters->slot[fd]++;
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
