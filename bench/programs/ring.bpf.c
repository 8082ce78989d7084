/* Rings to fill and to drain, with records of three sizes. An XDP program, since every loader can
 * load and test-run one. */
#include "bench.h"

struct { __uint(type, MAP_RINGBUF); __uint(max_entries, 16 * 1024 * 1024); } ring SEC(".maps");

/* Programs that send `number` records of `size` bytes, whose first word counts; `quiet` wakes no
 * reader. A full ring ends a run: what is missing then shows at the reader. */
#define SENDER(name, size, number, wake)                                   \
	static long name##_one(__u32 index, void *context)                  \
	{                                                                   \
		__u64 *record = ringbuf_reserve(&ring, size, 0);            \
		if (!record)                                                \
			return 1;                                           \
		*record = index;                                            \
		ringbuf_submit(record, wake);                               \
		return 0;                                                   \
	}                                                                   \
	SEC("xdp") int name(void *ctx)                                      \
	{                                                                   \
		loop(number, name##_one, 0, 0);                             \
		return 0;                                                   \
	}

SENDER(quiet64, 64, 200000, NO_WAKEUP)
SENDER(quiet256, 256, 60000, NO_WAKEUP)
SENDER(quiet1024, 1024, 16000, NO_WAKEUP)
SENDER(waking64, 64, 200000, 0)
SENDER(waking256, 256, 60000, 0)
SENDER(waking1024, 1024, 16000, 0)
