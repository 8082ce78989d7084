// SPDX-License-Identifier: MIT OR Apache-2.0
// Functions of the module nf_conntrack, called by programs of two types.
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

struct nf_conn {
	unsigned long status;
} __attribute__((preserve_access_index));

struct bpf_ct_opts___own {
	__s32 netns_id;
	__s32 error;
	__u8 l4proto;
	__u8 dir;
	__u8 reserved[2];
};

extern struct nf_conn *bpf_skb_ct_lookup(struct __sk_buff *skb, struct bpf_sock_tuple *tuple,
					 __u32 tuple_size, struct bpf_ct_opts___own *opts,
					 __u32 opts_size) __ksym;
extern struct nf_conn *bpf_xdp_ct_lookup(struct xdp_md *xdp, struct bpf_sock_tuple *tuple,
					 __u32 tuple_size, struct bpf_ct_opts___own *opts,
					 __u32 opts_size) __ksym;
extern void bpf_ct_release(struct nf_conn *connection) __ksym;

__u64 calls;
__s64 error_of_skb, error_of_xdp, error_of_protocol;

SEC("tc")
int of_skb(struct __sk_buff *skb)
{
	struct bpf_ct_opts___own opts = { .netns_id = -1, .l4proto = 6 };
	struct bpf_sock_tuple tuple = {};
	struct nf_conn *found;

	tuple.ipv4.saddr = tuple.ipv4.daddr = 0x0100007f;
	tuple.ipv4.sport = tuple.ipv4.dport = 1;
	found = bpf_skb_ct_lookup(skb, &tuple, sizeof(tuple.ipv4), &opts, sizeof(opts));
	calls++;
	if (found) {
		bpf_ct_release(found);
		return TC_ACT_SHOT;
	}
	error_of_skb = opts.error;

	opts.l4proto = 250;
	found = bpf_skb_ct_lookup(skb, &tuple, sizeof(tuple.ipv4), &opts, sizeof(opts));
	calls++;
	if (found)
		bpf_ct_release(found);
	else
		error_of_protocol = opts.error;
	return TC_ACT_OK;
}

SEC("xdp")
int of_xdp(struct xdp_md *xdp)
{
	struct bpf_ct_opts___own opts = { .netns_id = -1, .l4proto = 17 };
	struct bpf_sock_tuple tuple = {};
	struct nf_conn *found;

	tuple.ipv4.saddr = tuple.ipv4.daddr = 0x0100007f;
	tuple.ipv4.sport = tuple.ipv4.dport = 1;
	found = bpf_xdp_ct_lookup(xdp, &tuple, sizeof(tuple.ipv4), &opts, sizeof(opts));
	calls++;
	if (found) {
		bpf_ct_release(found);
		return XDP_DROP;
	}
	error_of_xdp = opts.error;
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
