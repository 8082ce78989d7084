// What packet filters look like: offsets, bounds, protocols.
// run: 0x08004500 6 60 22 80
// run: 0x08004500 17 60 53 9999
// run: 0x86dd0000 6 60 22 80
// run: 0x08004500 6 10
// moved: 29
#include "case.h"

enum { PASS = 2, DROP = 1 };

struct cursor {
	__u32 at;
	__u32 end;
};

ARRAY(verdicts, 4);

static __always_inline int parse_ports(struct args *args, struct cursor *cursor, __u16 *dport)
{
	if (cursor->at + 8 > cursor->end)
		return -1;
	*dport = args->v[4];
	cursor->at += 8;
	return 0;
}

static __always_inline int parse(struct args *args, struct cursor *cursor, __u16 *dport)
{
	__u16 proto = args->v[0] >> 16;

	if (cursor->at + 14 > cursor->end)
		return -1;
	cursor->at += 14;
	if (proto != 0x0800)
		return -1;
	cursor->at += 20;
	switch (args->v[1]) {
	case 6:
	case 17:
		return parse_ports(args, cursor, dport);
	default:
		return -1;
	}
}

static __noinline int verdict(__u16 dport)
{
	__u32 key = 0;
	__u64 *count;

	if (dport == 80 || dport == 443)
		key = 1;
	else if (dport > 1024)
		key = 2;
	count = LOOKUP(&verdicts, &key);
	if (!count)
		return DROP;
	*count += 1;
	return key == 2 ? DROP : PASS;
}

SEC("syscall")
int test(struct args *args)
{
	struct cursor cursor = { .end = args->v[2] };
	__u16 dport = 0;

	if (parse(args, &cursor, &dport) < 0)
		return PASS;
	return verdict(dport);
}
