// SPDX-License-Identifier: MIT OR Apache-2.0
// Dynptrs of packets, pulled data: on a packet of 3600 bytes, of which XDP has the last
// 80 in a fragment.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include "facts.h"

extern int bpf_dynptr_from_skb(struct __sk_buff *s, __u64 flags, struct bpf_dynptr *ptr) __ksym;
extern int bpf_dynptr_from_xdp(struct xdp_md *x, __u64 flags, struct bpf_dynptr *ptr) __ksym;
extern int bpf_dynptr_adjust(const struct bpf_dynptr *p, __u32 start, __u32 end) __ksym;
extern bool bpf_dynptr_is_rdonly(const struct bpf_dynptr *p) __ksym;
extern __u32 bpf_dynptr_size(const struct bpf_dynptr *p) __ksym;
extern int bpf_dynptr_memset(struct bpf_dynptr *p, __u32 offset, __u32 size, __u8 val) __ksym;
extern int bpf_dynptr_copy(struct bpf_dynptr *dst, __u32 dst_off, struct bpf_dynptr *src,
	__u32 src_off, __u32 size) __ksym;
extern void *bpf_dynptr_slice(const struct bpf_dynptr *p, __u32 offset, void *buffer,
	__u32 buffer__szk) __ksym;
extern void *bpf_dynptr_slice_rdwr(const struct bpf_dynptr *p, __u32 offset, void *buffer,
	__u32 buffer__szk) __ksym;
extern int bpf_xdp_pull_data(struct xdp_md *x, __u32 len) __ksym;

static __always_inline void around(struct bpf_dynptr *ptr)
{
	__u8 buffer[16] = {};
	__u8 *slice;

	fact(bpf_dynptr_size(ptr));
	fact(bpf_dynptr_is_rdonly(ptr));
	fact(bpf_dynptr_read(buffer, 16, ptr, 0, 0));
	fact(buffer[0]);
	fact(bpf_dynptr_read(buffer, 16, ptr, 3512, 0));
	fact(buffer[15]);
	fact(bpf_dynptr_read(buffer, 16, ptr, 3584, 0));
	fact(buffer[15]);
	fact(bpf_dynptr_read(buffer, 16, ptr, 3585, 0));
	fact(bpf_dynptr_read(buffer, 16, ptr, 0, 1));
	slice = bpf_dynptr_slice(ptr, 14, buffer, 16);
	fact(slice ? slice[0] : -1);
	slice = bpf_dynptr_slice(ptr, 3512, buffer, 16);
	fact(slice ? slice[15] : -1);
	slice = bpf_dynptr_slice(ptr, 3590, buffer, 16);
	fact(slice ? slice[15] : -1);
}

static __always_inline void change(struct bpf_dynptr *ptr)
{
	__u8 buffer[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
	__u8 *slice;

	fact(bpf_dynptr_write(ptr, 100, buffer, 16, 0));
	fact(bpf_dynptr_write(ptr, 3512, buffer, 16, 0));
	fact(bpf_dynptr_write(ptr, 3590, buffer, 16, 0));
	fact(bpf_dynptr_write(ptr, 200, buffer, 16, 1));
	fact(bpf_dynptr_write(ptr, 200, buffer, 16, 8));
	slice = bpf_dynptr_slice_rdwr(ptr, 300, buffer, 16);
	if (slice)
		slice[1] = 0x77;
	fact(bpf_dynptr_memset(ptr, 400, 300, 0x55));
	fact(bpf_dynptr_memset(ptr, 3400, 300, 0x55));
	fact(bpf_dynptr_memset(ptr, 3400, 200, 0x56));
	fact(bpf_dynptr_copy(ptr, 10, ptr, 3300, 300));
	fact(bpf_dynptr_adjust(ptr, 20, 3300));
	fact(bpf_dynptr_size(ptr));
	fact(bpf_dynptr_read(buffer, 16, ptr, 0, 0));
	fact(buffer[3]);
	fact(bpf_dynptr_read(buffer, 16, ptr, 3270, 0));
}

SEC("tc")
int tc_dynptr(struct __sk_buff *skb)
{
	struct bpf_dynptr ptr;

	fact(bpf_dynptr_from_skb(skb, 1, &ptr));
	fact(bpf_dynptr_from_skb(skb, 0, &ptr));
	around(&ptr);
	change(&ptr);
	return 0;
}

SEC("socket")
int socket_dynptr(struct __sk_buff *skb)
{
	struct bpf_dynptr ptr;

	fact(bpf_dynptr_from_skb(skb, 0, &ptr));
	around(&ptr);
	return 0;
}

SEC("cgroup_skb/ingress")
int cgroup_dynptr(struct __sk_buff *skb)
{
	struct bpf_dynptr ptr;

	fact(bpf_dynptr_from_skb(skb, 0, &ptr));
	around(&ptr);
	return 1;
}

SEC("xdp.frags")
int xdp_dynptr(struct xdp_md *ctx)
{
	struct bpf_dynptr ptr;

	fact(bpf_dynptr_from_xdp(ctx, 1, &ptr));
	fact(bpf_dynptr_from_xdp(ctx, 0, &ptr));
	around(&ptr);
	change(&ptr);
	return XDP_PASS;
}

static __always_inline void lengths(struct xdp_md *ctx)
{
	fact((long)ctx->data_end - (long)ctx->data);
	fact((long)ctx->data - (long)ctx->data_meta);
	fact(bpf_xdp_get_buff_len(ctx));
}

SEC("xdp.frags")
int xdp_pull(struct xdp_md *ctx)
{
	fact(bpf_xdp_pull_data(ctx, 100));
	lengths(ctx);
	fact(bpf_xdp_pull_data(ctx, 3601));
	lengths(ctx);
	fact(bpf_xdp_pull_data(ctx, 3550));
	lengths(ctx);
	fact(bpf_xdp_adjust_head(ctx, -200));
	fact(bpf_xdp_adjust_head(ctx, -186));
	fact(bpf_xdp_adjust_head(ctx, 16));
	lengths(ctx);
	fact(bpf_xdp_adjust_tail(ctx, 4000));
	fact(bpf_xdp_adjust_tail(ctx, 4047));
	fact(bpf_xdp_adjust_tail(ctx, -10));
	lengths(ctx);
	fact(bpf_xdp_pull_data(ctx, 3600));
	lengths(ctx);
	fact(bpf_xdp_adjust_tail(ctx, -600));
	lengths(ctx);
	fact(bpf_xdp_adjust_tail(ctx, 600));
	lengths(ctx);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
