// SPDX-License-Identifier: MIT OR Apache-2.0
// A front that drops, changes and sends, does wrong and lets pass, and a program of tc behind it.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u64);
} when SEC(".maps");

static __always_inline __u16 port_of(void *data, void *end)
{
	return data + 38 > end ? 0 : bpf_ntohs(*(__u16 *)(data + 36));
}

SEC("xdp")
int front(struct xdp_md *ctx)
{
	unsigned char *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 port = port_of(data, end);
	// Microseconds since the capture's first packet.
	__u64 time = (bpf_ktime_get_ns() - 1700000000000000000ull) / 1000;

	if (data + 14 > end)
		return XDP_DROP;
	bpf_map_update_elem(&when, &port, &time, BPF_NOEXIST);
	switch (port) {
	case 50:
		return XDP_DROP;
	case 51: case 52:
		data[0] = 0xee;
		return XDP_TX;
	case 1:
		// Behind its end: what a verifier would have refused.
		return data[100];
	}
	return XDP_PASS;
}

SEC("tc")
int behind(struct __sk_buff *skb)
{
	__u16 port = port_of((void *)(long)skb->data, (void *)(long)skb->data_end);

	return port == 59 ? 2 : 0;
}

char LICENSE[] SEC("license") = "GPL";
