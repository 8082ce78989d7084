// SPDX-License-Identifier: MIT OR Apache-2.0
// A queueing discipline that queues nothing: it counts what comes and drops it. Its struct is written
// down here: kernels without CONFIG_NET_SCH_BPF have no types of it that a program could use.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define NET_XMIT_DROP 1

struct bpf_sk_buff_ptr;

extern void bpf_qdisc_skb_drop(struct sk_buff *skb, struct bpf_sk_buff_ptr *to_free) __ksym;

__u64 begun;
__u64 came;
__u64 ended;

SEC("struct_ops")
int BPF_PROG(on_enqueue, struct sk_buff *skb, struct Qdisc *qdisc, struct bpf_sk_buff_ptr *to_free)
{
	__sync_fetch_and_add(&came, 1);
	bpf_qdisc_skb_drop(skb, to_free);
	return NET_XMIT_DROP;
}

SEC("struct_ops")
struct sk_buff *BPF_PROG(on_dequeue, struct Qdisc *qdisc)
{
	return NULL;
}

SEC("struct_ops")
int BPF_PROG(on_init, struct Qdisc *qdisc, struct nlattr *options, struct netlink_ext_ack *extack)
{
	__sync_fetch_and_add(&begun, 1);
	return 0;
}

SEC("struct_ops")
void BPF_PROG(on_reset, struct Qdisc *qdisc)
{
}

SEC("struct_ops")
void BPF_PROG(on_destroy, struct Qdisc *qdisc)
{
	__sync_fetch_and_add(&ended, 1);
}

struct Qdisc_ops___ours {
	char id[16];
	int (*enqueue)(struct sk_buff *skb, struct Qdisc *qdisc, struct sk_buff **to_free);
	struct sk_buff *(*dequeue)(struct Qdisc *qdisc);
	int (*init)(struct Qdisc *qdisc, struct nlattr *options, struct netlink_ext_ack *extack);
	void (*reset)(struct Qdisc *qdisc);
	void (*destroy)(struct Qdisc *qdisc);
};

SEC(".struct_ops.link")
struct Qdisc_ops___ours dropping = {
	.id = "skep_dropping",
	.enqueue = (void *)on_enqueue,
	.dequeue = (void *)on_dequeue,
	.init = (void *)on_init,
	.reset = (void *)on_reset,
	.destroy = (void *)on_destroy,
};

char LICENSE[] SEC("license") = "GPL";
