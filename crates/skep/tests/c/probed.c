// SPDX-License-Identifier: MIT OR Apache-2.0
// What the uprobe tests watch: calls a function of its own and one of the C library as often as
// it is told on a line of its input.
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

long skep_probed(long number)
{
	return number * 3;
}

int main(void)
{
	long (*volatile call)(long) = skep_probed;
	long times, sum = 0;

	puts("ready");
	fflush(stdout);
	while (scanf("%ld", &times) == 1) {
		for (long i = 0; i < times; i++) {
			sum += call(14);
			getpriority(PRIO_PROCESS, 0);
		}
		printf("%ld\n", sum);
		fflush(stdout);
	}
	return 0;
}
