/* Maps of several kinds with initial values, global data, externs of every kind, and programs of
 * several sections. */
#include "corpus.h"

struct event { __u32 pid; char comm[16]; __u64 when; };
struct inner { __uint(type, 2); __uint(max_entries, 1); __type(key, __u32); __type(value, __u64); };

int tail(void *ctx);

struct { __uint(type, 1); __uint(max_entries, 128); __type(key, __u32); __type(value, struct event); __uint(pinning, 1); } seen SEC(".maps");
struct { __uint(type, 27); __uint(max_entries, 4096); __type(value, struct event); } events SEC(".maps");
struct inner one SEC(".maps");
struct { __uint(type, 12); __uint(max_entries, 4); __type(key, __u32); __array(values, struct inner); } nested SEC(".maps") = { .values = { [2] = &one } };
struct { __uint(type, 3); __uint(max_entries, 3); __type(key, __u32); __array(values, int(void *)); } jumps SEC(".maps") = { .values = { [1] = (void *)&tail } };

const volatile __u32 target_pid = 0;
const volatile char prefix[8] = "skep";
__u64 counts[4];
struct event last = { .pid = 7 };
static __u32 hidden = 3;
struct event *pointer SEC(".data.named") = &last;

extern unsigned CONFIG_HZ __kconfig;
extern _Bool CONFIG_BPF __kconfig __weak;
extern int LINUX_KERNEL_VERSION __kconfig;
extern const void init_task __ksym;
extern const int runqueues __ksym __weak;
extern void bpf_rcu_read_lock(void) __ksym __weak;

static __noinline long each(void *map, __u32 *key, struct event *value, __u64 *sum)
{
	*sum += value->when;
	return 0;
}

__noinline __u64 total(void)
{
	__u64 sum = hidden;
	bpf_for_each_map_elem(&seen, each, &sum, 0);
	return sum;
}

SEC("tracepoint/syscalls/sys_enter_openat")
int count(void *ctx)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	struct event event = { .pid = pid, .when = total() };
	if (target_pid && pid != target_pid)
		return 0;
	hidden++;
	counts[pid & 3] += CONFIG_HZ + LINUX_KERNEL_VERSION + prefix[pid & 7];
	if (CONFIG_BPF && &runqueues)
		event.when ^= (__u64)&init_task;
	if (bpf_rcu_read_lock)
		bpf_rcu_read_lock();
	bpf_map_update_elem(&seen, &pid, &event, 0);
	bpf_tail_call(ctx, &jumps, 1);
	return 0;
}

SEC("tracepoint/syscalls/sys_exit_openat")
int tail(void *ctx)
{
	__u32 key = 2;
	void *inner = bpf_map_lookup_elem(&nested, &key);
	last.pid = inner != 0;
	return pointer->pid;
}

SEC("?kprobe/do_nothing")
int optional(void *ctx)
{
	return total();
}

char gpl[] SEC("license") = "GPL";
__u32 linux_6_12 SEC("version") = 0x60c00;
