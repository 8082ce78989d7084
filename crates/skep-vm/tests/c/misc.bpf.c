// SPDX-License-Identifier: MIT OR Apache-2.0
// Counts of maps, streams, work queues, tasks, memory of user space.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include "facts.h"
#include "renamed.h"

extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;
extern s64 bpf_map_sum_elem_count(const struct bpf_map *map) __ksym;
extern int bpf_wq_init(struct bpf_wq *wq, void *map, unsigned int flags) __ksym;
extern int bpf_wq_start(struct bpf_wq *wq, unsigned int flags) __ksym;
extern struct task_struct *bpf_task_acquire(struct task_struct *p) __ksym;
extern void bpf_task_release(struct task_struct *p) __ksym;
extern struct task_struct *bpf_task_from_pid(s32 pid) __ksym;
extern struct task_struct *bpf_task_from_vpid(s32 vpid) __ksym;
extern struct cgroup *bpf_cgroup_from_id(u64 cgid) __ksym;
extern struct cgroup *bpf_cgroup_ancestor(struct cgroup *cgrp, int level) __ksym;
extern struct cgroup *bpf_cgroup_acquire(struct cgroup *cgrp) __ksym;
extern void bpf_cgroup_release(struct cgroup *cgrp) __ksym;
extern long bpf_task_under_cgroup(struct task_struct *task, struct cgroup *ancestor) __ksym;
extern int bpf_copy_from_user_str(void *dst, u32 dst__sz, const void *unsafe_ptr,
	u64 flags) __ksym;
extern int bpf_probe_read_kernel_dynptr(struct bpf_dynptr *dptr, u32 off, u32 size,
	const void *unsafe_ptr) __ksym;
extern int bpf_probe_read_kernel_str_dynptr(struct bpf_dynptr *dptr, u32 off, u32 size,
	const void *unsafe_ptr) __ksym;
extern int bpf_probe_read_user_dynptr(struct bpf_dynptr *dptr, u32 off, u32 size,
	const void *unsafe_ptr) __ksym;
extern int bpf_copy_from_user_dynptr(struct bpf_dynptr *dptr, u32 off, u32 size,
	const void *unsafe_ptr) __ksym;
extern int bpf_copy_from_user_str_dynptr(struct bpf_dynptr *dptr, u32 off, u32 size,
	const void *unsafe_ptr) __ksym;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__type(key, int);
	__type(value, int);
} hash SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 8);
	__type(key, int);
	__type(value, int);
} array SEC(".maps");

SEC("syscall")
int counts(void *ctx)
{
	int key, i;

	fact(bpf_map_sum_elem_count((struct bpf_map *)&hash));
	fact(bpf_map_sum_elem_count((struct bpf_map *)&array));
	bpf_for(i, 0, 5) {
		key = i;
		bpf_map_update_elem(&hash, &key, &key, 0);
	}
	fact(bpf_map_sum_elem_count((struct bpf_map *)&hash));
	key = 3;
	bpf_map_delete_elem(&hash, &key);
	fact(bpf_map_sum_elem_count((struct bpf_map *)&hash));
	return 0;
}

struct work {
	struct bpf_wq work;
	int done;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, int);
	__type(value, struct work);
} works SEC(".maps");

static int worked(void *map, int *key, void *value)
{
	struct work *work = value;

	work->done++;
	return 0;
}

SEC("syscall")
int queues(void *ctx)
{
	int one = 1;
	struct work *work = bpf_map_lookup_elem(&works, &one);

	if (!work)
		return 1;
	fact(bpf_wq_start(&work->work, 0));
	fact(bpf_wq_set_callback(&work->work, worked, 0));
	fact(bpf_wq_init(&work->work, &works, 1));
	fact(bpf_wq_init(&work->work, &works, 0));
	fact(bpf_wq_init(&work->work, &works, 0));
	fact(bpf_wq_set_callback(&work->work, worked, 1));
	fact(bpf_wq_set_callback(&work->work, worked, 0));
	fact(bpf_wq_start(&work->work, 1));
	fact(bpf_wq_start(&work->work, 0));
	return 0;
}

SEC("syscall")
int tasks(void *ctx)
{
	struct task_struct *current = bpf_get_current_task_btf(), *task, *again;
	int pid = bpf_get_current_pid_tgid();

	task = bpf_task_from_pid(pid);
	fact(task != 0);
	if (task) {
		fact(task == current);
		fact(task->pid == pid);
		again = bpf_task_acquire(task);
		fact(again == task);
		if (again)
			bpf_task_release(again);
		bpf_task_release(task);
	}
	task = bpf_task_from_vpid(pid);
	fact(task == current);
	if (task)
		bpf_task_release(task);
	task = bpf_task_from_pid(-1);
	fact(task != 0);
	if (task)
		bpf_task_release(task);
	task = bpf_task_from_vpid(0x3fffffff);
	fact(task != 0);
	if (task)
		bpf_task_release(task);
	return 0;
}

SEC("syscall")
int cgroups(void *ctx)
{
	struct cgroup *own, *root, *none;

	own = bpf_cgroup_from_id(bpf_get_current_cgroup_id());
	fact(own != 0);
	if (!own)
		return 1;
	fact(bpf_task_under_cgroup(bpf_get_current_task_btf(), own));
	root = bpf_cgroup_ancestor(own, 0);
	fact(root != 0);
	if (root) {
		fact(root->level);
		fact(bpf_task_under_cgroup(bpf_get_current_task_btf(), root));
		none = bpf_cgroup_acquire(root);
		fact(none == root);
		if (none)
			bpf_cgroup_release(none);
		bpf_cgroup_release(root);
	}
	none = bpf_cgroup_ancestor(own, 1000);
	fact(none != 0);
	if (none)
		bpf_cgroup_release(none);
	none = bpf_cgroup_ancestor(own, -1);
	fact(none != 0);
	if (none)
		bpf_cgroup_release(none);
	bpf_cgroup_release(own);
	none = bpf_cgroup_from_id(0xfffffffffffful);
	fact(none != 0);
	if (none)
		bpf_cgroup_release(none);
	return 0;
}

char source[16] = "hello";

SEC("syscall")
int streams(void *ctx)
{
	static const char text[] = "%d and %s\n", wrong[] = "%";
	__u64 values[2];

	values[0] = 7;
	values[1] = (__u64)source;

	/* Not all kernels find memory for these. */
	bpf_stream_vprintk(1, text, values, 16);
	bpf_stream_vprintk(2, text, values, 16);
	fact(bpf_stream_vprintk(3, text, values, 16));
	fact(bpf_stream_vprintk(0, text, values, 16));
	fact(bpf_stream_vprintk(1, text, values, 8));
	fact(bpf_stream_vprintk(1, text, values, 12));
	fact(bpf_stream_vprintk(1, wrong, values, 0));
	return 0;
}

char memory[32] = "0123456789abcdef";

SEC("syscall")
int reading(void *ctx)
{
	struct bpf_dynptr ptr;
	char text[8] = "xxxxxxx";

	bpf_dynptr_from_mem(memory, sizeof(memory), 0, &ptr);
	fact(bpf_probe_read_kernel_dynptr(&ptr, 0, 3, source));
	fact(memory[0]);
	fact(memory[3]);
	fact(bpf_probe_read_kernel_dynptr(&ptr, 30, 3, source));
	fact(bpf_probe_read_kernel_dynptr(&ptr, 4, 2, (void *)-1));
	fact(bpf_probe_read_kernel_dynptr(&ptr, 4, 0, source));
	fact(bpf_probe_read_kernel_str_dynptr(&ptr, 8, 16, source));
	fact(memory[8]);
	fact(memory[13]);
	fact(memory[14]);
	fact(bpf_probe_read_kernel_str_dynptr(&ptr, 8, 3, source));
	fact(memory[10]);
	fact(bpf_probe_read_kernel_str_dynptr(&ptr, 8, 0, source));
	fact(bpf_probe_read_kernel_str_dynptr(&ptr, 8, 3, (void *)-1));
	fact(memory[8]);
	fact(bpf_probe_read_kernel_str_dynptr(&ptr, 31, 3, source));
	fact(bpf_probe_read_user_dynptr(&ptr, 0, 3, 0));
	fact(memory[0]);
	fact(bpf_copy_from_user_dynptr(&ptr, 0, 3, 0));
	fact(bpf_copy_from_user_dynptr(&ptr, 31, 3, 0));
	fact(bpf_copy_from_user_str_dynptr(&ptr, 0, 3, 0));
	fact(bpf_copy_from_user_str(text, sizeof(text), 0, 0));
	fact(text[0]);
	fact(bpf_copy_from_user_str(text, sizeof(text), 0, 2));
	return 0;
}

extern void *bpf_cast_to_kern_ctx(void *context) __ksym;
extern void *bpf_rdonly_cast(const void *object, u32 type) __ksym;

SEC("syscall")
int casts(void *ctx)
{
	struct task_struct *own = bpf_get_current_task_btf(), *task;
	u32 type = bpf_core_type_id_kernel(struct task_struct);
	char *bytes;

	task = bpf_rdonly_cast((void *)bpf_get_current_task(), type);
	fact(task == own);
	fact(task->pid == (u32)bpf_get_current_pid_tgid());
	fact(task->group_leader->pid == own->tgid);
	/* What is nowhere reads as 0. */
	task = bpf_rdonly_cast(0, type);
	fact(task->pid);
	task = bpf_rdonly_cast((void *)0xffff800000000000, type);
	fact(task->pid);
	fact((u64)task->group_leader);
	/* No type: bytes. */
	bytes = bpf_rdonly_cast(source, 0);
	fact(bytes[0]);
	fact(bytes[4]);
	fact(*(u32 *)(bytes + 1));
	return 0;
}

SEC("tc")
int kernel_packet(struct __sk_buff *context)
{
	struct sk_buff *skb = bpf_cast_to_kern_ctx(context);

	fact(skb->len);
	fact(skb->data_len);
	fact(skb->mark);
	fact(skb->protocol);
	fact(skb->network_header - skb->mac_header);
	fact((__u64)skb->data - (__u64)skb->head - skb->mac_header);
	fact(skb->dev->ifindex);
	return 0;
}

SEC("xdp")
int kernel_frame(struct xdp_md *context)
{
	struct xdp_buff *xdp = bpf_cast_to_kern_ctx(context);

	fact(xdp->data_end - xdp->data);
	fact(xdp->data - xdp->data_hard_start);
	fact(xdp->data_meta - xdp->data);
	fact(xdp->rxq->queue_index);
	return 2;
}

extern int bpf_iter_task_new(struct bpf_iter_task *it, struct task_struct *task,
	unsigned int flags) __ksym;
extern struct task_struct *bpf_iter_task_next(struct bpf_iter_task *it) __ksym;
extern void bpf_iter_task_destroy(struct bpf_iter_task *it) __ksym;

static __noinline void find_own(int threads, unsigned int flags)
{
	struct task_struct *current = bpf_get_current_task_btf(), *task;
	struct bpf_iter_task it;
	int found = 0, others = 0;

	bpf_rcu_read_lock();
	fact(bpf_iter_task_new(&it, threads ? current : 0, flags));
	bpf_repeat(100000) {
		task = bpf_iter_task_next(&it);
		if (!task)
			break;
		if (task == current)
			found++;
		else if (threads && task->tgid != current->tgid)
			others++;
	}
	bpf_iter_task_destroy(&it);
	bpf_rcu_read_unlock();
	fact(found);
	fact(others);
}

SEC("syscall")
int all_tasks(void *ctx)
{
	find_own(0, 1);
	find_own(1, 2);
	find_own(0, 2);
	find_own(0, 3);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
