/* SPDX-License-Identifier: MIT OR Apache-2.0
 * CO-RE relocations of every kind, behind code and types that the other file moves.
 */
#include "shared.h"

char LICENSE[] SEC("license") = "GPL";

struct list_head {
	struct list_head *next, *prev;
} CORE;

struct not_in_kernels {
	int some;
} CORE;

enum bpf_map_type { BPF_MAP_TYPE_HASH = 99 };

u64 out[16];

SEC("raw_tp/sched_switch")
int core_one(void *context)
{
	struct task_struct *task = current_task();
	int pid;

	probe_read_kernel(&pid, sizeof(pid), &task->pid);
	out[0] = pid;
	out[1] = core_offset(struct task_struct, tgid);
	out[2] = core_info(struct task_struct, tgid, BYTE_SIZE);
	out[3] = core_info(struct task_struct, tgid, SIGNED);
	out[4] = core_type_exists(struct not_in_kernels);
	out[5] = core_type_size(struct list_head);
	out[6] = core_enum_value(enum bpf_map_type, BPF_MAP_TYPE_HASH);
	out[7] = core_type_id_target(struct list_head);
	out[8] = core_enum_exists(enum bpf_map_type, BPF_MAP_TYPE_HASH);
	return 0;
}
