// Loops: one that is unrolled, one that is not, one that never runs, one left early.
// run: 5 3 0
// run: 17 0 0
#include "case.h"

ARRAY(sums, 4);

SEC("syscall")
int test(struct args *args)
{
	__u32 key = 0, total = 0;
	__u64 *sum = LOOKUP(&sums, &key);

	if (!sum)
		return 1;
	for (int i = 0; i < 8; i++) {
		if (args->v[i] & 1)
			total += args->v[i];
	}
	for (__u32 i = 0; i < args->v[0] && i < 64; i++) {
		*sum += i * total;
		if (*sum > 1000000)
			break;
	}
	while (args->v[2] > 0) {
		args->v[2]--;
		*sum ^= args->v[2];
	}
	do {
		*sum += 3;
	} while (*sum % 8 && total++ < 100);
	return total > 3;
}
