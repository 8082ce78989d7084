/* SPDX-License-Identifier: MIT OR Apache-2.0
 * The second of two files of one program: see one.bpf.c.
 */
#include "shared.h"

char _license[] SEC("license") = "GPL";

extern struct {
	__type(value, struct total);
	__type(key, struct key);
	__uint(type, MAP_HASH);
	__uint(max_entries, 16);
} totals DECLARED;

struct {
	__uint(type, MAP_ARRAY);
	__type(key, int);
	__type(value, u64);
	__uint(max_entries, 8);
} results SEC(".maps");

struct {
	__uint(max_entries, 3);
	__uint(type, MAP_ARRAY);
	__type(value, u32);
	__type(key, u32);
} either SEC(".maps") WEAK;

static volatile int own = 22;
static volatile int own_zero;
static const volatile int own_limit = 88;
extern u64 counted;
u8 odd_two = 5;
int start = 5;
const volatile u64 factor = 3;
int contested = 100;
int settled WEAK = 200;
int in_other_section SEC(".data.mine") = 6;

extern u32 LINUX_KERNEL_VERSION KCONFIG;
extern int CONFIG_HZ_not_there KCONFIG WEAK;
extern void bpf_rcu_read_lock(void) KSYM;
extern void bpf_rcu_read_unlock(void) KSYM;

static NOINLINE int twice(int value)
{
	return value * 2 + own * own_limit;
}

NOINLINE int chosen(int value)
{
	return value + 1000 + own_zero;
}

NOINLINE WEAK int first_of_weak(int value)
{
	return value + 20;
}

extern int hidden_here(int value);
extern int pid_of(struct task_struct *task);

NOINLINE int add_all(int value, struct key *key, struct total *total)
{
	if (!key || !total)
		return 0;
	total->calls += 1;
	own_zero++;
	return twice(value) + hidden_here(key->id);
}

static int each(u32 index, void *context)
{
	counted += index;
	return 0;
}

SEC("syscall")
int two(void *context)
{
	struct task_struct *task = current_task_btf();
	u32 slot = 1;
	u64 *result = map_lookup(&results, &slot);
	u32 *weak = map_lookup(&either, &slot);

	if (!result || !weak)
		return 1;
	bpf_rcu_read_lock();
	loop(2, each, 0, 0);
	bpf_rcu_read_unlock();
	printk("two: a longer text, %d\n", 24, slot);
	*weak = task->tgid;
	*result = counted + odd_two + start + in_other_section;
	return first_of_weak(1) + (CONFIG_HZ_not_there != 0) + (LINUX_KERNEL_VERSION < 1);
}

SEC("tp_btf/sched_switch")
int switched(u64 *context)
{
	return twice(chosen(own_zero));
}
