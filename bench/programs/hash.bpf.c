/* A hash map to be used from user space. */
#include "bench.h"

struct { __uint(type, MAP_HASH); __uint(max_entries, 131072); __type(key, __u32); __type(value, __u64); } hash SEC(".maps");

/* Some loaders make only maps that a program uses. */
SEC("xdp")
int user(void *ctx)
{
	__u32 key = 0;
	return map_lookup(&hash, &key) != 0;
}
