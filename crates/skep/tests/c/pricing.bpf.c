// SPDX-License-Identifier: MIT OR Apache-2.0
// Fills a struct of functions that the embedder of a virtual machine defines: by a link, one to
// put in its place, one without a link, and some that are refused.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

struct order {
	__u64 items;
	__u64 cents;
};

// Members in another order than the machine's, and one that it has not.
struct pricing {
	long (*price)(struct order *order, __u64 customer);
	void (*sold)(__u64 items);
	__u64 of_the_future;
	__u32 version;
	char name[16];
};

__u64 items_sold;

SEC("struct_ops/price")
__u64 BPF_PROG(by_item, struct order *order, __u64 customer)
{
	order->cents = order->items * 100 - customer;
	return order->items;
}

SEC("struct_ops/price")
__u64 BPF_PROG(for_nothing, struct order *order, __u64 customer)
{
	order->cents = 0;
	return 0;
}

SEC("struct_ops/price")
__u64 BPF_PROG(wrong, struct order *order, __u64 customer)
{
	return *(__u64 *)customer;
}

SEC("struct_ops/sold")
void BPF_PROG(count, __u64 items)
{
	__sync_fetch_and_add(&items_sold, items);
}

SEC(".struct_ops.link")
struct pricing usual = {
	.name = "usual",
	.version = 7,
	.price = (void *)by_item,
	.sold = (void *)count,
};

SEC(".struct_ops.link")
struct pricing sale = {
	.name = "sale",
	.price = (void *)for_nothing,
};

SEC(".struct_ops")
struct pricing unlinked = {
	.name = "unlinked",
	.price = (void *)wrong,
};

SEC("?.struct_ops.link")
struct pricing without_price = {
	.sold = (void *)count,
};

SEC("?.struct_ops.link")
struct pricing of_the_future = {
	.price = (void *)by_item,
	.of_the_future = 1,
};

char LICENSE[] SEC("license") = "GPL";
