/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* skep.h: types, tags, and the logarithm by values that are known. */
#include "types.h"
#include <bpf/bpf_helpers.h>
#include <skep.h>

struct record {
	skep_time_t when;
	skep_ns_t took;
	skep_bytes_t size;
	skep_ksym_t function;
	skep_usym_t caller;
	skep_kstack_t kernel_stack;
	skep_ustack_t user_stack;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 18);
} events SEC(".maps") SKEP_EVENT(record);
SKEP_KEEP_TYPE(struct record);
SKEP_KEEP_TYPE(__u64);

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 40);
	__type(key, __u32);
	__type(value, __u64);
} latency SEC(".maps") SKEP_HISTOGRAM("us") SKEP_TITLE("a title, with = in it");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, __u32);
} logs SEC(".maps") SKEP_HIDDEN;

SEC("xdp")
int measure(struct xdp_md *ctx)
{
	__u32 slot = skep_log2(ctx->data_end - ctx->data);
	__u64 *count = bpf_map_lookup_elem(&latency, &slot);
	struct record *record;

	if (count)
		*count += 1;
	record = bpf_ringbuf_reserve(&events, sizeof(*record), 0);
	if (record) {
		record->when = bpf_ktime_get_ns();
		bpf_ringbuf_submit(record, 0);
	}
	return XDP_PASS;
}

/* The compiler knows the arguments, so it has to make these constants. */
SEC("xdp")
int constants(struct xdp_md *ctx)
{
	if (skep_log2(0) != 0 || skep_log2(1) != 0 || skep_log2(2) != 1 || skep_log2(3) != 1 ||
	    skep_log2(4) != 2 || skep_log2(0xffff) != 15 || skep_log2(0x10000) != 16 ||
	    skep_log2(~0ULL) != 63 || skep_log2(1ULL << 63) != 63 || skep_log2(1ULL << 32) != 32)
		__bpf_unreachable();
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
