// A switch, in which some cases are never taken.
// run: 0x0800 1
// run: 0x0806 2
// run: 9 0
#include "case.h"

ARRAY(counts, 8);

static __always_inline void count(__u32 key)
{
	__u64 *value = LOOKUP(&counts, &key);

	if (value)
		*value += 1;
}

SEC("syscall")
int test(struct args *args)
{
	int result = 0;

	switch (args->v[0]) {
	case 0x0800:
		count(1);
		break;
	case 0x86dd:
		count(2);
		break;
	case 0x0806:
		count(3);
		args->v[2] = 7;
		/* fall through */
	case 0x8100:
		args->v[3] = args->v[1] + 1;
		result = 2;
		break;
	default:
		count(0);
		return -1;
	}
	return result + args->v[1];
}
