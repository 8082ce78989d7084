/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* bpf_helpers.h: printing that came after libbpf 1.1. */
#include "types.h"
#include <bpf/bpf_helpers.h>

extern int bpf_stream_vprintk(int stream_id, const char *fmt__str, const void *args,
			      __u32 len__sz) __ksym __weak;

SEC("syscall")
int stream(void *ctx)
{
	bpf_stream_printk(1, "none\n");
	bpf_stream_printk(2, "%d %p\n", 1, ctx);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
