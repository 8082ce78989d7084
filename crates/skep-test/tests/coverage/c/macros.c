// Macros of several lines, and code that is dead.
// run: 3 4
#include "case.h"

ARRAY(values, 8);

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition))                                                                  \
			return -1;                                                                 \
	} while (0)

#define ADD(where, number)                                                                         \
	({                                                                                         \
		__u32 add_key = where;                                                             \
		__u64 *add_value = LOOKUP(&values, &add_key);                                      \
		if (add_value)                                                                     \
			*add_value += (number);                                                    \
	})

static const int debug = 0;

SEC("syscall")
int test(struct args *args)
{
	CHECK(args->v[0] < 8);
	CHECK(args->v[1] < 8);
	ADD(args->v[0], 1);
	ADD(args->v[1],
	    args->v[0] + 1);
	if (debug)
		ADD(7, 1);
	if (args->v[0] > args->v[1])
		ADD(6, 2);
	return 0;
}
