/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Every kind of CO-RE relocation, on every kind of instruction that carries one.
 */
#include <vmlinux.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

char LICENSE[] SEC("license") = "GPL";

__u64 seen[32];

struct task_struct___flavor {
	int pid;
	char comm[16];
} __attribute__((preserve_access_index));

struct task_struct___old {
	long state;
	int no_such_field;
} __attribute__((preserve_access_index));

struct no_such_struct {
	int field;
} __attribute__((preserve_access_index));

enum no_such_enum { NO_SUCH_VALUE = 1 };

enum bpf_map_type___less { BPF_MAP_TYPE_HASH___less = 1, BPF_MAP_TYPE_NONE___less = 77 };

/* Loads, stores and addresses; nested, in arrays, in unions, through pointers. */
SEC("tp_btf/sched_switch")
int fields(__u64 *context)
{
	struct task_struct *task = (void *)context[1];
	struct task_struct___flavor *flavor = (void *)context[1];
	struct task_struct___old *old = (void *)context[1];

	seen[0] = task->pid;
	seen[1] = task->comm[3];
	seen[2] = task->se.load.weight;
	seen[3] = BPF_CORE_READ(task, real_parent, real_parent, tgid);
	seen[4] = BPF_CORE_READ(flavor, pid);
	seen[5] = bpf_core_field_exists(old->no_such_field) ? BPF_CORE_READ(old, no_such_field) : 0;
	seen[6] = BPF_CORE_READ(task, thread_pid, numbers[0].nr);
	return 0;
}

SEC("tp_btf/sched_switch")
int facts(__u64 *context)
{
	struct task_struct *task = (void *)context[1];
	struct task_struct___old *old = (void *)context[1];

	seen[7] = bpf_core_field_offset(task->comm);
	seen[8] = bpf_core_field_size(task->comm);
	seen[9] = bpf_core_field_exists(task->comm);
	seen[10] = bpf_core_field_exists(old->state);
	seen[11] = __builtin_preserve_field_info(task->pid, BPF_FIELD_SIGNED);
	return 0;
}

SEC("tp_btf/sched_switch")
int bit_fields(__u64 *context)
{
	struct task_struct *task = (void *)context[1];

	seen[12] = BPF_CORE_READ_BITFIELD(task, in_execve);
	seen[13] = BPF_CORE_READ_BITFIELD_PROBED(task, sched_reset_on_fork);
	return 0;
}

SEC("tp_btf/sched_switch")
int types(__u64 *context)
{
	seen[14] = bpf_core_type_exists(struct task_struct);
	seen[15] = bpf_core_type_exists(struct no_such_struct);
	seen[16] = bpf_core_type_size(struct task_struct);
	seen[17] = bpf_core_type_id_kernel(struct task_struct);
	seen[18] = bpf_core_type_id_local(struct task_struct);
	seen[19] = bpf_core_type_size(struct no_such_struct);
#if __clang_major__ >= 15
	seen[20] = bpf_core_type_matches(struct task_struct___flavor);
	seen[21] = bpf_core_type_matches(struct no_such_struct);
#endif
	return 0;
}

SEC("tp_btf/sched_switch")
int enumerators(__u64 *context)
{
	seen[22] = bpf_core_enum_value_exists(enum bpf_map_type, BPF_MAP_TYPE_HASH);
	seen[23] = bpf_core_enum_value(enum bpf_map_type, BPF_MAP_TYPE_RINGBUF);
	seen[24] = bpf_core_enum_value_exists(enum no_such_enum, NO_SUCH_VALUE);
	seen[25] = bpf_core_enum_value_exists(enum bpf_map_type___less, BPF_MAP_TYPE_HASH___less);
	seen[26] = bpf_core_enum_value_exists(enum bpf_map_type___less, BPF_MAP_TYPE_NONE___less);
	return 0;
}

/* Reached only where the field is: refused by the verifier if it is. */
SEC("?tp_btf/sched_switch")
int reached(__u64 *context)
{
	struct task_struct___old *old = (void *)context[1];

	return BPF_CORE_READ(old, no_such_field);
}
