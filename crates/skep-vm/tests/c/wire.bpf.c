// SPDX-License-Identifier: MIT OR Apache-2.0
// What packets meet on their way, on the kernel and on the machine: the destination port says the
// verdict, and every program counts what it saw and answered.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

// Newer than some headers.
enum { NEXT = -1, PASS = 0, DROP = 2 };

// The other device.
volatile const unsigned int other = 0;

struct seen {
	__u32 program;
	__s32 verdict;
	__u32 port;
	__u32 fact;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct seen);
	__type(value, __u64);
} seen SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct bpf_devmap_val);
} devices SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} both SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_CPUMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bpf_cpumap_val);
} cpus SEC(".maps");

// Since Linux 6.18.
extern int bpf_dynptr_from_skb_meta(struct __sk_buff *skb, __u64 flags,
	struct bpf_dynptr *ptr) __ksym __weak;
extern __u32 bpf_dynptr_size(const struct bpf_dynptr *ptr) __ksym __weak;
extern _Bool bpf_dynptr_is_rdonly(const struct bpf_dynptr *ptr) __ksym __weak;
extern void *bpf_dynptr_slice(const struct bpf_dynptr *ptr, __u32 offset, void *buffer,
	__u32 buffer__szk) __ksym __weak;

struct packet {
	struct ethhdr eth;
	struct iphdr ip;
	struct udphdr udp;
} __attribute__((packed));

static __always_inline int answer(__u32 program, __u32 port, __u32 fact, int verdict)
{
	struct seen key = {.program = program, .verdict = verdict, .port = port, .fact = fact};
	__u64 one = 1, *count = bpf_map_lookup_elem(&seen, &key);

	if (count)
		__sync_fetch_and_add(count, 1);
	else
		bpf_map_update_elem(&seen, &key, &one, BPF_ANY);
	return verdict;
}

// The port of a packet of the test's; 0 of another one.
static __always_inline __u32 port_of(void *data, void *end)
{
	struct packet *packet = data;

	if ((void *)(packet + 1) > end || packet->eth.h_proto != bpf_htons(ETH_P_IP) ||
	    packet->ip.protocol != 17 || packet->ip.daddr != bpf_htonl(0x0a630001))
		return 0;
	return bpf_ntohs(packet->udp.dest);
}

#define PORT(ctx) port_of((void *)(long)(ctx)->data, (void *)(long)(ctx)->data_end)

SEC("xdp")
int first(struct xdp_md *ctx)
{
	__u32 port = PORT(ctx), *meta;
	struct packet *packet;
	void *data;

	switch (port) {
	case 0: return XDP_PASS;
	case 1: return answer(1, port, 0, XDP_ABORTED);
	case 2: return answer(1, port, 0, XDP_DROP);
	case 3: break;
	case 4:
		packet = (void *)(long)ctx->data;
		if ((void *)(packet + 1) > (void *)(long)ctx->data_end)
			return XDP_DROP;
		packet->udp.source = bpf_htons(44);
		return answer(1, port, 0, XDP_TX);
	case 5: return answer(1, port, 0, bpf_redirect(other, 0));
	case 6: return answer(1, port, 0, 99);
	case 7: return answer(1, port, 0, bpf_redirect_map(&devices, 0, 0));
	case 8: return answer(1, port, 0, bpf_redirect_map(&cpus, 0, 0));
	case 9:
		if (bpf_xdp_adjust_meta(ctx, -4))
			return answer(1, port, 1, XDP_DROP);
		meta = (void *)(long)ctx->data_meta;
		data = (void *)(long)ctx->data;
		if ((void *)(meta + 1) > data)
			return XDP_DROP;
		*meta = 0x5eed;
		break;
	case 10: return answer(1, port, 0, bpf_redirect_map(&both, 0,
		BPF_F_BROADCAST | BPF_F_EXCLUDE_INGRESS));
	case 11: return answer(1, port, 0, bpf_redirect_map(&devices, 1, XDP_PASS));
	case 12:
		if (bpf_xdp_adjust_head(ctx, -20) || bpf_xdp_adjust_head(ctx, 20))
			return answer(1, port, 1, XDP_DROP);
		break;
	case 13: return answer(1, port, 0, bpf_redirect(4000, 0));
	}
	return answer(1, port, 0, XDP_PASS);
}

SEC("xdp/devmap")
int there(struct xdp_md *ctx)
{
	__u32 port = PORT(ctx);

	return answer(2, port, ctx->egress_ifindex == other, XDP_PASS);
}

SEC("xdp/cpumap")
int further(struct xdp_md *ctx)
{
	struct packet *packet = (void *)(long)ctx->data;
	__u32 port = PORT(ctx);

	if ((void *)(packet + 1) > (void *)(long)ctx->data_end)
		return XDP_DROP;
	return answer(3, port, 0, packet->udp.source == bpf_htons(1001) ? XDP_DROP : XDP_PASS);
}

// The metadata as a dynptr: what it is, or the line that it is wrong at. A kernel may let nobody
// write it while others look at the packet.
static __noinline __u32 meta_of(struct __sk_buff *skb)
{
	struct bpf_dynptr ptr;
	__u32 word = 0, written = 0x5eee, *slice, buffer;
	long done;

	if (bpf_dynptr_from_skb_meta(skb, 1, &ptr) != -22)
		return __LINE__;
	if (bpf_dynptr_from_skb_meta(skb, 0, &ptr) || bpf_dynptr_size(&ptr) != 4)
		return __LINE__;
	slice = bpf_dynptr_slice(&ptr, 0, &buffer, 4);
	if (!slice || *slice != 0x5eed)
		return __LINE__;
	if (bpf_dynptr_read(&word, 4, &ptr, 1, 0) != -7)
		return __LINE__;
	done = bpf_dynptr_write(&ptr, 0, &written, 4, 0);
	if (done != (bpf_dynptr_is_rdonly(&ptr) & 1 ? -22 : 0))
		return __LINE__;
	if (bpf_dynptr_read(&word, 4, &ptr, 0, 0) || word != (done ? 0x5eed : 0x5eee))
		return __LINE__;
	if (!done && (bpf_dynptr_write(&ptr, 3, &written, 2, 0) != -7))
		return __LINE__;
	return 0x5eed;
}

SEC("tcx/ingress")
int next(struct __sk_buff *skb)
{
	__u32 port = PORT(skb), fact = skb->vlan_present << 16 | skb->vlan_tci, *meta;

	if (!port)
		return NEXT;
	skb->mark += port;
	skb->cb[1] = 5;
	meta = (void *)(long)skb->data_meta;
	if ((void *)(meta + 1) <= (void *)(long)skb->data)
		fact = *meta;
	if (port == 9 && bpf_ksym_exists(bpf_dynptr_from_skb_meta))
		fact = meta_of(skb);
	switch (port) {
	case 21: return answer(4, port, fact, DROP);
	case 22: return answer(4, port, fact, PASS);
	case 23: return answer(4, port, fact, 3);
	case 24: return answer(4, port, fact, bpf_redirect(other, 0));
	case 25: return answer(4, port, fact, bpf_redirect(other, BPF_F_INGRESS));
	case 26: return answer(4, port, bpf_clone_redirect(skb, other, 0), NEXT);
	case 27: return answer(4, port, bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), 7), NEXT);
	case 28: return answer(4, port, bpf_skb_change_head(skb, 8, 0), DROP);
	case 29: return answer(4, port, fact, bpf_redirect(4000, 0));
	case 30:
		bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), 9);
		return answer(4, port, fact, bpf_redirect(other, 0));
	}
	return answer(4, port, fact, NEXT);
}

SEC("tcx/ingress")
int last(struct __sk_buff *skb)
{
	__u32 port = PORT(skb);

	return port ? answer(5, port, skb->mark << 8 | skb->cb[1], port % 2 ? DROP : PASS)
		    : NEXT;
}

// On the other device: what is sent, and what is received there.
SEC("tcx/egress")
int out(struct __sk_buff *skb)
{
	__u32 port = PORT(skb);

	return port ? answer(6, port, skb->mark << 4 | (skb->ifindex == other), NEXT)
		    : NEXT;
}

SEC("tcx/ingress")
int again(struct __sk_buff *skb)
{
	__u32 port = PORT(skb);

	return port ? answer(7, port, skb->mark << 4 | (skb->ingress_ifindex == other), DROP)
		    : NEXT;
}

// At a packet socket: what is received before traffic control, and what is sent.
SEC("socket")
int filter(struct __sk_buff *skb)
{
	struct packet packet;
	__u32 port;

	if (bpf_skb_load_bytes(skb, 0, &packet, sizeof(packet)))
		return 0;
	port = port_of(&packet, &packet + 1);
	return port ? answer(8, port, skb->len << 8 | skb->pkt_type, port % 2 ? 0 : 50) : 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
