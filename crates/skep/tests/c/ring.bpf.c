// SPDX-License-Identifier: MIT OR Apache-2.0
// Fills a ring buffer by hand: a `syscall` program makes as many records as it is told.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#define SHORT 1         // every third record is four bytes
#define DISCARD 2       // every other record is given up
#define LENGTHS 4       // records of 16 to 80 bytes

struct record {
	__u64 number;
	__u64 check;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
	__type(value, struct record);
} events SEC(".maps");

struct args {
	__u32 count;
	__u32 mode;
	__u64 first;
	__u64 submitted;
	__u64 lost;
};

static long one(__u32 index, void *data)
{
	struct args *args = data;
	__u64 number = args->first + index;
	__u64 bytes[10];
	__u32 size = sizeof(struct record);

	if (args->mode & DISCARD && number & 1) {
		void *room = bpf_ringbuf_reserve(&events, sizeof(struct record), 0);

		if (room)
			bpf_ringbuf_discard(room, 0);
		return 0;
	}
	if (args->mode & LENGTHS)
		size += (number % 9) * 8;
	if (args->mode & SHORT && number % 3 == 0)
		size = 4;
	for (int i = 0; i < 10; i++)
		bytes[i] = number ^ 0x5555;
	bytes[0] = number;
	// Never; but the verifier wants to hear it, and clang must not know.
	asm volatile("" : "+r"(size));
	if (size > sizeof(bytes))
		return 1;
	if (bpf_ringbuf_output(&events, bytes, size, 0))
		args->lost++;
	else
		args->submitted++;
	return 0;
}

SEC("syscall")
int produce(struct args *args)
{
	struct args own = *args;

	// Masked, as clang leaves `mode` in the register's upper half, which the kernel's inlined
	// loop compares too.
	bpf_loop(own.count & 0xffff, one, &own, 0);
	args->submitted = own.submitted;
	args->lost = own.lost;
	return 7;
}

char LICENSE[] SEC("license") = "GPL";
