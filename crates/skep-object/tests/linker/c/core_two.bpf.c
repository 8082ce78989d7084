/* SPDX-License-Identifier: MIT OR Apache-2.0
 * See core_one.bpf.c: the same types in another order, other ones of their names, the same section.
 */
#include "shared.h"

char LICENSE[] SEC("license") = "GPL";

struct mm_struct {
	long unused;
} CORE;

struct list_head {
	struct list_head *next, *prev;
} CORE;

struct task_struct___other {
	struct mm_struct *mm;
	int tgid;
	u32 flags;
} CORE;

enum bpf_map_type { BPF_MAP_TYPE_ARRAY = 98 };

u64 also_out[16];

static NOINLINE int tgid_of(struct task_struct___other *task)
{
	int tgid = 0;

	probe_read_kernel(&tgid, sizeof(tgid), &task->tgid);
	return tgid;
}

SEC("raw_tp/sched_switch")
int core_two(void *context)
{
	struct task_struct___other *task = current_task();

	also_out[0] = tgid_of(task);
	also_out[1] = core_offset(struct task_struct, pid);
	also_out[2] = core_info(struct task_struct___other, flags, EXISTS);
	also_out[3] = core_enum_value(enum bpf_map_type, BPF_MAP_TYPE_ARRAY);
	also_out[4] = core_type_size(struct list_head);
	also_out[5] = core_offset(struct task_struct___other, mm);
	return 0;
}
