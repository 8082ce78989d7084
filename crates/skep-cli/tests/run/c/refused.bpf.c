// SPDX-License-Identifier: MIT OR Apache-2.0
// What can't be, one thing a macro.
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

struct task_struct {
	int favourite_colour;
} __attribute__((preserve_access_index));

__u64 seen;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, __u64);
} hits SEC(".maps");

#ifdef NO_EVENT
SEC("tracepoint/syscalls/sys_enter_opneat")
#elif defined(NO_SECTION)
SEC("trayspoint/syscalls/sys_enter_openat")
#elif defined(NO_LIBRARY)
SEC("uprobe/libnosuch:open")
#elif defined(NEEDS_DEVICE)
SEC("xdp")
#else
SEC("raw_tp/sys_enter")
#endif
int refused(void *ctx)
{
	__u32 key = 0;
	__u64 *value = bpf_map_lookup_elem(&hits, &key);

#ifdef NO_TEST
	*value += 1;  // not tested first
#endif
#ifdef NO_FIELD
	seen = BPF_CORE_READ((struct task_struct *)bpf_get_current_task(), favourite_colour);
#endif
#ifdef NO_COMPILE
	seen = undeclared;
#endif
	return value ? 1 : 0;
}

char LICENSE[] SEC("license") = "GPL";
