// Conditions of several parts, and ternaries.
// run: 1 1 1
// run: 1 0 1 9
// run: 0 0 0 3
#include "case.h"

ARRAY(seen, 8);

static __noinline int mark(__u32 key, __u64 add)
{
	__u64 *value = LOOKUP(&seen, &key);

	if (!value)
		return 0;
	*value += add;
	return *value > 2;
}

SEC("syscall")
int test(struct args *args)
{
	int result = 0;

	if (args->v[0] && args->v[1] && mark(1, args->v[2]))
		result += mark(2, 1);
	if (args->v[3] == 9 || mark(3, 1) || args->v[4] == 5)
		result += mark(4, 2);
	if (!(args->v[0] || args->v[1]))
		args->v[5] = mark(5, 1) ? mark(6, 1) : mark(7, 1);
	args->v[6] = args->v[3] > 5 ? args->v[0] : args->v[1];
	return result;
}
