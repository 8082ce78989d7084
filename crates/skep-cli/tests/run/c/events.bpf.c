// SPDX-License-Identifier: MIT OR Apache-2.0
// Events at each getppid, told to `skep run` in the way that a macro chooses: BY_VALUE, BY_TAG,
// BY_NAME, or not at all; with PERF through a perf buffer.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <skep.h>

const volatile pid_t target_pid = 0;
const volatile __u32 each = 1;              // records a call
__u64 total;

enum color {
	red = 3,
	green = 4,
};

struct record {
	pid_t pid;
	enum color color;
	char comm[16];
	__u64 number;
};

#ifdef BY_NAME
struct call_event {
	struct record record;
};
SKEP_KEEP_TYPE(struct call_event);
#endif

struct {
#ifdef PERF
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
#else
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 * 1024);
#ifdef BY_VALUE
	__type(value, struct record);
#endif
#endif
#ifdef BY_TAG
} events SEC(".maps") SKEP_EVENT(record);
SKEP_KEEP_TYPE(struct record);
#else
} events SEC(".maps");
#endif

SEC("tracepoint/syscalls/sys_enter_getppid")
int on_getppid(void *ctx)
{
	struct record record = { .pid = bpf_get_current_pid_tgid() >> 32, .color = green };

	if (target_pid && record.pid != target_pid)
		return 0;
	bpf_get_current_comm(record.comm, sizeof(record.comm));
	for (int i = 0; i < 512; i++) {
		if (i >= each)
			break;
		record.number = __sync_fetch_and_add(&total, 1);
#ifdef PERF
		bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU, &record, sizeof(record));
#else
		if (bpf_ringbuf_output(&events, &record, sizeof(record), 0))
			SKEP_LOST();
#endif
	}
	return 0;
}

SEC("?tracepoint/syscalls/sys_enter_getppid")
int says_so(void *ctx)
{
	if (!target_pid || bpf_get_current_pid_tgid() >> 32 == target_pid)
		bpf_printk("getppid number %d", 17);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
