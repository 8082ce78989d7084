// SPDX-License-Identifier: MIT OR Apache-2.0
// Programs on sockets, on what leads packets to them, and on routes; the tests load one at a time.
// All count in `hits`, and say no where `refuse` is set.
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

__u64 hits;
volatile __u32 refuse;
// The socket of the group that is chosen.
volatile __u32 chosen;

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_REUSEPORT_SOCKARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} group SEC(".maps");

#define HIT() __sync_fetch_and_add(&hits, 1)

SEC("?sk_lookup")
int lookup(struct bpf_sk_lookup *ctx)
{
	if (ctx->local_port != 4242)
		return SK_PASS;
	HIT();
	return refuse ? SK_DROP : SK_PASS;
}

SEC("?flow_dissector")
int dissector(struct __sk_buff *skb)
{
	HIT();
	return BPF_DROP;
}

SEC("?sk_reuseport")
int choice(struct sk_reuseport_md *ctx)
{
	__u32 key = chosen;

	HIT();
	if (refuse)
		return SK_DROP;
	bpf_sk_select_reuseport(ctx, &group, &key, 0);
	return SK_PASS;
}

SEC("?sk_reuseport/migrate")
int choice_or_migration(struct sk_reuseport_md *ctx)
{
	HIT();
	return SK_PASS;
}

// The number of the socket, for groups that are led by a socket filter.
SEC("?socket")
int number(struct __sk_buff *skb)
{
	HIT();
	return chosen;
}

SEC("?sk_skb/stream_parser")
int parser(struct __sk_buff *skb)
{
	HIT();
	return skb->len;
}

SEC("?sk_skb/stream_verdict")
int stream(struct __sk_buff *skb)
{
	HIT();
	return refuse ? SK_DROP : SK_PASS;
}

SEC("?sk_skb/verdict")
int verdict(struct __sk_buff *skb)
{
	HIT();
	return refuse ? SK_DROP : SK_PASS;
}

SEC("?sk_msg")
int message(struct sk_msg_md *msg)
{
	HIT();
	return refuse ? SK_DROP : SK_PASS;
}

#define ROUTED(name)                          \
	SEC("?" #name)                        \
	int name(struct __sk_buff *skb)       \
	{                                     \
		HIT();                        \
		return refuse ? BPF_DROP : BPF_OK; \
	}

ROUTED(lwt_in)
ROUTED(lwt_out)
ROUTED(lwt_xmit)
ROUTED(lwt_seg6local)

SEC("?netfilter")
int filter(void *ctx)
{
	HIT();
	return refuse ? 0 /* NF_DROP */ : 1 /* NF_ACCEPT */;
}

// Microseconds in the low 24 bits, and above them whether it was light (LIRC_MODE2_PULSE).
__u64 longest_pulse;

SEC("?lirc_mode2")
int pulse(unsigned int *sample)
{
	__u32 length = *sample & 0xffffff;

	HIT();
	if (*sample >> 24 == 1 && length > longest_pulse)
		longest_pulse = length;
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
