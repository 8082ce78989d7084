/* Programs by section without types: packet access, jumps, a subprogram, no BTF. Built for both
 * byte orders. */
#include "corpus.h"

struct xdp_md { __u32 data, data_end; };

static __noinline int sum(const __u8 *from, const __u8 *end)
{
	int total = 0;
	for (int i = 0; i < 8 && from + i < end; i++)
		total += from[i];
	return total;
}

SEC("xdp")
int drop(struct xdp_md *md)
{
	__u8 *data = (void *)(long)md->data, *end = (void *)(long)md->data_end;
	if (data + 14 > end)
		return 2;
	switch (data[12]) {
	case 8: return sum(data, end) > 100 ? 1 : 2;
	case 6: return 1;
	case 134: __sync_fetch_and_add((__u64 *)data, 1); return 3;
	}
	return 2;
}

SEC("tc")
int pass(void *skb)
{
	return sum(skb, (__u8 *)skb + 4);
}

char gpl[] SEC("license") = "GPL";
