// SPDX-License-Identifier: MIT OR Apache-2.0
// Counts calls of a module's function, by whomever: `tests/kernel/faults/modules.rs`.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

__u64 runs;

#define COUNTING(name, section)                                                 \
	SEC("?" section) int name(void *ctx)                                    \
	{                                                                       \
		__sync_fetch_and_add(&runs, 1);                                 \
		return 0;                                                       \
	}

COUNTING(kprobe, "kprobe/dummy_setup")
COUNTING(kprobe_multi, "kprobe.multi/dummy_setup")
COUNTING(fentry, "fentry/dummy_setup")

char LICENSE[] SEC("license") = "GPL";
