// SPDX-License-Identifier: MIT OR Apache-2.0
// Maps of kinds that need types or a program: locked values, local storage, stacks, mapped arrays.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

struct locked {
	struct bpf_spin_lock lock;
	__u32 count;
	__u64 sum;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, struct locked);
} locked SEC(".maps");

#define STORAGE(name, kind)                                                                       \
	struct {                                                                                  \
		__uint(type, kind);                                                               \
		__uint(map_flags, BPF_F_NO_PREALLOC);                                             \
		__type(key, int);                                                                 \
		__type(value, __u64);                                                             \
	} name SEC(".maps")

STORAGE(of_socket, BPF_MAP_TYPE_SK_STORAGE);
STORAGE(of_task, BPF_MAP_TYPE_TASK_STORAGE);
STORAGE(of_inode, BPF_MAP_TYPE_INODE_STORAGE);
STORAGE(of_cgroup, BPF_MAP_TYPE_CGRP_STORAGE);

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(max_entries, 16);
	__uint(key_size, 4);
	__uint(value_size, 64 * 8);
} stacks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 300);
	__type(key, __u32);
	__type(value, char[12]);
} mapped SEC(".maps");

const volatile __u32 fixed = 42;
__u8 small = 1;
__u8 neighbour = 2;
__u64 calls = 0;
__u64 limit = 3;
long stack_id = -1;

SEC("tracepoint/syscalls/sys_enter_getppid")
int count(void *ctx)
{
	if (calls >= limit)
		return 0;
	calls++;
	neighbour++;
	stack_id = bpf_get_stackid(ctx, &stacks, 0);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
