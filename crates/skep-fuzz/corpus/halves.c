/* Two files of one program, by -DHALF=1 and -DHALF=2: each has what the other declares. Small: what
 * damages one must often hit what linking looks at. */
#include "corpus.h"

char LICENSE[] SEC("license") = "GPL";

struct key {
	long id;
};

#define MAP(kind)                         \
	struct {                          \
		__uint(type, kind);       \
		__uint(max_entries, 4);   \
		__type(key, struct key);  \
		__type(value, __u64);     \
	}
#define DECLARED __attribute__((section(".maps")))

static __s32 own = HALF;
static __noinline int helper(int x)
{
	own++;
	return x + own;
}

__weak __noinline int either(int x)
{
	return x + HALF;
}

extern __u32 LINUX_KERNEL_VERSION __kconfig;
extern void bpf_rcu_read_lock(void) __ksym;

#if HALF == 1
MAP(1) here SEC(".maps");
extern MAP(1) there DECLARED;
__s32 both __weak = 1;
extern const volatile __u64 factor;
extern int add(struct key *key, int x);

SEC("syscall")
int first(void *ctx)
{
	struct key key = { .id = both };
	__u64 *value = bpf_map_lookup_elem(&there, &key);

	if (!value)
		return bpf_map_lookup_elem(&here, &key) != 0;
	bpf_rcu_read_lock();
	*value += factor + LINUX_KERNEL_VERSION;
	return add(&key, helper(either(1)));
}
#else
extern MAP(1) here DECLARED;
MAP(1) there SEC(".maps");
__s32 both = 2;
const volatile __u64 factor = 3;

struct task_struct {
	int pid;
} __attribute__((preserve_access_index));

__noinline int add(struct key *key, int x)
{
	return key ? key->id + helper(x) : x;
}

SEC("syscall")
int second(void *ctx)
{
	struct key key = { .id = either(both) };
	struct task_struct *task = (void *)bpf_get_current_pid_tgid();
	int pid = 0;

	bpf_probe_read_kernel(&pid, sizeof(pid), &task->pid);
	if (bpf_map_lookup_elem(&here, &key))
		return LINUX_KERNEL_VERSION;
	bpf_rcu_read_lock();
	return helper(pid);
}
#endif
