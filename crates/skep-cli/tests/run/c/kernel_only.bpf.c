// SPDX-License-Identifier: MIT OR Apache-2.0
// One program on a hook that only a kernel has; a macro chooses which.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#if defined(KPROBE)
SEC("kprobe/vfs_read")
#elif defined(KPROBE_MULTI)
SEC("kprobe.multi/vfs_*")
#elif defined(FENTRY)
SEC("fentry/vfs_read")
#elif defined(TRACEPOINT)
SEC("tracepoint/sched/sched_switch")
#elif defined(RAW_TRACEPOINT)
SEC("raw_tp/sched_switch")
#elif defined(LSM)
SEC("lsm/file_open")
#endif
int hooked(void *ctx)
{
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
