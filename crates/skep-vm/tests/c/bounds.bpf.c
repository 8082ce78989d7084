// SPDX-License-Identifier: MIT OR Apache-2.0
// Programs that would take more than is theirs: see tests/bounds.rs.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#define __arena __attribute__((address_space(1)))
#define private(name) SEC(".data." #name) __attribute__((visibility("hidden"), aligned(8)))
#define __contains(type, node) __attribute__((btf_decl_tag("contains:" #type ":" #node)))

extern __s64 bpf_map_sum_elem_count(const struct bpf_map *map) __ksym;
extern int bpf_copy_from_user_dynptr(struct bpf_dynptr *dptr, __u32 off, __u32 size,
				     const void *unsafe_ptr) __ksym;
extern int bpf_iter_task_new(struct bpf_iter_task *it, struct task_struct *task,
			     unsigned int flags) __ksym;
extern struct task_struct *bpf_iter_task_next(struct bpf_iter_task *it) __ksym;
extern void bpf_iter_task_destroy(struct bpf_iter_task *it) __ksym;
extern int bpf_iter_bits_new(struct bpf_iter_bits *it, const __u64 *unsafe_ptr, __u32 nr_words) __ksym;
extern void __arena *bpf_arena_alloc_pages(void *map, void __arena *addr, __u32 count, int node,
					   __u64 flags) __ksym __weak;
extern void *bpf_obj_new(__u64 id) __ksym;
extern void bpf_obj_drop(void *object) __ksym;
extern int bpf_list_push_front(struct bpf_list_head *head, struct bpf_list_node *node) __ksym;
extern struct bpf_list_node *bpf_list_pop_front(struct bpf_list_head *head) __ksym;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 1 << 20);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} many SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__uint(value_size, 16);
	__uint(max_entries, 1);
} plain SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARENA);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1 << 20);
} arena SEC(".maps");

struct item {
	long value;
	struct bpf_list_node node;
};

/* Room for a head, of which its type says nothing. */
struct knot {
	long value;
	struct bpf_list_node node;
	__u64 head[2];
};

private(A) struct bpf_spin_lock lock;
private(A) struct bpf_list_head items __contains(item, node);

__u64 words[2] = { 1, 2 };

static int sum(__u32 turn, void *context)
{
	bpf_map_sum_elem_count((void *)&many);
	return 0;
}

/* Counts what there is in a table of a million places. */
SEC("syscall")
int sums(__u64 *context)
{
	return bpf_loop(*context, sum, 0, 0);
}

static int forged(__u32 turn, void *context)
{
	/* As it would be of a packet of 16 MiB. */
	__u64 dynptr[2] = { 0xdead0000, (3ULL << 28) | 0xffffff };

	bpf_copy_from_user_dynptr((void *)dynptr, 0, 0xffffff, (void *)16);
	return 0;
}

SEC("syscall")
int forge(__u64 *context)
{
	return bpf_loop(*context, forged, 0, 0);
}

SEC("syscall")
int tasks(__u64 *context)
{
	struct bpf_iter_task it;
	int count = 0;

	bpf_iter_task_new(&it, 0, 0);
	while (bpf_iter_task_next(&it))
		count++;
	bpf_iter_task_destroy(&it);
	return count;
}

SEC("syscall")
int owner(__u64 *context)
{
	struct item *item = bpf_obj_new(bpf_core_type_id_local(struct item));

	if (!item)
		return 1;
	item->value = 4711;
	bpf_spin_lock(&lock);
	bpf_list_push_front(&items, &item->node);
	bpf_spin_unlock(&lock);
	return 0;
}

/* Writes a number where it says is a head, and takes what is in that list. */
SEC("syscall")
int thief(__u64 *context)
{
	__u32 key = 0;
	__u64 *head = bpf_map_lookup_elem(&plain, &key);
	struct bpf_list_node *node;

	if (!head)
		return 1;
	head[0] = *context;
	node = bpf_list_pop_front((void *)head);
	return node ? 2 : 0;
}

/* Puts an object into itself. */
SEC("syscall")
int knots(__u64 *context)
{
	struct knot *knot = bpf_obj_new(bpf_core_type_id_local(struct knot));

	if (!knot)
		return 1;
	return bpf_list_push_front((void *)knot->head, &knot->node);
}

/* Begins to go through bits, and never ends. */
SEC("xdp")
int bits(struct xdp_md *context)
{
	struct bpf_iter_bits it;

	return bpf_iter_bits_new(&it, words, 2);
}

/* Touches pages of the arena that are not there. */
SEC("syscall")
int holes(__u64 *context)
{
	char __arena *page = bpf_arena_alloc_pages(&arena, 0, 1, -1, 0);
	__u64 sum = 0;
	__u32 turn;

	if (!page)
		return 1;
	for (turn = 0; turn < *context; turn++) {
		page += 4096;
		sum += *(volatile char __arena *)page;
		*(volatile char __arena *)page = 1;
	}
	return sum;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
