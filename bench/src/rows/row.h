/* What the rows in C share: a clock, and what `instrument/counters.c` counted. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct counters {
	unsigned long live, allocations, bpf_calls, bpf_nanos, load_calls, load_nanos;
};

static inline double now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e9 + time.tv_nsec;
}

static inline struct counters counters(void)
{
	struct counters none = {}, *shared = dlsym(RTLD_DEFAULT, "bench_counters");
	return shared ? *shared : none;
}
