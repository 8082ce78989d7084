// A length from outside as the size of a copy.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

struct record {
	__u32 length;
	char text[64];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct record);
} last SEC(".maps");

SEC("tracepoint/syscalls/sys_enter_write")
int on_write(struct trace_event_raw_sys_enter *ctx)
{
	__u32 zero = 0;
	struct record *record = bpf_map_lookup_elem(&last, &zero);
	__u64 length = ctx->args[2];

	if (!record)
		return 0;
	record->length = length;
	bpf_probe_read_user(record->text, length, (void *)ctx->args[1]);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
