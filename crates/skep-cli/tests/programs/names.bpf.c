// Everything that a disassembly has a name for: maps, globals, helpers, functions, CO-RE.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct task_struct {
	int pid;
} __attribute__((preserve_access_index));

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u64);
} hits SEC(".maps");

const volatile __u32 padding = 1;
const volatile __u32 target_pid = 0;

static __attribute__((noinline)) int count(__u32 pid)
{
	__u64 *seen = bpf_map_lookup_elem(&hits, &pid);

	if (!seen)
		return 0;
	*seen += padding;
	return 1;
}

SEC("tp_btf/sched_switch")
int on_switch(__u64 *ctx)
{
	struct task_struct *next = (struct task_struct *)ctx[2];
	__u32 pid = next->pid;

	if (target_pid && pid != target_pid)
		return 0;
	return count(pid);
}

SEC("tracepoint/syscalls/sys_enter_getpid")
int on_getpid(void *ctx)
{
	return count(bpf_get_current_pid_tgid() >> 32);
}

char LICENSE[] SEC("license") = "GPL";
