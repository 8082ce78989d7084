// SPDX-License-Identifier: MIT OR Apache-2.0
// Rules of a shop, as plug-ins: what each order is discounted by. They run in the shop's own
// process, in the virtual machine, and can neither crash it nor hang it.
//
// Teaches: a hook of one's own with a typed context, a helper of one's own, a map shared with the
// program that embeds the machine.
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

/* What the shop shows of an order. `struct Order` in main.rs is its twin. */
struct order {
	__u32 customer;
	__u32 items;
	__u64 cents;
	__u64 discount; /* cents; rules add to it */
};

/* A helper of the shop: for how many years it has known a customer. */
static __u32 (*loyal_years)(__u32 customer) = (void *)1000;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u64);
} orders_of SEC(".maps");

/* A hundredth for each year that the customer has been with us, ten at most. */
SEC("tp/shop/order")
int loyalty(struct order *order)
{
	__u32 years = loyal_years(order->customer);

	if (years > 10)
		years = 10;
	order->discount += order->cents * years / 100;
	return years;
}

/* Every third order of a customer: five off. */
SEC("tp/shop/order")
int third(struct order *order)
{
	__u32 customer = order->customer;
	__u64 one = 1, *count = bpf_map_lookup_elem(&orders_of, &customer);

	if (!count) {
		bpf_map_update_elem(&orders_of, &customer, &one, BPF_NOEXIST);
		return 0;
	}
	*count += 1;
	if (*count % 3)
		return 0;
	order->discount += 500;
	return 1;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
