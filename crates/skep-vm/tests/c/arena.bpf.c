// SPDX-License-Identifier: MIT OR Apache-2.0
// Pages of an arena: given out, taken back, reserved, and what is where none is. Needs clang 19.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include "facts.h"

#define __arena __attribute__((address_space(1)))
#define PAGE 4096
#define PAGES 50

struct {
	__uint(type, BPF_MAP_TYPE_ARENA);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, PAGES);
} arena SEC(".maps");

extern void __arena *bpf_arena_alloc_pages(void *map, void __arena *addr, __u32 count, int node,
	__u64 flags) __ksym __weak;
extern void bpf_arena_free_pages(void *map, void __arena *ptr, __u32 count) __ksym __weak;
extern int bpf_arena_reserve_pages(void *map, void __arena *ptr, __u32 count) __ksym __weak;

__u64 __arena number = 40;

typedef char __arena *page;

/* The arena's first page, which the variables are not in. */
static page base;

/* A page by its number; -1 for none. */
static long at(page p)
{
	return p ? (__u64)(p - base) / PAGE : -1;
}

static page pages(page where, __u32 count)
{
	return bpf_arena_alloc_pages(&arena, where, count, -1, 0);
}

SEC("syscall")
int given_out(void *ctx)
{
	page a, b, c;

	a = pages(0, 1);
	base = a;
	fact(at(a));
	b = pages(0, 3);
	fact(at(b));
	c = pages(0, 2);
	fact(at(c));
	fact(at(pages(0, 0)));
	fact(at(pages(0, PAGES)));
	fact(at(pages(0, PAGES + 1)));
	fact(at(bpf_arena_alloc_pages(&arena, 0, 1, 0, 0)));
	fact(at(bpf_arena_alloc_pages(&arena, 0, 1, -1, 1)));
	fact(at(bpf_arena_alloc_pages(&arena, 0, 1, 9999, 0)));
	fact(at(pages(a, 1)));
	fact(at(pages(a + 20 * PAGE, 2)));
	fact(at(pages(a + 20 * PAGE, 1)));
	fact(at(pages(a + 19 * PAGE, 3)));
	fact(at(pages(a + 18 * PAGE + 1, 1)));
	fact(at(pages(a + (PAGES - 1) * PAGE, 2)));
	fact(at(pages(a + PAGES * PAGE, 1)));
	bpf_arena_free_pages(&arena, b, 3);
	fact(at(pages(0, 2)));
	fact(at(pages(0, 1)));
	fact(at(pages(0, 1)));
	bpf_arena_free_pages(&arena, a, 0);
	bpf_arena_free_pages(&arena, 0, 1);
	fact(at(pages(a, 1)));
	return 0;
}

SEC("syscall")
int touched(void *ctx)
{
	page a, hole;

	a = pages(0, 2);
	base = a;
	fact(*a);
	*a = 7;
	*(a + PAGE) = 8;
	fact(*a + *(a + PAGE));
	/* Where no page is, nothing can be kept. */
	hole = a + 10 * PAGE;
	fact(*hole);
	*hole = 9;
	fact(*hole);
	*(a + 2 * PAGE) = 5;
	fact(*(a + 2 * PAGE));
	bpf_arena_free_pages(&arena, a, 1);
	fact(*a);
	*a = 3;
	fact(*a);
	fact(*(a + PAGE));
	a = pages(a, 1);
	fact(at(a));
	fact(*a);
	number += 2;
	fact(number);
	return 0;
}

SEC("syscall")
int reserved(void *ctx)
{
	page a;

	a = pages(0, 1);
	base = a;
	fact(bpf_arena_reserve_pages(&arena, a, 1));
	fact(bpf_arena_reserve_pages(&arena, a + PAGE, 0));
	fact(bpf_arena_reserve_pages(&arena, a + PAGE, 2));
	fact(bpf_arena_reserve_pages(&arena, a + 2 * PAGE, 2));
	fact(bpf_arena_reserve_pages(&arena, a + PAGES * PAGE, 1));
	fact(at(pages(0, 1)));
	fact(at(pages(a + PAGE, 1)));
	fact(*(a + PAGE));
	bpf_arena_free_pages(&arena, a + PAGE, 1);
	fact(at(pages(a + PAGE, 1)));
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
