// SPDX-License-Identifier: MIT OR Apache-2.0
// Globals of several types, maps of several shapes, and programs that one system call fires.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

enum level {
	calm = 1,
	eager = 7,
};

struct pair {
	__u64 calls;
	__u32 tid;
	__u32 level;
};

const volatile pid_t target_pid = 0;
const volatile enum level level = calm;
const volatile char label[16] = "unset";
const volatile __u16 ports[4] = { 1, 2 };
const volatile bool enabled = false;

__u64 hits = 5;
char seen_label[16];
__u16 seen_port;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, struct pair);
} table SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} per_cpu SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 4);
	__type(value, __u64);
} queue SEC(".maps");

static __always_inline bool is_target(void)
{
	return enabled && bpf_get_current_pid_tgid() >> 32 == target_pid;
}

SEC("tracepoint/syscalls/sys_enter_getppid")
int count_table(void *ctx)
{
	struct pair first = { .calls = 1, .tid = bpf_get_current_pid_tgid(), .level = level };
	struct pair *pair;
	__u32 key = 9;

	if (!is_target())
		return 0;
	pair = bpf_map_lookup_elem(&table, &key);
	if (pair)
		__sync_fetch_and_add(&pair->calls, 1);
	else
		bpf_map_update_elem(&table, &key, &first, BPF_ANY);
	__sync_fetch_and_add(&hits, 1);
	for (int i = 0; i < sizeof(seen_label); i++)
		seen_label[i] = label[i];
	seen_port = ports[2];
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_getppid")
int count_per_cpu(void *ctx)
{
	__u32 key = 1, *count;

	if (!is_target())
		return 0;
	count = bpf_map_lookup_elem(&per_cpu, &key);
	if (count)
		(*count)++;
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
