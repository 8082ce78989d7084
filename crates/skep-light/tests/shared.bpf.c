// SPDX-License-Identifier: MIT OR Apache-2.0
// Maps that are kept in a bpffs, by name, one of them with another in it.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct counts {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} shared SEC(".maps");

SEC("syscall")
int count(void *ctx)
{
	__u32 key = 1;
	__u64 *value = bpf_map_lookup_elem(&shared, &key);

	if (!value)
		return 0;
	__sync_fetch_and_add(value, 1);
	return *value;
}

char LICENSE[] SEC("license") = "GPL";
