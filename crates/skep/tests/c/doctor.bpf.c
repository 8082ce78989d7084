// SPDX-License-Identifier: MIT OR Apache-2.0
// Programs of the hooks that `hooks.bpf.c` has none of, for which a test says where they go. Each
// counts in `hits`; one at a time is loaded.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

__u64 hits;

#define COUNTING(name, section, answer)                                         \
	SEC("?" section) int name(void *ctx)                                    \
	{                                                                       \
		__sync_fetch_and_add(&hits, 1);                                 \
		return answer;                                                  \
	}

COUNTING(uprobe, "uprobe", 0)
COUNTING(uprobe_multi, "uprobe.multi", 0)
COUNTING(uprobe_session, "uprobe.session", 0)
COUNTING(perf_event, "perf_event", 0)
COUNTING(xdp, "xdp", XDP_PASS)
COUNTING(tcx, "tcx/ingress", -1)
COUNTING(socket_filter, "socket", -1)
COUNTING(sk_lookup, "sk_lookup", SK_PASS)
COUNTING(netfilter, "netfilter", 1)
COUNTING(iterator, "iter/task", 0)

char LICENSE[] SEC("license") = "GPL";
