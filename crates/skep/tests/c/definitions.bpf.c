// SPDX-License-Identifier: MIT OR Apache-2.0
// A map of every type, each defined as its own rules ask for, and with every field.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

struct prefix {
	__u32 bits;
	__u8 address[4];
};

struct value {
	__u64 count;
	__u32 flags;
};

#define SIZED(kind, name, entries, key, val) \
	struct { \
		__uint(type, BPF_MAP_TYPE_##kind); \
		__uint(max_entries, entries); \
		__uint(key_size, key); \
		__uint(value_size, val); \
	} name SEC(".maps")

#define TYPED(kind, name, entries, flags, key_type, value_type) \
	struct { \
		__uint(type, BPF_MAP_TYPE_##kind); \
		__uint(max_entries, entries); \
		__uint(map_flags, flags); \
		__type(key, key_type); \
		__type(value, value_type); \
	} name SEC(".maps")

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 7);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_NUMA_NODE);
	__uint(numa_node, 0);
	__type(key, __u32);
	__type(value, struct value);
} every_field SEC(".maps");

TYPED(ARRAY, array, 3, BPF_F_MMAPABLE, __u32, struct value);
// Arrays take no such key in their BTF; the map is made without.
TYPED(ARRAY, oddly_keyed, 3, 0, struct { __u32 index; }, struct value);
TYPED(PERCPU_HASH, percpu_hash, 3, 0, __u32, struct value);
TYPED(PERCPU_ARRAY, percpu_array, 3, 0, __u32, struct value);
TYPED(LRU_HASH, lru_hash, 3, 0, __u32, struct value);
TYPED(LRU_PERCPU_HASH, lru_percpu_hash, 3, 0, __u32, struct value);
TYPED(LPM_TRIE, trie, 3, BPF_F_NO_PREALLOC, struct prefix, struct value);
TYPED(LPM_TRIE, numeric_trie, 3, BPF_F_NO_PREALLOC, __u64, __u32);
TYPED(SK_STORAGE, of_sockets, 0, BPF_F_NO_PREALLOC, int, struct value);
TYPED(INODE_STORAGE, of_inodes, 0, BPF_F_NO_PREALLOC, int, struct value);
TYPED(TASK_STORAGE, of_tasks, 0, BPF_F_NO_PREALLOC, int, struct value);
TYPED(CGRP_STORAGE, of_cgroups, 0, BPF_F_NO_PREALLOC, int, struct value);
TYPED(CGROUP_STORAGE, cgroup_storage, 0, 0, struct bpf_cgroup_storage_key, struct value);
TYPED(PERCPU_CGROUP_STORAGE, percpu_cgroup_storage, 0, 0, __u64, struct value);
TYPED(DEVMAP, devices, 3, 0, __u32, struct bpf_devmap_val);
TYPED(DEVMAP_HASH, device_hash, 3, 0, __u32, struct bpf_devmap_val);
TYPED(CPUMAP, cpus, 3, 0, __u32, struct bpf_cpumap_val);
TYPED(XSKMAP, xsk, 3, 0, __u32, __u32);
TYPED(SOCKMAP, sockets, 3, 0, __u32, __u64);
TYPED(SOCKHASH, socket_hash, 3, 0, __u64, __u64);
TYPED(REUSEPORT_SOCKARRAY, reuseport, 3, 0, __u32, __u64);
SIZED(STACK_TRACE, stacks, 3, 4, 127 * 8);
SIZED(CGROUP_ARRAY, cgroups, 3, 4, 4);
SIZED(QUEUE, queue, 3, 0, 12);
SIZED(STACK, stack, 3, 0, 12);

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_ARRAY);
	__uint(max_entries, 2);
} unsized_cgroups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__type(value, struct value);
} perf_events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 5000);
	__type(value, struct value);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_USER_RINGBUF);
	__uint(max_entries, 1);
} user_ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_BLOOM_FILTER);
	__uint(max_entries, 100);
	__ulong(map_extra, 3);
	__type(value, __u64);
} bloom SEC(".maps");

// A ring's size is made to fit in a template, too; another may go in beside it.
struct inner_ring {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1);
};

struct inner_ring first_ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct inner_ring);
} rings SEC(".maps") = {
	.values = { [1] = (void *)&first_ring },
};

// Arrays of different lengths go into one with BPF_F_INNER_MAP.
struct inner_array {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_INNER_MAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_INNER_MAP);
	__uint(max_entries, 9);
	__type(key, __u32);
	__type(value, __u64);
} longer SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 3);
	__type(key, __u32);
	__array(values, struct inner_array);
} arrays SEC(".maps") = {
	.values = { [2] = (void *)&longer },
};

char LICENSE[] SEC("license") = "GPL";
