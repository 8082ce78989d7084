// SPDX-License-Identifier: MIT OR Apache-2.0
// Memory of user space, of the task that the program runs for and of another one; and signals.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include "facts.h"

extern struct task_struct *bpf_task_from_pid(s32 pid) __ksym;
extern void bpf_task_release(struct task_struct *p) __ksym;
extern int bpf_send_signal_task(struct task_struct *task, int sig, enum pid_type type,
	u64 value) __ksym;
extern int bpf_probe_read_user_dynptr(struct bpf_dynptr *dptr, u32 off, u32 size,
	const void *unsafe_ptr) __ksym;
extern int bpf_probe_read_user_str_dynptr(struct bpf_dynptr *dptr, u32 off, u32 size,
	const void *unsafe_ptr) __ksym;
extern int bpf_copy_from_user_dynptr(struct bpf_dynptr *dptr, u32 off, u32 size,
	const void *unsafe_ptr) __ksym;
extern int bpf_copy_from_user_str_dynptr(struct bpf_dynptr *dptr, u32 off, u32 size,
	const void *unsafe_ptr) __ksym;
extern int bpf_copy_from_user_str(void *dst, u32 dst__sz, const void *unsafe_ptr,
	u64 flags) __ksym;
extern int bpf_copy_from_user_task_dynptr(struct bpf_dynptr *dptr, u32 off, u32 size,
	const void *unsafe_ptr, struct task_struct *tsk) __ksym;
extern int bpf_copy_from_user_task_str(void *dst, u32 dst__sz, const void *unsafe_ptr,
	struct task_struct *tsk, u64 flags) __ksym;
extern int bpf_copy_from_user_task_str_dynptr(struct bpf_dynptr *dptr, u32 off, u32 size,
	const void *unsafe_ptr, struct task_struct *tsk) __ksym;

/* The other task. */
volatile const int other = 0;
/* A text of six bytes with its NUL in the task's memory and in the other's, and the ends of their
   stacks, behind which there is nothing. */
volatile const u64 own_text = 0, own_end = 0;
volatile const u64 other_text = 0, other_end = 0;

char memory[32];

/* All of the memory in a number; then it is as before. */
static __noinline u64 spent(void)
{
	u64 sum = 0;
	int i;

	for (i = 0; i < 32; i++) {
		sum = sum * 31 + memory[i];
		memory[i] = 'a' + i % 26;
	}
	return sum;
}

/* Reads into the memory by `read(offset, size, address)`, in all ways that go well or wrong. */
#define WALK(read, text, end) do { \
	spent(); \
	fact(read(0, 6, text)); \
	fact(spent()); \
	fact(read(3, 4, text)); \
	fact(spent()); \
	fact(read(5, 20, text)); \
	fact(memory[5]); \
	fact(memory[9]); \
	fact(memory[10]); \
	spent(); \
	fact(read(0, 0, text)); \
	fact(read(0, 1, text)); \
	fact(spent()); \
	fact(read(0, 33, text)); \
	fact(read(30, 3, text)); \
	fact(read(40, 0, text)); \
	fact(read(0, 8, 0)); \
	fact(spent()); \
	fact(read(2, 8, end)); \
	fact(spent()); \
	fact(read(2, 8, 0xffff800000000000)); \
	fact(spent()); \
} while (0)

SEC("syscall")
int own(void *ctx)
{
	struct bpf_dynptr ptr;

	bpf_dynptr_from_mem(memory, sizeof(memory), 0, &ptr);
#define READ(offset, size, address) \
	bpf_probe_read_user_dynptr(&ptr, offset, size, (void *)(address))
	WALK(READ, own_text, own_end);
#undef READ
#define READ(offset, size, address) \
	bpf_probe_read_user_str_dynptr(&ptr, offset, size, (void *)(address))
	WALK(READ, own_text, own_end);
#undef READ
	return 0;
}

SEC("syscall")
int own_waiting(void *ctx)
{
	struct bpf_dynptr ptr;

	bpf_dynptr_from_mem(memory, sizeof(memory), 0, &ptr);
#define READ(offset, size, address) \
	bpf_copy_from_user_dynptr(&ptr, offset, size, (void *)(address))
	WALK(READ, own_text, own_end);
#undef READ
#define READ(offset, size, address) \
	bpf_copy_from_user_str_dynptr(&ptr, offset, size, (void *)(address))
	WALK(READ, own_text, own_end);
#undef READ
	return 0;
}

SEC("syscall")
int others(void *ctx)
{
	struct task_struct *task = bpf_task_from_pid(other);
	struct bpf_dynptr ptr;

	fact(task != 0);
	if (!task)
		return 1;
	bpf_dynptr_from_mem(memory, sizeof(memory), 0, &ptr);
#define READ(offset, size, address) \
	bpf_copy_from_user_task_dynptr(&ptr, offset, size, (void *)(address), task)
	WALK(READ, other_text, other_end);
#undef READ
#define READ(offset, size, address) \
	bpf_copy_from_user_task_str_dynptr(&ptr, offset, size, (void *)(address), task)
	WALK(READ, other_text, other_end);
#undef READ
	bpf_task_release(task);
	return 0;
}

/* Into memory without a dynptr, with each flag and one that is none. */
#define FLAGS(read, text, end) do { \
	spent(); \
	/* What is behind the NUL is anybody's guess. */ \
	fact(read(20, text, 0)); \
	fact(memory[0]); \
	fact(memory[5]); \
	fact(memory[20]); \
	spent(); \
	fact(read(20, text, 1)); \
	fact(spent()); \
	fact(read(20, text, 2)); \
	fact(read(3, text, 0)); \
	fact(spent()); \
	fact(read(3, text, 1)); \
	fact(spent()); \
	fact(read(6, text, 1)); \
	fact(spent()); \
	fact(read(20, 0, 0)); \
	fact(spent()); \
	fact(read(20, 0, 1)); \
	fact(spent()); \
	fact(read(20, end, 0)); \
	fact(spent()); \
	fact(read(20, end, 1)); \
	fact(spent()); \
} while (0)

SEC("syscall")
int texts(void *ctx)
{
	struct task_struct *task = bpf_task_from_pid(other);

	if (!task)
		return 1;
#define READ(size, address, flags) \
	bpf_copy_from_user_str(memory, size, (void *)(address), flags)
	FLAGS(READ, own_text, own_end);
#undef READ
#define READ(size, address, flags) \
	bpf_copy_from_user_task_str(memory, size, (void *)(address), task, flags)
	FLAGS(READ, other_text, other_end);
#undef READ
	bpf_task_release(task);
	return 0;
}

/* The last one ends the other task. */
SEC("syscall")
int signals(void *ctx)
{
	struct task_struct *task = bpf_task_from_pid(other);

	if (!task)
		return 1;
	fact(bpf_send_signal_task(task, 65, PIDTYPE_PID, 0));
	fact(bpf_send_signal_task(task, -1, PIDTYPE_TGID, 0));
	fact(bpf_send_signal_task(task, 15, PIDTYPE_PGID, 0));
	fact(bpf_send_signal_task(task, 15, PIDTYPE_SID, 0));
	fact(bpf_send_signal_task(task, 0, PIDTYPE_PID, 0));
	fact(bpf_send_signal_task(task, 0, PIDTYPE_TGID, 0));
	fact(bpf_send_signal_task(task, 15, PIDTYPE_TGID, 7));
	bpf_task_release(task);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
