// SPDX-License-Identifier: MIT OR Apache-2.0
// syscount: how many system calls each process makes.
//
// Teaches: counting in the kernel, so that nothing is copied out until the end. A hash map that
// no event fills is printed as a table when the run ends.
//
//   skep run examples/syscount.bpf.c --duration 5s
//   skep run examples/syscount.bpf.c -- ls -R /etc
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <skep.h>

const volatile pid_t target_pid = 0;        // -p: only this process

struct process {
	pid_t pid;
	char comm[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, struct process);
	__type(value, __u64);
} calls SEC(".maps") SKEP_TITLE("system calls by process");

SEC("raw_tp/sys_enter")
int count(void *ctx)
{
	struct process process = {};
	__u64 one = 1, *calls_so_far;

	process.pid = bpf_get_current_pid_tgid() >> 32;
	if (target_pid && process.pid != target_pid)
		return 0;
	bpf_get_current_comm(process.comm, sizeof(process.comm));
	calls_so_far = bpf_map_lookup_elem(&calls, &process);
	if (calls_so_far)
		__sync_fetch_and_add(calls_so_far, 1);
	else if (bpf_map_update_elem(&calls, &process, &one, BPF_NOEXIST))
		SKEP_LOST();
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
