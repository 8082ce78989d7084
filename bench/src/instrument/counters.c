/* Preloaded into a peer: counts what it allocates, and its time in bpf(2). The same instrument for
 * all peers, whatever they are written in. `instrument.rs` and `rows/row.h` read the counters. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <malloc.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct counters {
	unsigned long live, allocations, bpf_calls, bpf_nanos, load_calls, load_nanos;
} bench_counters;

enum { PROG_LOAD = 5 };

/* glibc's own names for what is replaced here: no dlsym, which allocates. */
void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t), *__libc_memalign(size_t, size_t);
void __libc_free(void *);

static void *made(void *memory)
{
	if (memory) {
		__atomic_add_fetch(&bench_counters.live, malloc_usable_size(memory), __ATOMIC_RELAXED);
		__atomic_add_fetch(&bench_counters.allocations, 1, __ATOMIC_RELAXED);
	}
	return memory;
}

static void gone(void *memory)
{
	if (memory)
		__atomic_sub_fetch(&bench_counters.live, malloc_usable_size(memory), __ATOMIC_RELAXED);
}

void *malloc(size_t size)
{
	return made(__libc_malloc(size));
}

void *calloc(size_t count, size_t size)
{
	return made(__libc_calloc(count, size));
}

void *realloc(void *memory, size_t size)
{
	gone(memory);
	return made(__libc_realloc(memory, size));
}

void *memalign(size_t align, size_t size)
{
	return made(__libc_memalign(align, size));
}

void *aligned_alloc(size_t align, size_t size)
{
	return memalign(align, size);
}

int posix_memalign(void **memory, size_t align, size_t size)
{
	*memory = memalign(align, size);
	return *memory ? 0 : 12;
}

void free(void *memory)
{
	gone(memory);
	__libc_free(memory);
}

static unsigned long now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000ul + time.tv_nsec;
}

long syscall(long number, ...)
{
	static long (*real)(long, ...);
	unsigned long start, took;
	long a, b, c, d, e, f, answer;
	va_list list;

	va_start(list, number);
	a = va_arg(list, long), b = va_arg(list, long), c = va_arg(list, long);
	d = va_arg(list, long), e = va_arg(list, long), f = va_arg(list, long);
	va_end(list);
	if (!real)
		real = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	if (number != SYS_bpf)
		return real(number, a, b, c, d, e, f);
	start = now();
	answer = real(number, a, b, c, d, e, f);
	took = now() - start;
	__atomic_add_fetch(&bench_counters.bpf_calls, 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&bench_counters.bpf_nanos, took, __ATOMIC_RELAXED);
	if (a == PROG_LOAD) {
		__atomic_add_fetch(&bench_counters.load_calls, 1, __ATOMIC_RELAXED);
		__atomic_add_fetch(&bench_counters.load_nanos, took, __ATOMIC_RELAXED);
	}
	return answer;
}
