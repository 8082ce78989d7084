/* The tool whose start is measured: CO-RE reads of a task, a hash map, a ring buffer. libbpf 1.1
 * takes no types on rings. */
#include "bench.h"

struct task_struct {
	int pid, tgid;
	char comm[16];
	struct task_struct *real_parent;
} __attribute__((preserve_access_index));

struct event { __u32 pid, parent; __u64 when; };

struct { __uint(type, MAP_HASH); __uint(max_entries, 10240); __type(key, __u32); __type(value, __u64); } switches SEC(".maps");
struct { __uint(type, MAP_RINGBUF); __uint(max_entries, 256 * 1024); } events SEC(".maps");

SEC("tp_btf/sched_switch")
int on_switch(__u64 *ctx)
{
	struct task_struct *task = (void *)ctx[2];
	struct event event = { .pid = task->pid, .parent = task->real_parent->tgid, .when = ktime() };
	__u64 one = 1, *count = map_lookup(&switches, &event.pid);
	if (count)
		*count += 1;
	else
		map_update(&switches, &event.pid, &one, 0);
	ringbuf_output(&events, &event, sizeof(event), 0);
	return 0;
}
