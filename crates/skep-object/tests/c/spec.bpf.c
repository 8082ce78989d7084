/* SPDX-License-Identifier: MIT OR Apache-2.0
 * One of each thing that a Spec has.
 */
#include "test.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

enum level { LOW, HIGH };

struct event {
	u32 pid;
	char comm[16];
	enum level level;
};

struct key {
	u32 a;
	u16 b;
};

struct {
	__uint(type, MAP_RINGBUF);
	__uint(max_entries, 4096);
#ifndef ORACLE /* libbpf hands the kernel the size of an event, and is refused */
	__type(value, struct event);
#endif
} events SEC(".maps") TAG("skep:event") TAG("second");

struct {
	__uint(type, MAP_PERF_EVENT_ARRAY);
	__type(key, u32);
#ifndef ORACLE
	__type(value, struct event);
#else
	__type(value, u32);
#endif
} perf SEC(".maps");

struct {
	__uint(type, MAP_HASH);
	__uint(max_entries, 128);
	__uint(map_flags, 1);
	__uint(pinning, 0);
	__type(key, struct key);
	__type(value, u64);
} counts SEC(".maps");

#ifndef ORACLE /* libbpf has no static maps */
static
#endif
struct {
	__uint(type, MAP_ARRAY);
	__uint(max_entries, 4);
	__uint(key_size, 4);
	__uint(value_size, 32);
} unexported SEC(".maps");

struct {
	__uint(type, MAP_BLOOM_FILTER);
	__uint(max_entries, 100);
	__uint(map_extra, 5);
	__type(value, u32);
} seen SEC(".maps");

struct {
	__uint(type, MAP_STACK_TRACE);
	__uint(max_entries, 64);
	__uint(key_size, 4);
	__uint(value_size, 1016);
} stacks SEC(".maps");

struct inner {
	__uint(type, MAP_ARRAY);
	__uint(max_entries, 2);
	__type(key, u32);
	__type(value, u64);
};

struct inner first SEC(".maps");
struct inner second SEC(".maps");

struct {
	__uint(type, MAP_ARRAY_OF_MAPS);
	__uint(max_entries, 4);
	__uint(key_size, 4);
	__array(values, struct inner);
} outer SEC(".maps") = {
	.values = { [0] = (void *)&first, [2] = (void *)&second },
};

int tail(void *context);

struct {
	__uint(type, MAP_PROG_ARRAY);
	__uint(max_entries, 4);
	__uint(key_size, 4);
	__array(values, int (void *));
} tails SEC(".maps") = {
	.values = { [1] = (void *)&tail },
};

const volatile u32 target_pid = 7;
const volatile char prefix[8] = "abc";
const volatile enum level threshold = HIGH;
u64 total;
u32 limits[4] = { 1, 2, 3, 4 };
static volatile u32 hidden_count;
u32 custom SEC(".data.custom") = 9;
u32 scratch[16] SEC(".bss.scratch");

extern int LINUX_KERNEL_VERSION KCONFIG;
extern _Bool CONFIG_BPF_SYSCALL KCONFIG WEAK;
extern int CONFIG_NOT_THERE KCONFIG WEAK;
extern const void nothing_of_that_name KSYM WEAK;
extern void no_such_function(void) KSYM WEAK;

static NOINLINE u64 helper_static(u32 value)
{
	return ktime() + value + hidden_count;
}

NOINLINE int helper_global(u32 value)
{
	return helper_static(value) & 0xff;
}

HIDDEN NOINLINE int helper_hidden(u32 value)
{
	return helper_static(value + 1) & 0x7f;
}

static long callback(u32 index, void *context)
{
	total += index + limits[index & 3];
	return 0;
}

SEC("tp/syscalls/sys_enter_openat")
int enter(void *context)
{
	struct event event = { .pid = current_pid_tgid() >> 32, .level = threshold };
	u32 zero = 0;
	u64 *count;

	if (target_pid && event.pid != target_pid)
		return helper_global(event.pid) + helper_hidden(event.pid);
	count = map_lookup(&unexported, &zero);
	if (count)
		*count += custom + scratch[3];
	loop(4, callback, 0, 0);
	event.comm[0] = prefix[1];
	ringbuf_output(&events, &event, sizeof(event), 0);
	return 0;
}

SEC("tp/syscalls/sys_enter_openat")
int enter_again(void *context)
{
	struct key key = { .a = helper_static(3), .b = 1 };
	u64 one = 1;

	if (LINUX_KERNEL_VERSION < 100 || !CONFIG_BPF_SYSCALL || CONFIG_NOT_THERE)
		return 1;
	if (&nothing_of_that_name)
		return 2;
	if (no_such_function)
		no_such_function();
	map_update(&counts, &key, &one, 0);
	return 0;
}

SEC("socket")
int tail(void *context)
{
	return 0;
}

SEC("socket")
int jump(void *context)
{
	tail_call(context, &tails, 1);
	return helper_global(total);
}

SEC("?xdp")
int optional(void *context)
{
	return 2;
}
