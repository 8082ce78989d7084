// SPDX-License-Identifier: MIT OR Apache-2.0
// Points by systemtap's header, whose arguments are where a compiler puts them.
#include <stdio.h>
#include <sys/sdt.h>

struct job {
	short kind;
	unsigned char flags[4];
	long long amount;
};

static struct job jobs[4] = {{-1, {200, 2, 3, 4}, -5000000000LL}, {7, {1, 255, 9, 8}, 6}};

__attribute__((noinline)) void work(int number, const char *name, struct job *job, long index)
{
	signed char small = (signed char)-number;
	unsigned short middle = (unsigned short)(number * 1000);

	DTRACE_PROBE9(skep_sdt, work, number, name, job->kind, job->flags[1], job->amount, small,
		      middle, jobs[index & 3].amount, &jobs[index & 3]);
	STAP_PROBE1(skep_sdt, done, 42);
}

int main(void)
{
	long times, sum = 0;

	puts("ready");
	fflush(stdout);
	while (scanf("%ld", &times) == 1) {
		for (long i = 0; i < times; i++)
			work(70, "seventy", &jobs[0], 1);
		printf("%ld\n", sum);
		fflush(stdout);
	}
	return 0;
}
