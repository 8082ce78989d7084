// Two files, linked statically.
// with: linked_other.c
// run: 1 2
// run: 7 0
#include "case.h"

extern int other(__u32 number, __u32 limit);

SEC("syscall")
int test(struct args *args)
{
	int result = other(args->v[0], 5);

	if (result < 0)
		return 1;
	if (result == 99)
		args->v[2] = 3;
	args->v[3] = result;
	return 0;
}
