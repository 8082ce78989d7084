// SPDX-License-Identifier: MIT OR Apache-2.0
// What the tests of sampling watch. With "spin" it says where its functions are and is busy until
// it is killed; with "waits" one thread is busy while others wait again and again, and it says by
// its status whether a wait was cut short.
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile unsigned long sink;
static volatile int ended;

__attribute__((noinline)) static void inner(unsigned long rounds)
{
	for (unsigned long i = 0; i < rounds; i++)
		sink += i;
}

__attribute__((noinline)) static void outer(unsigned long rounds)
{
	inner(rounds);
	sink++;
}

__attribute__((noinline)) static void calls(void)
{
	long value;

	__asm__ volatile("syscall" : "=a"(value) : "a"(SYS_getppid) : "rcx", "r11", "memory");
	sink += value;
}

static void *spins(void *nothing)
{
	while (!ended)
		outer(10000);
	return nothing;
}

static long now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static void *waits(void *cut)
{
	int events = epoll_create1(0);
	struct epoll_event event;
	long end = now() + 1500;

	while (now() < end) {
		outer(100);
		if (epoll_wait(events, &event, 1, 1) < 0 && errno == EINTR)
			__sync_fetch_and_add((int *)cut, 1);
	}
	close(events);
	return NULL;
}

static int all_wait(void)
{
	pthread_t busy, threads[8];
	int cut = 0;

	if (pthread_create(&busy, NULL, spins, NULL))
		return 1;
	for (int i = 0; i < 8; i++)
		if (pthread_create(&threads[i], NULL, waits, &cut))
			return 1;
	for (int i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
	ended = 1;
	pthread_join(busy, NULL);
	return cut ? 9 : 0;
}

int main(int count, char **arguments)
{
	if (count > 1 && !strcmp(arguments[1], "waits"))
		return all_wait();
	calls();
	printf("%p %p %p %p\n", (void *)inner, (void *)outer, (void *)calls, (void *)main);
	fflush(stdout);
	for (;;)
		outer(1000000);
}
