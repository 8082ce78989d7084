// SPDX-License-Identifier: MIT OR Apache-2.0
// An iterator of each kind, which all write a mark for each thing they see. The tests load one at a
// time: no kernel has all of them.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, __u64);
} numbers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, __u64);
} sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u64);
} kept SEC(".maps");

// What the contexts of all iterators begin with.
struct bpf_iter_any {
	struct bpf_iter_meta *meta;
	void *thing;
};

// The last call has no thing.
#define ITERATOR(name)                                                          \
	SEC("?iter/" #name) int name(struct bpf_iter_any *ctx)                  \
	{                                                                       \
		if (ctx->thing)                                                 \
			bpf_seq_write(ctx->meta->seq, "x", 1);                  \
		return 0;                                                       \
	}

ITERATOR(task)
ITERATOR(task_file)
ITERATOR(task_vma)
ITERATOR(bpf_map)
ITERATOR(bpf_prog)
ITERATOR(bpf_link)
ITERATOR(netlink)
ITERATOR(ipv6_route)
ITERATOR(tcp)
ITERATOR(udp)
ITERATOR(unix)
ITERATOR(ksym)
ITERATOR(cgroup)
ITERATOR(kmem_cache)

// Of whatever kind the test says.
SEC("?iter/task") int any(void *ctx)
{
	return 0;
}

// The mark comes out of the reader's memory, which only a program that may sleep can wait for.
const volatile __u64 mark_at = 0;

SEC("?iter.s/task")
int task_sleepable(struct bpf_iter_any *ctx)
{
	char mark = '?';

	if (!ctx->thing)
		return 0;
	bpf_copy_from_user(&mark, sizeof(mark), (void *)mark_at);
	bpf_seq_write(ctx->meta->seq, &mark, sizeof(mark));
	return 0;
}

// Of these the map comes first.
struct bpf_iter_element {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
	void *thing;
	void *other;
};

#define ELEMENTS(name, part)                                                    \
	SEC("?iter/" #name) int name(struct bpf_iter_element *ctx)              \
	{                                                                       \
		if (ctx->part)                                                  \
			bpf_seq_write(ctx->meta->seq, "x", 1);                  \
		return 0;                                                       \
	}

ELEMENTS(bpf_map_elem, thing)
ELEMENTS(bpf_sk_storage_map, thing)
ELEMENTS(sockmap, other)

char LICENSE[] SEC("license") = "GPL";
