/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Every way in which an instruction refers to something: R_BPF_64_64 and R_BPF_64_32, by symbols
 * that are static, global, weak, hidden or a section's, with and without addends; and what the
 * data of a map refers to, R_BPF_64_ABS64.
 */
#include <vmlinux.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

/* Maps. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} first SEC(".maps"), second SEC(".maps");

struct inner {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, __u32);
};

struct inner inner SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 4);
	__type(key, __u32);
	__array(values, struct inner);
} outer SEC(".maps") = { .values = { [3] = &inner } };

int target(void *context);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 4);
	__uint(key_size, 4);
	__array(values, int(void *));
} tails SEC(".maps") = { .values = { [2] = (void *)&target } };

/* Global data: initialised, zero, constant, of sections of their own, static and weak. */
__u64 data = 1;
__u64 data_array[4] = { 1, 2, 3, 4 };
__u64 zero;
__u64 zero_array[4];
const volatile __u64 constant = 7;
const volatile __u64 constant_array[4] = { 5, 6, 7, 8 };
__u64 own_data SEC(".data.own") = 3;
const volatile __u64 own_constant SEC(".rodata.own") = 4;
__u64 own_zero SEC(".bss.own");
__u64 weak_data __weak = 9;
__u64 hidden_data __hidden = 10;
static volatile __u64 static_data = 11;
static volatile __u64 static_zero;
static const volatile __u64 static_constant = 12;

SEC("socket")
int globals(void *context)
{
	__u32 at = data & 3;

	zero += data + data_array[1] + data_array[at] + zero_array[2];
	own_zero += own_data + own_constant + constant + constant_array[3] + constant_array[at];
	static_zero += static_data + static_constant + weak_data + hidden_data;
	return static_zero;
}

SEC("socket")
int maps(void *context)
{
	__u32 key = 0;
	__u64 *one = bpf_map_lookup_elem(&first, &key), *two = bpf_map_lookup_elem(&second, &key);
	void *in = bpf_map_lookup_elem(&outer, &key);

	bpf_tail_call(context, &tails, 2);
	return one && two && in;
}

/* Calls: static, global, weak, hidden; of those that call. */
static __noinline __u64 leaf(__u64 n) { return n * 3 + static_data; }
static __noinline __u64 nested(__u64 n) { return leaf(n) + leaf(n + 1); }
__noinline int global_function(__u64 n) { return nested(n); }
__weak __noinline int weak_function(__u64 n) { return leaf(n) ^ 5; }
__hidden __noinline int hidden_function(__u64 n) { return leaf(n) ^ 6; }

static __noinline __u64 beside(__u64 n) { return nested(n) ^ zero; }

SEC("socket")
int target(void *context)
{
	return beside(data) + global_function(zero);
}

SEC("socket")
int calls(void *context)
{
	return beside(zero) + nested(data) + global_function(data) + weak_function(data) +
	       hidden_function(data);
}

/* Addresses of functions. */
static long each(__u32 index, void *context)
{
	zero_array[index & 3] += leaf(index);
	return 0;
}

static long every(struct bpf_map *map, __u32 *key, __u64 *value, void *context)
{
	zero += *value + nested(*value);
	return 0;
}

SEC("socket")
int callbacks(void *context)
{
	bpf_loop(4, each, NULL, 0);
	bpf_loop(5, each, NULL, 0);
	bpf_for_each_map_elem(&first, every, NULL, 0);
	return 0;
}

/* What the kernel gives. */
extern int LINUX_KERNEL_VERSION __kconfig;
extern bool CONFIG_BPF_SYSCALL __kconfig;
extern bool CONFIG_BPF_JIT __kconfig __weak;
extern enum libbpf_tristate CONFIG_NET __kconfig;
extern int CONFIG_NR_CPUS __kconfig;
extern char CONFIG_CC_VERSION_TEXT[64] __kconfig;
extern int CONFIG_OF_NOTHING __kconfig __weak;
extern const void schedule __ksym;
extern const void no_such_symbol __ksym __weak;
extern struct task_struct *bpf_task_acquire(struct task_struct *task) __ksym;
extern void bpf_task_release(struct task_struct *task) __ksym;
extern void no_such_function(void) __ksym __weak;

SEC("socket")
int configuration(void *context)
{
	return LINUX_KERNEL_VERSION + CONFIG_BPF_SYSCALL + CONFIG_BPF_JIT + CONFIG_NET +
	       CONFIG_NR_CPUS + CONFIG_CC_VERSION_TEXT[1] + CONFIG_OF_NOTHING;
}

SEC("tp_btf/task_newtask")
int symbols(__u64 *context)
{
	struct task_struct *task = bpf_task_acquire((struct task_struct *)context[0]);

	if (&no_such_symbol)
		zero += 1;
	if (no_such_function)
		no_such_function();
	if (task)
		bpf_task_release(task);
	return 0;
}

SEC("tp_btf/task_newtask")
int address(__u64 *context)
{
	zero = (__u64)&schedule;
	return 0;
}
