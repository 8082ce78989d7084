/* SPDX-License-Identifier: MIT OR Apache-2.0
 * One use of each thing that some kernel is too old for.
 */
#include "test.h"

char LICENSE[] SEC("license") = "GPL";

static long (*const probe_read_user)(void *to, u32 size, const void *from) = (void *)112;
static long (*const probe_read_user_str)(void *to, u32 size, const void *from) = (void *)114;
static long (*const probe_read_kernel_str)(void *to, u32 size, const void *from) = (void *)115;

struct shape {
	float width;
	double height;
	int TAG("field") sides;
};

struct {
	__uint(type, MAP_HASH);
	__uint(max_entries, 8);
	__type(key, u32);
	__type(value, struct shape);
} shapes SEC(".maps");

enum signed_values { MINUS = -1, PLUS = 1 };

enum signed_values chosen = PLUS;
int own SEC(".data.own") = 3;
static const char text[] = "constant";

NOINLINE int global_function(int x)
{
	return x + own;
}

static NOINLINE int static_function(int x)
{
	return x * 2;
}

SEC("cgroup/connect4")
int connects(void *context)
{
	return 1;
}

SEC("kprobe/do_exit")
int plain(void *context)
{
	u32 key = 1;
	char buffer[16] = {};

	probe_read_kernel(buffer, 8, context);
	probe_read_user(buffer, 8, context);
	probe_read_kernel_str(buffer, 8, context);
	probe_read_user_str(buffer, 8, context);
	map_update(&shapes, &key, buffer, 0);
	return static_function(key);
}

SEC("kprobe/do_exit")
int globals(void *context)
{
	return global_function(chosen);
}
