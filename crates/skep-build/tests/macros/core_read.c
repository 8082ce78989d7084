/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* bpf_core_read.h: walks of every length, existence, sizes, bitfields. */
#include "types.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#define RELOCATED __attribute__((preserve_access_index))

_Static_assert(BPF_FIELD_BYTE_OFFSET == 0 && BPF_FIELD_BYTE_SIZE == 1 && BPF_FIELD_EXISTS == 2 &&
		       BPF_FIELD_SIGNED == 3 && BPF_FIELD_LSHIFT_U64 == 4 &&
		       BPF_FIELD_RSHIFT_U64 == 5,
	       "kinds of field relocations");
_Static_assert(BPF_TYPE_ID_LOCAL == 0 && BPF_TYPE_ID_TARGET == 1, "kinds of type numbers");
_Static_assert(BPF_TYPE_EXISTS == 0 && BPF_TYPE_SIZE == 1 && BPF_TYPE_MATCHES == 2,
	       "kinds of type relocations");
_Static_assert(BPF_ENUMVAL_EXISTS == 0 && BPF_ENUMVAL_VALUE == 1, "kinds of enumerators");

enum color { RED = 1, GREEN = 2 };

struct chain {
	struct chain *next;
	struct {
		int deep;
	} in;
	char name[16];
	const char *text;
	unsigned int flag : 1;
	int level : 5;
	unsigned long long wide : 40;
	short plain;
} RELOCATED;

typedef struct chain chain_t;

struct result {
	long values[16];
	char name[16];
	struct chain *hop;
} result;

SEC("raw_tp/sched_switch")
int walks(unsigned long long *ctx)
{
	struct chain *c = (struct chain *)ctx[1];
	long sum = 0;

	sum += BPF_CORE_READ(c, in.deep);
	sum += BPF_CORE_READ(c, next, in.deep);
	sum += BPF_CORE_READ(c, next, next, plain);
	sum += BPF_CORE_READ(c, next, next, next, plain);
	sum += BPF_CORE_READ(c, next, next, next, next, plain);
	sum += BPF_CORE_READ(c, next, next, next, next, next, plain);
	sum += BPF_CORE_READ(c, next, next, next, next, next, next, plain);
	sum += BPF_CORE_READ(c, next, next, next, next, next, next, next, plain);
	sum += BPF_CORE_READ(c, next, next, next, next, next, next, next, next, plain);
	sum += BPF_CORE_READ(c, next, name[3]);
	sum += BPF_CORE_READ_USER(c, next, plain);
	sum += BPF_PROBE_READ_USER(c, next, plain);
	result.values[0] = sum;

	if (BPF_CORE_READ_INTO(&result.hop, c, next, next))
		return 1;
	BPF_CORE_READ_USER_INTO(&result.hop, c, next);
	BPF_PROBE_READ_USER_INTO(&result.hop, c, next, next);
	BPF_CORE_READ_STR_INTO(&result.name, c, next, name);
	BPF_CORE_READ_USER_STR_INTO(&result.name, c, next, name);
	BPF_PROBE_READ_USER_STR_INTO(&result.name, c, next, name);

	bpf_core_read(&result.hop, sizeof(result.hop), &c->next);
	bpf_core_read_user(&result.hop, sizeof(result.hop), &c->next);
	bpf_core_read_str(result.name, sizeof(result.name), &c->name);
	bpf_core_read_user_str(result.name, sizeof(result.name), c->name);
	return 0;
}

SEC("raw_tp/sched_wakeup")
int questions(unsigned long long *ctx)
{
	struct chain *c = (struct chain *)ctx[0];
	long *to = result.values;

	to[0] = bpf_core_field_exists(c->next) + bpf_core_field_exists(struct chain, in.deep);
	to[1] = bpf_core_field_size(c->name) + bpf_core_field_size(struct chain, next);
	to[2] = bpf_core_field_offset(c->name) + bpf_core_field_offset(struct chain, plain);
	to[3] = bpf_core_type_id_local(struct chain);
	to[4] = bpf_core_type_id_kernel(struct task_struct);
	to[5] = bpf_core_type_exists(struct chain) + bpf_core_type_exists(chain_t);
	to[6] = bpf_core_type_size(struct chain);
	to[7] = bpf_core_enum_value_exists(enum color, GREEN);
	to[8] = bpf_core_enum_value(enum color, RED);
	return 0;
}

SEC("raw_tp/sched_waking")
int bitfields(unsigned long long *ctx)
{
	struct chain *c = (struct chain *)ctx[0];
	long *to = result.values;

	to[0] = BPF_CORE_READ_BITFIELD_PROBED(c, flag);
	to[1] = BPF_CORE_READ_BITFIELD_PROBED(c, level);
	to[2] = BPF_CORE_READ_BITFIELD_PROBED(c, wide);
	to[3] = BPF_CORE_READ_BITFIELD_PROBED(c, plain);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
