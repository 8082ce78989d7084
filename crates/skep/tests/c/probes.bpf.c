// SPDX-License-Identifier: MIT OR Apache-2.0
// A program for each way to a function of user space, and a tracepoint that may be written to. The
// tests load one at a time and say where.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

__u64 hits;

#define COUNTING(name, section)                                                 \
	SEC("?" section) int name(void *ctx)                                    \
	{                                                                       \
		__sync_fetch_and_add(&hits, 1);                                 \
		return 0;                                                       \
	}

COUNTING(uprobe, "uprobe")
COUNTING(uprobe_s, "uprobe.s")
COUNTING(uretprobe, "uretprobe")
COUNTING(uretprobe_s, "uretprobe.s")
COUNTING(uprobe_multi, "uprobe.multi")
COUNTING(uprobe_multi_s, "uprobe.multi.s")
COUNTING(uretprobe_multi, "uretprobe.multi")
COUNTING(uretprobe_multi_s, "uretprobe.multi.s")
COUNTING(uprobe_session, "uprobe.session")
COUNTING(uprobe_session_s, "uprobe.session.s")
COUNTING(writable, "raw_tp.w/bpf_test_finish")

SEC("?xdp")
int passes(void *ctx)
{
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
