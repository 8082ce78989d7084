// SPDX-License-Identifier: MIT OR Apache-2.0
// Programs that were compiled for another kernel: types of other layouts, with fields that the
// machine does not have, kfuncs of several shapes, and hooks that are found by name.
#include <linux/types.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

// What an older <linux/bpf.h> does not have.
struct bpf_iter_num {
	__u64 __opaque[1];
};
struct bpf_rb_root;
struct bpf_rb_node;

#define RELOCATED __attribute__((preserve_access_index))

struct task_struct {
	long somewhere_else;
	int tgid;
	int pid;
	struct task_struct *real_parent;
	int no_such_field;
} RELOCATED;

enum bpf_map_type___other { BPF_MAP_TYPE_HASH___other = 77 };

struct bpf_rb_node *bpf_rbtree_first(struct bpf_rb_root *root) __ksym;
void *bpf_dynptr_slice(const struct bpf_dynptr *p, __u32 offset, void *buffer, __u32 size) __ksym;
int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __ksym;
int *bpf_iter_num_next(struct bpf_iter_num *it) __ksym;
void bpf_iter_num_destroy(struct bpf_iter_num *it) __ksym;
int bpf_no_such_kfunc(void) __ksym __weak;

SEC("syscall")
long fields(struct task_struct *task)
{
	long sum = task->tgid;
	if (bpf_core_field_exists(task->no_such_field))
		sum += 1000;
	if (bpf_core_field_exists(task->pid))
		sum += bpf_core_field_offset(task->pid);
	return sum + bpf_core_type_size(struct task_struct) +
	       bpf_core_enum_value(enum bpf_map_type___other, BPF_MAP_TYPE_HASH___other);
}

SEC("syscall")
int kfuncs(void *ctx)
{
	struct bpf_iter_num it;
	int sum = 0, *next;
	if (bpf_no_such_kfunc)
		return bpf_no_such_kfunc();
	bpf_iter_num_new(&it, 0, 5);
	while ((next = bpf_iter_num_next(&it)))
		sum += *next;
	bpf_iter_num_destroy(&it);
	bpf_rbtree_first((void *)ctx);
	bpf_dynptr_slice((void *)ctx, 0, 0, 4);
	return sum;
}

SEC("tp_btf/sys_enter")
int traced(void *ctx)
{
	return 0;
}

SEC("iter/bpf_map_elem")
int iterated(void *ctx)
{
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
