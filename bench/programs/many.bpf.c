/* A hundred programs of a common kind: read a packet, count in a map, decide. */
#include "bench.h"

struct xdp_md { __u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex; };
struct count { __u64 packets, bytes, last; };

struct { __uint(type, MAP_HASH); __uint(max_entries, 1024); __type(key, __u32); __type(value, struct count); } counts SEC(".maps");

const volatile __u32 limit = 1500;

static __attribute__((always_inline)) int one(struct xdp_md *ctx, __u32 number)
{
	unsigned char *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct count *count, first = { .packets = 1 };
	__u32 key;

	if (data + 34 > end || data[12] != 8 || data[13] != 0)
		return 2;
	key = *(__u32 *)(data + 26) + number;
	count = map_lookup(&counts, &key);
	if (!count) {
		first.bytes = end - data;
		first.last = ktime();
		map_update(&counts, &key, &first, 0);
		return 2;
	}
	count->packets++;
	count->bytes += end - data;
	count->last = ktime();
	return count->bytes / count->packets > limit ? 1 : 2;
}

#define PROGRAM(number) SEC("xdp") int program##number(struct xdp_md *ctx) { return one(ctx, 1##number); }

PROGRAM(00) PROGRAM(01) PROGRAM(02) PROGRAM(03) PROGRAM(04) PROGRAM(05) PROGRAM(06) PROGRAM(07) PROGRAM(08) PROGRAM(09)
PROGRAM(10) PROGRAM(11) PROGRAM(12) PROGRAM(13) PROGRAM(14) PROGRAM(15) PROGRAM(16) PROGRAM(17) PROGRAM(18) PROGRAM(19)
PROGRAM(20) PROGRAM(21) PROGRAM(22) PROGRAM(23) PROGRAM(24) PROGRAM(25) PROGRAM(26) PROGRAM(27) PROGRAM(28) PROGRAM(29)
PROGRAM(30) PROGRAM(31) PROGRAM(32) PROGRAM(33) PROGRAM(34) PROGRAM(35) PROGRAM(36) PROGRAM(37) PROGRAM(38) PROGRAM(39)
PROGRAM(40) PROGRAM(41) PROGRAM(42) PROGRAM(43) PROGRAM(44) PROGRAM(45) PROGRAM(46) PROGRAM(47) PROGRAM(48) PROGRAM(49)
PROGRAM(50) PROGRAM(51) PROGRAM(52) PROGRAM(53) PROGRAM(54) PROGRAM(55) PROGRAM(56) PROGRAM(57) PROGRAM(58) PROGRAM(59)
PROGRAM(60) PROGRAM(61) PROGRAM(62) PROGRAM(63) PROGRAM(64) PROGRAM(65) PROGRAM(66) PROGRAM(67) PROGRAM(68) PROGRAM(69)
PROGRAM(70) PROGRAM(71) PROGRAM(72) PROGRAM(73) PROGRAM(74) PROGRAM(75) PROGRAM(76) PROGRAM(77) PROGRAM(78) PROGRAM(79)
PROGRAM(80) PROGRAM(81) PROGRAM(82) PROGRAM(83) PROGRAM(84) PROGRAM(85) PROGRAM(86) PROGRAM(87) PROGRAM(88) PROGRAM(89)
PROGRAM(90) PROGRAM(91) PROGRAM(92) PROGRAM(93) PROGRAM(94) PROGRAM(95) PROGRAM(96) PROGRAM(97) PROGRAM(98) PROGRAM(99)
