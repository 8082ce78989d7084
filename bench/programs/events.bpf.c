/* Events for `skep run` to print: a burst, once, when some process calls chroot, as the benchmark does. */
#include "bench.h"

enum state { IDLE, RUNNING, GONE };
struct event { __u64 when; __u32 pid; enum state state; char comm[16]; char path[32]; };

struct { __uint(type, MAP_RINGBUF); __uint(max_entries, 64 * 1024 * 1024); __type(value, struct event); } events SEC(".maps");

const volatile __u32 count = 200000;
static __u32 sent;

static long send(__u32 index, void *context)
{
	struct event event = { .when = ktime(), .pid = index, .state = index % 3, .comm = "producer", .path = "/etc/ld.so.cache" };
	ringbuf_output(&events, &event, sizeof(event), index + 1 == count ? 0 : NO_WAKEUP);
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_chroot")
int burst(void *ctx)
{
	if (sent++)
		return 0;
	loop(count, send, 0, 0);
	return 0;
}
