// SPDX-License-Identifier: MIT OR Apache-2.0
// Objects that a program allocates, in lists and trees, and with counts of references.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include "facts.h"
#include "renamed.h"

#define private(name) SEC(".data." #name) __attribute__((visibility("hidden"), aligned(8)))
#define __contains(type, node) __attribute__((btf_decl_tag("contains:" #type ":" #node)))
#define container_of(ptr, type, member) \
	((type *)((void *)(ptr) - __builtin_offsetof(type, member)))

extern struct bpf_list_node *bpf_list_pop_front(struct bpf_list_head *head) __ksym;
extern struct bpf_list_node *bpf_list_pop_back(struct bpf_list_head *head) __ksym;
extern struct bpf_list_node *bpf_list_front(struct bpf_list_head *head) __ksym;
extern struct bpf_list_node *bpf_list_back(struct bpf_list_head *head) __ksym;
extern struct bpf_rb_node *bpf_rbtree_remove(struct bpf_rb_root *root,
	struct bpf_rb_node *node) __ksym;
extern struct bpf_rb_node *bpf_rbtree_first(struct bpf_rb_root *root) __ksym;
extern struct bpf_rb_node *bpf_rbtree_root(struct bpf_rb_root *root) __ksym;
extern struct bpf_rb_node *bpf_rbtree_left(struct bpf_rb_root *root,
	struct bpf_rb_node *node) __ksym;
extern struct bpf_rb_node *bpf_rbtree_right(struct bpf_rb_root *root,
	struct bpf_rb_node *node) __ksym;

#define new(type) ((type *)bpf_obj_new(bpf_core_type_id_local(type)))
#define drop(object) bpf_obj_drop(object)

struct item {
	long value;
	struct bpf_list_node node;
};

struct both {
	struct bpf_refcount refs;
	long value;
	struct bpf_rb_node tree;
	struct bpf_list_node list;
};

struct nested {
	long value;
	struct bpf_list_node node;
	struct bpf_list_head head __contains(item, node);
	struct bpf_spin_lock lock;
};

private(A) struct bpf_spin_lock lock;
private(A) struct bpf_list_head items __contains(item, node);

private(B) struct bpf_spin_lock tree_lock;
private(B) struct bpf_rb_root tree __contains(both, tree);
private(B) struct bpf_list_head list __contains(both, list);

static int push(long value, int front)
{
	struct item *item = new(struct item);
	int answer;

	if (!item)
		return -1;
	item->value = value;
	bpf_spin_lock(&lock);
	if (front)
		answer = bpf_list_push_front(&items, &item->node);
	else
		answer = bpf_list_push_back(&items, &item->node);
	bpf_spin_unlock(&lock);
	return answer;
}

static long pop(int front)
{
	struct bpf_list_node *node;
	struct item *item;
	long value;

	bpf_spin_lock(&lock);
	node = front ? bpf_list_pop_front(&items) : bpf_list_pop_back(&items);
	bpf_spin_unlock(&lock);
	if (!node)
		return -1;
	item = container_of(node, struct item, node);
	value = item->value;
	drop(item);
	return value;
}

SEC("syscall")
int queue(void *ctx)
{
	struct bpf_list_node *node;
	long value = -1;

	fact(pop(1));
	fact(pop(0));
	fact(push(1, 0));
	fact(push(2, 0));
	fact(push(3, 1));
	fact(push(4, 1));
	bpf_spin_lock(&lock);
	node = bpf_list_front(&items);
	if (node)
		value = container_of(node, struct item, node)->value;
	bpf_spin_unlock(&lock);
	fact(value);
	value = -1;
	bpf_spin_lock(&lock);
	node = bpf_list_back(&items);
	if (node)
		value = container_of(node, struct item, node)->value;
	bpf_spin_unlock(&lock);
	fact(value);
	fact(pop(1));
	fact(pop(0));
	fact(pop(1));
	fact(pop(1));
	fact(pop(1));
	fact(push(5, 1));
	return 0;
}

static bool less(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	return container_of(a, struct both, tree)->value < container_of(b, struct both, tree)->value;
}

static int add(long value, int twice)
{
	struct both *both = new(struct both), *more;
	int answer;

	if (!both)
		return -100;
	both->value = value;
	more = bpf_refcount_acquire(both);
	if (!more) {
		drop(both);
		return -101;
	}
	bpf_spin_lock(&tree_lock);
	answer = bpf_rbtree_add(&tree, &both->tree, less);
	if (twice)
		answer = bpf_rbtree_add(&tree, &more->tree, less);
	else
		answer = answer * 100 + bpf_list_push_back(&list, &more->list);
	bpf_spin_unlock(&tree_lock);
	return answer;
}

static __always_inline long first(void)
{
	struct bpf_rb_node *node;
	struct both *both;
	long value = -1;

	bpf_spin_lock(&tree_lock);
	node = bpf_rbtree_first(&tree);
	if (node)
		value = container_of(node, struct both, tree)->value;
	bpf_spin_unlock(&tree_lock);
	return value;
}

static __always_inline long remove_first(void)
{
	struct bpf_rb_node *node;
	struct both *both;
	long value = -1;

	bpf_spin_lock(&tree_lock);
	node = bpf_rbtree_first(&tree);
	if (!node) {
		bpf_spin_unlock(&tree_lock);
		return -1;
	}
	node = bpf_rbtree_remove(&tree, node);
	bpf_spin_unlock(&tree_lock);
	if (!node)
		return -2;
	both = container_of(node, struct both, tree);
	value = both->value;
	drop(both);
	return value;
}

/* What is at the top, or on a way down from there: left, right. */
static __noinline long at(int depth, int way)
{
	struct bpf_rb_node *node;
	struct both *both;
	long value = -1;
	int i;

	bpf_spin_lock(&tree_lock);
	node = bpf_rbtree_root(&tree);
	if (node && depth > 0)
		node = way & 1 ? bpf_rbtree_right(&tree, node) : bpf_rbtree_left(&tree, node);
	if (node && depth > 1)
		node = way & 2 ? bpf_rbtree_right(&tree, node) : bpf_rbtree_left(&tree, node);
	if (node)
		value = container_of(node, struct both, tree)->value;
	bpf_spin_unlock(&tree_lock);
	return value;
}

static __always_inline void shape(void)
{
	fact(at(0, 0));
	fact(at(1, 0));
	fact(at(1, 1));
	fact(at(2, 0));
	fact(at(2, 1));
	fact(at(2, 2));
	fact(at(2, 3));
}

SEC("syscall")
int sorted(void *ctx)
{
	struct bpf_list_node *node;
	struct both *both;
	int i;

	fact(first());
	fact(remove_first());
	bpf_for(i, 0, 12)
		fact(add((i * 7) % 12, 0));
	shape();
	fact(first());
	fact(remove_first());
	shape();
	fact(remove_first());
	fact(remove_first());
	shape();
	fact(add(5, 1));
	fact(first());
	/* Through the list into the middle of the tree. */
	bpf_for(i, 0, 6) {
		struct bpf_rb_node *removed = 0;

		bpf_spin_lock(&tree_lock);
		node = bpf_list_pop_front(&list);
		if (!node) {
			bpf_spin_unlock(&tree_lock);
			fact(-1);
			continue;
		}
		both = container_of(node, struct both, list);
		removed = bpf_rbtree_remove(&tree, &both->tree);
		bpf_spin_unlock(&tree_lock);
		fact(both->value);
		fact(removed != 0);
		if (removed)
			drop(container_of(removed, struct both, tree));
		drop(both);
	}
	shape();
	fact(first());
	return 0;
}

private(C) struct bpf_spin_lock outer_lock;
private(C) struct bpf_list_head outer __contains(nested, node);

SEC("syscall")
int lists_in_lists(void *ctx)
{
	struct nested *nested = new(struct nested);
	struct item *item = new(struct item);
	struct bpf_list_node *node;

	if (!nested || !item) {
		if (nested)
			drop(nested);
		if (item)
			drop(item);
		return 1;
	}
	item->value = 7;
	nested->value = 8;
	bpf_spin_lock(&nested->lock);
	fact(bpf_list_push_front(&nested->head, &item->node));
	bpf_spin_unlock(&nested->lock);
	bpf_spin_lock(&outer_lock);
	bpf_list_push_front(&outer, &nested->node);
	bpf_spin_unlock(&outer_lock);
	bpf_spin_lock(&outer_lock);
	node = bpf_list_pop_front(&outer);
	bpf_spin_unlock(&outer_lock);
	if (!node)
		return 2;
	nested = container_of(node, struct nested, node);
	fact(nested->value);
	drop(nested);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
