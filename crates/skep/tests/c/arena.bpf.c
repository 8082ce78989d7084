// SPDX-License-Identifier: MIT OR Apache-2.0
// Variables in an arena, and pointers into it that both sides follow. Needs clang 19.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#define __arena __attribute__((address_space(1)))

struct {
	__uint(type, BPF_MAP_TYPE_ARENA);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 100);
} arena SEC(".maps");

struct item {
	struct item __arena *next;
	__u64 number;
};

struct item __arena *first;
struct item __arena item_in_arena = { .number = 40 };
__u64 __arena sum_in_arena = 2;
__u64 __arena zeroes[600];

SEC("syscall")
int walk(void *ctx)
{
	struct item __arena *item = &item_in_arena;

	item->number += sum_in_arena;
	sum_in_arena = item->number + zeroes[599];
	zeroes[599] = 7;
	first = item;
	return item->number;
}

char LICENSE[] SEC("license") = "GPL";
