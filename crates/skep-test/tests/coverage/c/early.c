// Early returns, some of them never.
// run: 1 5
// run: 0 0
// run: 3 200
#include "case.h"

ARRAY(hits, 4);

SEC("syscall")
int test(struct args *args)
{
	__u32 key = args->v[0];
	__u64 *value;

	if (key == 0)
		return -1;
	value = LOOKUP(&hits, &key);
	if (!value)
		return -2;
	if (args->v[1] > 100) {
		*value = 100;
		return 1;
	}
	if (args->v[2] == 77) {
		*value += args->v[3];
		key = 2;
		value = LOOKUP(&hits, &key);
		if (value)
			*value -= 1;
	}
	*value += args->v[1];
	return 0;
}
