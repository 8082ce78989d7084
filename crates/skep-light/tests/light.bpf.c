// SPDX-License-Identifier: MIT OR Apache-2.0
// A bit of everything that a light form has: variables of all sections, CO-RE, a function of the
// kernel, maps of maps, tail calls, a ring.
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

struct counts {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} first SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct counts);
} tables SEC(".maps") = { .values = { [1] = &first } };

int rest(void *ctx);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, int(void *));
} jumps SEC(".maps") = { .values = { [0] = (void *)&rest } };

const volatile __s32 target_pid = -1;
const volatile char word[4] = "old";
const volatile __u16 numbers[3] = { 1, 2, 3 };
const volatile bool loud;
__u64 offset = 5;
__u64 seen;

extern struct task_struct *bpf_task_from_pid(__s32 pid) __ksym;
extern void bpf_task_release(struct task_struct *task) __ksym;

SEC("tp_btf/sys_enter")
int entered(__u64 *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u32 key = 1, zero = 0;
	void *inner;

	if (BPF_CORE_READ(task, tgid) != target_pid || ctx[1] != 110 /* getppid */)
		return 0;
	__sync_fetch_and_add(&seen, 1);
	inner = bpf_map_lookup_elem(&tables, &key);
	if (inner) {
		__u64 *count = bpf_map_lookup_elem(inner, &zero);

		if (count)
			__sync_fetch_and_add(count, offset);
	}
	task = bpf_task_from_pid(target_pid);
	if (task) {
		offset += 1;
		bpf_task_release(task);
	}
	bpf_tail_call(ctx, &jumps, 0);
	return 0;
}

SEC("tp_btf/sys_enter")
int rest(void *ctx)
{
	char *event = bpf_ringbuf_reserve(&events, 8, 0);

	if (event) {
		event[0] = word[0];
		event[1] = word[1];
		event[2] = numbers[0] + numbers[1] + numbers[2];
		event[3] = loud;
		bpf_ringbuf_submit(event, 0);
	}
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
