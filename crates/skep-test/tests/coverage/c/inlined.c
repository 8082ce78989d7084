// A function that is inlined in three places, each of which runs another part of it.
// run: 4
// run: 60
#include "case.h"

ARRAY(journal, 8);

static __always_inline int step(__u32 *state, __u32 limit)
{
	__u32 key = 1;
	__u64 *value;

	if (*state < limit) {
		*state += 10;
		return 0;
	}
	value = LOOKUP(&journal, &key);
	if (!value)
		return -1;
	*value += *state;
	return 1;
}

static __always_inline int never(__u32 *state)
{
	__u32 key = 3;
	__u64 *value = LOOKUP(&journal, &key);

	if (value)
		*value = *state;
	return 5;
}

SEC("syscall")
int test(struct args *args)
{
	int result = 0;

	result += step(&args->v[0], 5);
	result += step(&args->v[0], 20);
	result += step(&args->v[0], 20);
	if (args->v[1])
		result += never(&args->v[2]);
	return result;
}
