// SPDX-License-Identifier: MIT OR Apache-2.0
// Maps and data that stand outside of .maps and .data, for the tests of hostile bytes.
#include "test.h"

struct def { u32 type, key, value, entries, flags; };
struct def first SEC("maps") = { MAP_HASH, 4, 8, 10, 1 };
struct def second SEC("maps") = { MAP_ARRAY, 4, 16, 3 };

struct {
	__uint(type, 33);
	__uint(map_flags, 1024);
	__uint(max_entries, 4);
} arena SEC(".maps");

int here SEC(".addr_space.1") = 7;
int each SEC(".percpu") = 3;

// By its section and size a jump table, though no compiler here writes one.
u64 table[2] SEC(".jumptables") = { 0, 8 };

SEC("struct_ops/run")
int run(void *c)
{
	return 0;
}

struct ops {
	int (*run)(void *);
	u32 flags;
	u64 gone;
};
SEC(".struct_ops.link") struct ops mine = { .run = run, .flags = 5 };
SEC("?.struct_ops") struct ops on_request = { .run = run };

SEC("socket")
int p(u64 *c)
{
	u32 key = 0;

	if (*c == (u64)table)
		return here;
	return !map_lookup(&first, &key) + !map_lookup(&second, &key) + each;
}

char LICENSE[] SEC("license") = "GPL";
