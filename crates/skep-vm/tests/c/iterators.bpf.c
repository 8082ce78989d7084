// SPDX-License-Identifier: MIT OR Apache-2.0
// Open-coded iterators over numbers and bits.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include "facts.h"

extern int bpf_iter_bits_new(struct bpf_iter_bits *it, const u64 *unsafe_ptr,
	u32 nr_words) __ksym;
extern int *bpf_iter_bits_next(struct bpf_iter_bits *it) __ksym;
extern void bpf_iter_bits_destroy(struct bpf_iter_bits *it) __ksym;

static __noinline void from_to(int start, int end, int most)
{
	struct bpf_iter_num it;
	int *number;
	int i;

	fact(bpf_iter_num_new(&it, start, end));
	bpf_repeat(7) {
		if (most-- <= 0)
			break;
		number = bpf_iter_num_next(&it);
		fact(number ? *number : -1000);
		if (!number)
			break;
	}
	bpf_iter_num_destroy(&it);
}

SEC("syscall")
int numbers(void *ctx)
{
	from_to(0, 3, 5);
	from_to(-2, 1, 5);
	from_to(5, 5, 2);
	from_to(5, 4, 2);
	from_to(0, 0x7fffffff, 2);
	from_to(0, 1 << 23, 2);
	from_to(0, (1 << 23) + 1, 2);
	from_to((int)0x80000000, (int)0x80000001, 3);
	from_to(0x7ffffffe, 0x7fffffff, 3);
	from_to(0x7fffffff, 0x7fffffff, 3);
	from_to((int)0x80000000, (int)0x80000000, 3);
	return 0;
}

__u64 words[512] = { 0x8000000000000005ull, 0, 0x10, 0xff00000000000000ull };

static __noinline void bits(const __u64 *from, __u32 count)
{
	struct bpf_iter_bits it;
	int *bit;

	fact(bpf_iter_bits_new(&it, from, count));
	bpf_repeat(20) {
		bit = bpf_iter_bits_next(&it);
		fact(bit ? *bit : -1000);
		if (!bit)
			break;
	}
	bpf_iter_bits_destroy(&it);
}

SEC("syscall")
int set_bits(void *ctx)
{
	bits(words, 1);
	bits(words, 2);
	bits(words, 4);
	bits(words + 1, 1);
	bits(words, 0);
	bits(0, 1);
	bits(words, 511);
	bits(words, 512);
	bits((__u64 *)-8, 1);
	bits((__u64 *)8, 2);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
