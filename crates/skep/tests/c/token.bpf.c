// SPDX-License-Identifier: MIT OR Apache-2.0
// What a container may be let do: packets of a device sent to a ring, and counted.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} packets SEC(".maps");

const volatile __u32 number = 1;
__u64 seen;

SEC("xdp")
int packet(struct xdp_md *ctx)
{
	__u32 *entry = bpf_ringbuf_reserve(&packets, sizeof(*entry), 0);

	__sync_fetch_and_add(&seen, 1);
	if (entry) {
		*entry = number;
		bpf_ringbuf_submit(entry, 0);
	}
	return XDP_PASS;
}

// Another type, which the bpffs does not delegate.
SEC("?socket")
int other(struct __sk_buff *skb)
{
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
