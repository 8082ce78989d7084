// Subprograms, a callback, and functions that nobody calls.
// run: 6 0
#include "case.h"

ARRAY(values, 8);

struct walk {
	__u32 stop_at;
	__u32 rounds;
};

static long each(__u32 index, void *ctx)
{
	struct walk *walk = ctx;

	walk->rounds++;
	if (index == walk->stop_at)
		return 1;
	return 0;
}

static long unused(__u32 index, void *ctx)
{
	struct walk *walk = ctx;

	walk->rounds += index;
	return 0;
}

__noinline int store(__u32 key, __u64 number)
{
	__u64 *value = LOOKUP(&values, &key);

	if (!value)
		return -1;
	*value = number;
	return 0;
}

__noinline int uncalled(__u32 key)
{
	return store(key + 1, 1);
}

SEC("syscall")
int test(struct args *args)
{
	struct walk walk = { .stop_at = args->v[0] };

	bpf_loop(20, each, &walk, 0);
	if (args->v[1]) {
		bpf_loop(20, unused, &walk, 0);
		store(1, walk.rounds);
	}
	store(2, walk.rounds);
	return store(9, 1) ? 1 : 0;
}
