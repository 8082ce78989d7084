// SPDX-License-Identifier: MIT OR Apache-2.0
// Dynptrs: of memory and of ring buffer records.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include "facts.h"

extern int bpf_dynptr_adjust(const struct bpf_dynptr *p, u32 start, u32 end) __ksym;
extern bool bpf_dynptr_is_null(const struct bpf_dynptr *p) __ksym;
extern bool bpf_dynptr_is_rdonly(const struct bpf_dynptr *p) __ksym;
extern __u32 bpf_dynptr_size(const struct bpf_dynptr *p) __ksym;
extern int bpf_dynptr_clone(const struct bpf_dynptr *p, struct bpf_dynptr *clone) __ksym;
extern int bpf_dynptr_copy(struct bpf_dynptr *dst, u32 dst_off, struct bpf_dynptr *src,
	u32 src_off, u32 size) __ksym;
extern int bpf_dynptr_memset(struct bpf_dynptr *p, u32 offset, u32 size, u8 val) __ksym;
extern void *bpf_dynptr_slice(const struct bpf_dynptr *p, u32 offset, void *buffer,
	u32 buffer__szk) __ksym;

char bytes[64] = "0123456789abcdefghijklmnopqrstuvwxyz";
char others[64];

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

SEC("syscall")
int memory(void *ctx)
{
	struct bpf_dynptr ptr, clone, other;
	char buffer[8] = {};
	char *slice;

	fact(bpf_dynptr_from_mem(bytes, sizeof(bytes), 0, &ptr));
	fact(bpf_dynptr_size(&ptr));
	truth(bpf_dynptr_is_null(&ptr));
	truth(bpf_dynptr_is_rdonly(&ptr));
	fact(bpf_dynptr_adjust(&ptr, 4, 3));
	fact(bpf_dynptr_adjust(&ptr, 65, 65));
	fact(bpf_dynptr_adjust(&ptr, 4, 65));
	fact(bpf_dynptr_adjust(&ptr, 4, 36));
	fact(bpf_dynptr_size(&ptr));
	fact(bpf_dynptr_clone(&ptr, &clone));
	fact(bpf_dynptr_size(&clone));
	slice = bpf_dynptr_slice(&ptr, 2, buffer, sizeof(buffer));
	fact(slice ? slice[0] : -1);
	slice = bpf_dynptr_slice(&ptr, 25, buffer, sizeof(buffer));
	fact(slice ? slice[0] : -1);
	slice = bpf_dynptr_slice(&ptr, 24, 0, 8);
	fact(slice ? slice[7] : -1);
	slice = bpf_dynptr_data(&ptr, 0, 8);
	if (slice)
		slice[0] = 'X';
	fact(bytes[4]);
	fact(bpf_dynptr_adjust(&ptr, 32, 32));
	fact(bpf_dynptr_size(&ptr));
	slice = bpf_dynptr_slice(&ptr, 0, buffer, 1);
	fact(slice ? 1 : 0);
	fact(bpf_dynptr_from_mem(others, sizeof(others), 0, &other));
	fact(bpf_dynptr_copy(&other, 1, &clone, 2, 10));
	fact(others[0]);
	fact(others[1]);
	fact(others[10]);
	fact(others[11]);
	fact(bpf_dynptr_copy(&other, 60, &clone, 0, 5));
	fact(bpf_dynptr_copy(&other, 0, &clone, 28, 5));
	fact(bpf_dynptr_copy(&other, 0, &clone, 32, 0));
	fact(bpf_dynptr_copy(&other, 0, &clone, 33, 0));
	fact(bpf_dynptr_copy(&clone, 1, &clone, 0, 8));
	fact(bytes[5]);
	fact(bytes[12]);
	fact(bpf_dynptr_memset(&clone, 3, 4, 'z'));
	fact(bytes[6]);
	fact(bytes[7]);
	fact(bytes[10]);
	fact(bytes[11]);
	fact(bpf_dynptr_memset(&clone, 30, 3, 0));
	fact(bpf_dynptr_memset(&clone, 33, 0, 0));
	return 0;
}

SEC("syscall")
int records(void *ctx)
{
	struct bpf_dynptr ptr, clone;
	char *slice;
	char buffer[4] = {};

	fact(bpf_ringbuf_reserve_dynptr(&ring, 100, 0, &ptr));
	fact(bpf_dynptr_size(&ptr));
	truth(bpf_dynptr_is_null(&ptr));
	fact(bpf_dynptr_memset(&ptr, 0, 100, 'q'));
	slice = bpf_dynptr_slice(&ptr, 96, buffer, sizeof(buffer));
	fact(slice ? slice[3] : -1);
	bpf_ringbuf_discard_dynptr(&ptr, 0);
	fact(bpf_ringbuf_reserve_dynptr(&ring, 8192, 0, &ptr));
	fact(bpf_dynptr_size(&ptr));
	truth(bpf_dynptr_is_null(&ptr));
	truth(bpf_dynptr_is_rdonly(&ptr));
	fact(bpf_dynptr_adjust(&ptr, 0, 0));
	fact(bpf_dynptr_clone(&ptr, &clone));
	truth(bpf_dynptr_is_null(&clone));
	fact(bpf_dynptr_memset(&ptr, 0, 0, 0));
	slice = bpf_dynptr_slice(&ptr, 0, buffer, 1);
	fact(slice ? 1 : 0);
	bpf_ringbuf_discard_dynptr(&ptr, 0);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
