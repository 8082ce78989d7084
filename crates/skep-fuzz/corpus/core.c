/* CO-RE relocations: fields through pointers, arrays and unions, bit-fields, sizes, existence,
 * flavors, types and enumerators. */
#include "corpus.h"

#define preserve __attribute__((preserve_access_index))

enum state { STATE_IDLE, STATE_RUN = 5, STATE_GONE = 77 };
struct list { struct list *next; } preserve;
struct mm { __u64 start; union { __u32 users; __u64 owner; }; } preserve;
struct task_struct {
	__u32 pid, tgid;
	char comm[16];
	struct task_struct *real_parent;
	struct mm *mm;
	struct list children[2];
	unsigned exiting : 1;
	unsigned level : 5;
	enum state state;
} preserve;
struct task_struct___old { long state; struct mm *active_mm; } preserve;
struct absent { int field; } preserve;

enum { KIND_BYTE_OFFSET, KIND_BYTE_SIZE, KIND_EXISTS, KIND_SIGNED, KIND_LSHIFT, KIND_RSHIFT };
#define info(field, kind) __builtin_preserve_field_info(field, kind)

struct { __u64 values[24]; } out;

SEC("tp_btf/sched_switch")
int on_switch(__u64 *ctx)
{
	struct task_struct *task = (void *)ctx[1];
	struct task_struct___old *old = (void *)task;
	out.values[0] = task->pid;
	out.values[1] = task->real_parent->tgid;
	out.values[2] = task->comm[3];
	out.values[3] = (__u64)task->children[1].next;
	out.values[4] = task->mm->users;
	out.values[5] = info(task->exiting, KIND_BYTE_OFFSET);
	out.values[6] = info(task->exiting, KIND_BYTE_SIZE);
	out.values[7] = info(task->level, KIND_LSHIFT);
	out.values[8] = info(task->level, KIND_RSHIFT);
	out.values[9] = info(task->state, KIND_SIGNED);
	if (info(old->state, KIND_EXISTS))
		out.values[10] = old->state;
	if (info(old->active_mm, KIND_EXISTS))
		out.values[11] = (__u64)old->active_mm;
	out.values[12] = __builtin_preserve_type_info(*(struct task_struct *)0, 0);
	out.values[13] = __builtin_preserve_type_info(*(struct task_struct *)0, 1);
	out.values[14] = __builtin_preserve_type_info(*(struct absent *)0, 0);
	out.values[15] = __builtin_preserve_enum_value(*(typeof(enum state) *)STATE_RUN, 0);
	out.values[16] = __builtin_preserve_enum_value(*(typeof(enum state) *)STATE_GONE, 1);
	out.values[17] = __builtin_btf_type_id(*(struct mm *)0, 1);
	out.values[18] = __builtin_btf_type_id(*(struct mm *)0, 0);
#ifdef TYPE_MATCHES
	out.values[19] = __builtin_preserve_type_info(*(struct mm *)0, 2);
#endif
	return 0;
}

char gpl[] SEC("license") = "Dual MIT/GPL";
