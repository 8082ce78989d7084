// SPDX-License-Identifier: MIT OR Apache-2.0
// What the tests watch: `getppid N` makes so many system calls, `spin MS` keeps a CPU busy,
// `malloc N` asks for memory so often, `wait` stays until its input ends.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile unsigned long sink;

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

void skep_busy_inner(void)
{
	for (int i = 0; i < 1000000; i++)
		sink += i;
}

void skep_busy_outer(double end)
{
	while (now() < end)
		skep_busy_inner();
}

int main(int argc, char **argv)
{
	long number = argc > 2 ? atol(argv[2]) : 0;
	const char *what = argc > 1 ? argv[1] : "";

	if (!strcmp(what, "getppid"))
		while (number-- > 0)
			syscall(SYS_getppid);
	else if (!strcmp(what, "spin"))
		skep_busy_outer(now() + number);
	else if (!strcmp(what, "malloc"))
		while (number-- > 0)
			sink += (unsigned long)malloc(3000);
	else if (!strcmp(what, "wait"))
		while (getchar() != EOF)
			;
	else
		return 2;
	return 0;
}
