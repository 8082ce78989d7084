/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* bpf_core_read.h: what changed or came after libbpf 1.1, and needs a newer clang in part. */
#include "types.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

struct chain {
	struct chain *next;
	unsigned int flag : 1;
	int level : 5;
	int flags;
	char name[8];
} __attribute__((preserve_access_index));

SEC("raw_tp/sched_switch")
int newer(unsigned long long *ctx)
{
	struct chain *c = (struct chain *)ctx[0];
	const struct chain *cast = bpf_core_cast(c, struct chain);
	char name[8];
	int sum = 0;

	/* Older: by bpf_probe_read, which not every machine has. */
	sum += BPF_PROBE_READ(c, next, flags);
	BPF_PROBE_READ_INTO(&c, c, next, next);
	BPF_PROBE_READ_STR_INTO(&name, c, name);
	/* Older: the value of a size that is none of 1, 2, 4, 8 was not 0 but anything. */
	sum += BPF_CORE_READ_BITFIELD(c, flag) + BPF_CORE_READ_BITFIELD(c, level);
	BPF_CORE_WRITE_BITFIELD(c, level, -3);
	BPF_CORE_WRITE_BITFIELD(c, flag, 1);
	/* Ten hops: one more than libbpf promises. */
	sum += BPF_CORE_READ(c, next, next, next, next, next, next, next, next, next, next) != NULL;
#if __clang_major__ >= 15
	sum += bpf_core_type_matches(struct chain);
#endif
	return sum + (cast->next == c);
}

char LICENSE[] SEC("license") = "GPL";
