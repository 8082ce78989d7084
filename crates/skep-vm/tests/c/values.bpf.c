// SPDX-License-Identifier: MIT OR Apache-2.0
// Values as text by their types.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include "facts.h"

char text[1024];

/* Adds a byte of the text to a sum that knows its place. */
static int add(__u32 at, __u64 *sum)
{
	if (at >= sizeof(text) || !text[at])
		return 1;
	*sum = *sum * 31 + (__u8)text[at];
	return 0;
}

/* A number for a text: its length, and the sum of its bytes. */
static __noinline void say(long length)
{
	__u64 sum = 0;

	bpf_loop(sizeof(text), add, &sum, 0);
	fact(length);
	fact(sum);
}

#define SHOW(type, ...) ({ \
	static type value = __VA_ARGS__; \
	struct btf_ptr ptr = { .ptr = &value, .type_id = bpf_core_type_id_kernel(type) }; \
	int flags; \
	for (flags = 0; flags < 16; flags++) { \
		if (raw && !(flags & BTF_F_PTR_RAW)) \
			continue; \
		say(bpf_snprintf_btf(text, sizeof(text), &ptr, sizeof(ptr), flags)); \
	} \
})

SEC("syscall")
int structures(void *ctx)
{
	int raw = 0;

	SHOW(struct xdp_md, { 1, 2, 0, 4 });
	SHOW(struct xdp_md, {});
	SHOW(struct bpf_sock, { .family = 2, .src_ip6 = { 1, 0, 3, 0 } });
	return 0;
}

SEC("syscall")
int pointers(void *ctx)
{
	int raw = 1;

	SHOW(struct bpf_fib_lookup, { .family = 2, .ipv6_src = { 0, 9 }, .smac = { 'a', 0, 'b' },
		.dmac = { 1, 'c' } });
	SHOW(struct bpf_fib_lookup, { .ifindex = 7, .tbid = 5 });
	SHOW(struct btf_ptr, { .ptr = (void *)5, .flags = 1 });
	SHOW(struct list_head, { (void *)0x1234, 0 });
	return 0;
}

SEC("syscall")
int scalars(void *ctx)
{
	int raw = 0;

	SHOW(enum bpf_map_type, 1);
	SHOW(enum bpf_map_type, 1000);
	SHOW(__u64, 7);
	SHOW(int, -5);
	SHOW(int, 0);
	SHOW(bool, 1);
	return 0;
}

SEC("syscall")
int faults(void *ctx)
{
	static int value = 12345678;
	struct btf_ptr ptr = { .ptr = &value, .type_id = bpf_core_type_id_kernel(int) };

	fact(bpf_snprintf_btf(text, sizeof(text), &ptr, sizeof(ptr), 16));
	fact(bpf_snprintf_btf(text, sizeof(text), &ptr, 8, 0));
	fact(bpf_snprintf_btf(text, 5, &ptr, sizeof(ptr), 0));
	fact(text[3]);
	fact(text[4]);
	fact(bpf_snprintf_btf(text, 1, &ptr, sizeof(ptr), 0));
	fact(text[0]);
	ptr.type_id = 0;
	fact(bpf_snprintf_btf(text, sizeof(text), &ptr, sizeof(ptr), 0));
	ptr.type_id = 10000000;
	fact(bpf_snprintf_btf(text, sizeof(text), &ptr, sizeof(ptr), 0));
	ptr.type_id = bpf_core_type_id_kernel(int);
	ptr.ptr = 0;
	fact(bpf_snprintf_btf(text, sizeof(text), &ptr, sizeof(ptr), 0));
	ptr.ptr = (void *)0xffff800000000000ULL;
	fact(bpf_snprintf_btf(text, sizeof(text), &ptr, sizeof(ptr), 0));
	return 0;
}

char _license[] SEC("license") = "GPL";
