/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Every kind of CO-RE relocation, against types of every kernel.
 */
#include "test.h"

char LICENSE[] SEC("license") = "GPL";

typedef struct { int counter; } atomic_t;

struct list_head {
	struct list_head *next, *prev;
} CORE;

struct task_struct {
	unsigned int flags;
	int pid;
	int tgid;
	struct task_struct *real_parent;
	char comm[16];
	struct list_head tasks;
	unsigned in_execve : 1;
	unsigned sched_reset_on_fork : 1;
} CORE;

struct task_struct___renamed {
	long never_had_this;
} CORE;

struct sk_buff___some {
	unsigned int len;
	u8 pkt_type : 3;
	u8 cloned : 1;
	u16 protocol;
} CORE;

struct no_such_struct {
	int x;
} CORE;

enum bpf_map_type___part { BPF_MAP_TYPE_HASH___x = 77, BPF_MAP_TYPE_NOT_THERE___x = 5 };

struct path___part {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

u64 results[32];

SEC("raw_tp/sched_switch")
int fields(void *context)
{
	struct task_struct *task = current_task_btf();
	struct task_struct *next;
	u64 probe;

	results[0] = task->pid;
	results[1] = task->real_parent->tgid;
	results[2] = task->comm[3];
	results[3] = core_offset(struct task_struct, tasks.prev);
	results[4] = core_info(struct task_struct, comm, BYTE_SIZE);
	results[5] = core_info(struct task_struct, pid, SIGNED);
	results[6] = core_info(struct task_struct, flags, SIGNED);
	results[7] = core_info(struct task_struct, sched_reset_on_fork, LSHIFT);
	results[8] = core_info(struct task_struct, sched_reset_on_fork, RSHIFT);
	results[9] = core_info(struct task_struct, sched_reset_on_fork, BYTE_OFFSET);
	results[10] = core_info(struct task_struct, sched_reset_on_fork, BYTE_SIZE);
	results[11] = core_info(struct task_struct, pid, EXISTS);
	results[12] = core_info(struct task_struct___renamed, never_had_this, EXISTS);
	results[13] = core_offset(struct sk_buff___some, protocol);
	results[14] = core_info(struct sk_buff___some, cloned, BYTE_OFFSET);
	results[15] = core_info(struct sk_buff___some, cloned, LSHIFT);
	if (core_info(struct task_struct___renamed, never_had_this, EXISTS))
		results[16] = ((struct task_struct___renamed *)task)->never_had_this;
	probe_read_kernel(&next, sizeof(next), __builtin_preserve_access_index(&task->real_parent));
	probe_read_kernel(&probe, sizeof(probe), __builtin_preserve_access_index(&next[2].comm[5]));
	results[17] = probe;
	return 0;
}

SEC("raw_tp/sched_switch")
int types(void *context)
{
	results[0] = core_type_exists(struct task_struct);
	results[1] = core_type_exists(struct no_such_struct);
	results[2] = core_type_size(struct list_head);
	results[3] = core_type_size(struct no_such_struct);
#if __clang_major__ >= 15
	results[4] = core_type_matches(struct list_head);
	results[5] = core_type_matches(struct path___part);
	results[6] = core_type_matches(struct task_struct);
#endif
	results[7] = core_type_id_target(struct task_struct);
	results[8] = core_type_id_local(struct task_struct);
	results[9] = core_type_exists(atomic_t);
	results[10] = core_enum_exists(enum bpf_map_type___part, BPF_MAP_TYPE_HASH___x);
	results[11] = core_enum_exists(enum bpf_map_type___part, BPF_MAP_TYPE_NOT_THERE___x);
	results[12] = core_enum_value(enum bpf_map_type___part, BPF_MAP_TYPE_HASH___x);
	return 0;
}
