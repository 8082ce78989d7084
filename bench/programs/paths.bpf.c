/* Hot paths: rings to fill and to drain, a hash map to be used from user space. */
#include "bench.h"

struct record { __u64 words[8]; };

struct { __uint(type, MAP_RINGBUF); __uint(max_entries, 16 * 1024 * 1024); } ring SEC(".maps");
struct { __uint(type, MAP_HASH); __uint(max_entries, 16384); __type(key, __u32); __type(value, __u64); } hash SEC(".maps");

/* How many records a run sends, and how many of them found no room. */
__u32 count = 200000;
__u64 lost = 0;

static long quiet(__u32 index, void *context)
{
	struct record record = { .words = { index } };
	lost += ringbuf_output(&ring, &record, sizeof(record), NO_WAKEUP) != 0;
	return 0;
}

static long waking(__u32 index, void *context)
{
	struct record record = { .words = { index } };
	lost += ringbuf_output(&ring, &record, sizeof(record), 0) != 0;
	return 0;
}

SEC("syscall")
int fill(void *ctx)
{
	loop(count, quiet, 0, 0);
	return 0;
}

SEC("syscall")
int produce(void *ctx)
{
	loop(count, waking, 0, 0);
	return 0;
}
