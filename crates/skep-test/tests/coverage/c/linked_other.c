#include "case.h"

ARRAY(numbers, 4);

static __noinline int scale(__u32 number)
{
	if (number == 50)
		return 99;
	return number * 2;
}

int other(__u32 number, __u32 limit)
{
	__u64 *value = LOOKUP(&numbers, &number);

	if (number > limit)
		return -1;
	if (value)
		*value += 1;
	return scale(number);
}
