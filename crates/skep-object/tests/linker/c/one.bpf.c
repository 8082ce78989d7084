/* SPDX-License-Identifier: MIT OR Apache-2.0
 * The first of two files of one program: it has what the second declares, and the other way round.
 */
#include "shared.h"

char LICENSE[] SEC("license") = "GPL";

/* Maps: one for both, one of the second, one that both define and either would do. */
struct {
	__uint(type, MAP_HASH);
	__uint(max_entries, 16);
	__type(key, struct key);
	__type(value, struct total);
} totals SEC(".maps");

typedef int number;

extern struct {
	__uint(max_entries, 8);
	__type(value, u64);
	__type(key, number);
	__uint(type, MAP_ARRAY);
} results DECLARED;

struct {
	__uint(type, MAP_ARRAY);
	__uint(max_entries, 3);
	__type(key, u32);
	__type(value, u32);
} either SEC(".maps") WEAK;

/* Data: in .bss, .data and .rodata of both, static ones under one name. */
u64 counted;
u8 odd_one = 3;
static volatile int own = 11;
static volatile int own_zero;
const volatile int limit = 1000;
static const volatile int own_limit = 77;
extern int start;
extern const volatile u64 factor;
int contested WEAK = 1;
int settled WEAK = 2;
int in_section SEC(".data.mine") = 5;
int *unused_tag_holder TAG("from one");

extern u32 LINUX_KERNEL_VERSION KCONFIG;
extern enum libbpf_tristate CONFIG_BPF_SYSCALL KCONFIG;
extern const void init_task_not_there KSYM WEAK;

/* Functions: static ones under one name, weak ones, hidden ones, one of the other file. */
static NOINLINE int twice(int value)
{
	return value * 2 + own;
}

NOINLINE WEAK int chosen(int value)
{
	return value + own_zero - 1;
}

NOINLINE WEAK int first_of_weak(int value)
{
	return value + 10 + own_limit;
}

NOINLINE HIDDEN int hidden_here(int value)
{
	return value - own_limit;
}

NOINLINE int pid_of(struct task_struct *task TAG("a task"))
{
	return task ? core_offset(struct task_struct, pid) : 0;
}

int add_all(int, struct key *, struct total *);

static int each(u32 index, void *context)
{
	own_zero += index;
	return 0;
}

SEC("syscall")
int one(void *context)
{
	struct key key = { .id = 1 };
	struct total *total, zero = {};
	u32 slot = 0;
	u64 *result;

	map_update(&totals, &key, &zero, 0);
	total = map_lookup(&totals, &key);
	result = map_lookup(&results, &slot);
	if (!total || !result)
		return 1;
	loop(3, each, 0, 0);
	printk("one counts %d\n", 15, (int)counted);
	counted++;
	own++;
	total->sum = add_all(twice(start), &key, total) * factor + limit;
	*result = chosen(contested) + first_of_weak(settled) + hidden_here(in_section);
	if (&init_task_not_there)
		*result += 1;
	if (CONFIG_BPF_SYSCALL != TRI_YES || LINUX_KERNEL_VERSION < 1)
		return 2;
	return *result + odd_one;
}
