/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Reading kernel memory by field names that are looked up in the running
 * kernel's types when the program is loaded (CO-RE), and asking what that kernel
 * has.
 *
 * Part of Skep; the names are those that libbpf made usual.
 */
#ifndef __BPF_CORE_READ_H__
#define __BPF_CORE_READ_H__

#include "bpf_helpers.h"

/* ---- Kinds of relocation, as clang's builtins and loaders number them -- */

/* __builtin_preserve_field_info(field, …) */
enum bpf_field_info_kind {
	BPF_FIELD_BYTE_OFFSET = 0,
	BPF_FIELD_BYTE_SIZE = 1,
	BPF_FIELD_EXISTS = 2,
	BPF_FIELD_SIGNED = 3,
	BPF_FIELD_LSHIFT_U64 = 4,
	BPF_FIELD_RSHIFT_U64 = 5,
};

/* __builtin_btf_type_id(value, …) */
enum bpf_type_id_kind {
	BPF_TYPE_ID_LOCAL = 0,
	BPF_TYPE_ID_TARGET = 1,
};

/* __builtin_preserve_type_info(value, …) */
enum bpf_type_info_kind {
	BPF_TYPE_EXISTS = 0,
	BPF_TYPE_SIZE = 1,
	BPF_TYPE_MATCHES = 2,
};

/* __builtin_preserve_enum_value(value, …) */
enum bpf_enum_value_kind {
	BPF_ENUMVAL_EXISTS = 0,
	BPF_ENUMVAL_VALUE = 1,
};

/* ---- What the running kernel has --------------------------------------- */

/* A field is named by an access (`p->f`) or by type and name (`struct s, f`). */
#define __skep_field(args...) __skep_cat(__skep_field_, __skep_count(args))(args)
#define __skep_field_1(access) access
#define __skep_field_2(type, field) (((__typeof__(type) *)0)->field)

/* 1 or 0. */
#define bpf_core_field_exists(field...) \
	__builtin_preserve_field_info(__skep_field(field), BPF_FIELD_EXISTS)

/* In bytes. */
#define bpf_core_field_size(field...) \
	__builtin_preserve_field_info(__skep_field(field), BPF_FIELD_BYTE_SIZE)

/* In bytes from the start of the outermost struct. */
#define bpf_core_field_offset(field...) \
	__builtin_preserve_field_info(__skep_field(field), BPF_FIELD_BYTE_OFFSET)

/* A named type: struct, union, enum or typedef. */
#define __skep_some(type) (*(__typeof__(type) *)0)

/* The type's number in the program's own BTF. */
#define bpf_core_type_id_local(type) \
	__builtin_btf_type_id(__skep_some(type), BPF_TYPE_ID_LOCAL)

/* The type's number in the kernel's BTF, 0 if it has none. */
#define bpf_core_type_id_kernel(type) \
	__builtin_btf_type_id(__skep_some(type), BPF_TYPE_ID_TARGET)

/* 1 or 0: the kernel has a type of this name and kind. */
#define bpf_core_type_exists(type) \
	__builtin_preserve_type_info(__skep_some(type), BPF_TYPE_EXISTS)

/* 1 or 0: the kernel has a type of this name whose members agree with ours. */
#define bpf_core_type_matches(type) \
	__builtin_preserve_type_info(__skep_some(type), BPF_TYPE_MATCHES)

/* In bytes, 0 if the kernel has no such type. */
#define bpf_core_type_size(type) \
	__builtin_preserve_type_info(__skep_some(type), BPF_TYPE_SIZE)

/* 1 or 0. */
#define bpf_core_enum_value_exists(type, value) \
	__builtin_preserve_enum_value(*(__typeof__(type) *)value, BPF_ENUMVAL_EXISTS)

/* The enumerator's value in the kernel, 0 if it is not there. */
#define bpf_core_enum_value(type, value) \
	__builtin_preserve_enum_value(*(__typeof__(type) *)value, BPF_ENUMVAL_VALUE)

/* The pointer, taken by the verifier for a readable `type`. Kernel 6.3. */
extern void *bpf_rdonly_cast(const void *obj, unsigned int btf_id) __ksym __weak;
#define bpf_core_cast(pointer, type) \
	((__typeof__(type) *)bpf_rdonly_cast((pointer), bpf_core_type_id_kernel(type)))

/* ---- One read ---------------------------------------------------------- */

/*
 * bpf_core_read(&pid, sizeof(pid), &task->pid): 0, or a negative error and zeroes
 * in `to`. The _user forms follow a pointer into user memory: their layouts are
 * still looked up in the kernel's types, so they suit the kernel's own uapi
 * structs only.
 */
#define __skep_relocated(from) ((const void *)__builtin_preserve_access_index(from))
#define bpf_core_read(to, size, from) \
	bpf_probe_read_kernel(to, size, __skep_relocated(from))
#define bpf_core_read_user(to, size, from) \
	bpf_probe_read_user(to, size, __skep_relocated(from))
#define bpf_core_read_str(to, size, from) \
	bpf_probe_read_kernel_str(to, size, __skep_relocated(from))
#define bpf_core_read_user_str(to, size, from) \
	bpf_probe_read_user_str(to, size, __skep_relocated(from))

/* ---- Following pointers ------------------------------------------------ */

/*
 * A walk from `p` along fields a, b, …, z is p->a->b->…->z with a read for every
 * arrow: up to 10 of them. Each hop but the last puts a pointer into `__skep_hop`
 * with `hop`; the last puts the value into `to` with `last`, whose result is the
 * walk's. A hop that fails leaves a null pointer, so that the next one fails too.
 *
 * `p` is evaluated once: further mentions stand in __typeof__ only.
 */
#define __skep_walk(hop, last, to, p, fields...) \
	({ \
		void *__skep_hop __attribute__((unused)); \
		__skep_cat(__skep_walk_, __skep_count(fields))(hop, last, to, p, fields); \
	})
#define __skep_read_hop(hop, p, a) hop(&__skep_hop, sizeof(__skep_hop), &(p)->a);
#define __skep_hopped(p, a) ((__typeof__((p)->a))__skep_hop)
#define __skep_walk_1(hop, last, to, p, z) last((void *)(to), sizeof(*(to)), &(p)->z)
#define __skep_walk_2(hop, last, to, p, a, z...) \
	__skep_read_hop(hop, p, a) __skep_walk_1(hop, last, to, __skep_hopped(p, a), z)
#define __skep_walk_3(hop, last, to, p, a, z...) \
	__skep_read_hop(hop, p, a) __skep_walk_2(hop, last, to, __skep_hopped(p, a), z)
#define __skep_walk_4(hop, last, to, p, a, z...) \
	__skep_read_hop(hop, p, a) __skep_walk_3(hop, last, to, __skep_hopped(p, a), z)
#define __skep_walk_5(hop, last, to, p, a, z...) \
	__skep_read_hop(hop, p, a) __skep_walk_4(hop, last, to, __skep_hopped(p, a), z)
#define __skep_walk_6(hop, last, to, p, a, z...) \
	__skep_read_hop(hop, p, a) __skep_walk_5(hop, last, to, __skep_hopped(p, a), z)
#define __skep_walk_7(hop, last, to, p, a, z...) \
	__skep_read_hop(hop, p, a) __skep_walk_6(hop, last, to, __skep_hopped(p, a), z)
#define __skep_walk_8(hop, last, to, p, a, z...) \
	__skep_read_hop(hop, p, a) __skep_walk_7(hop, last, to, __skep_hopped(p, a), z)
#define __skep_walk_9(hop, last, to, p, a, z...) \
	__skep_read_hop(hop, p, a) __skep_walk_8(hop, last, to, __skep_hopped(p, a), z)
#define __skep_walk_10(hop, last, to, p, a, z...) \
	__skep_read_hop(hop, p, a) __skep_walk_9(hop, last, to, __skep_hopped(p, a), z)

/* The same walk in plain C, for its type. */
#define __skep_path(p, fields...) \
	__skep_cat(__skep_path_, __skep_count(fields))(p, fields)
#define __skep_path_1(p, a) (p)->a
#define __skep_path_2(p, a, z...) __skep_path_1((p)->a, z)
#define __skep_path_3(p, a, z...) __skep_path_2((p)->a, z)
#define __skep_path_4(p, a, z...) __skep_path_3((p)->a, z)
#define __skep_path_5(p, a, z...) __skep_path_4((p)->a, z)
#define __skep_path_6(p, a, z...) __skep_path_5((p)->a, z)
#define __skep_path_7(p, a, z...) __skep_path_6((p)->a, z)
#define __skep_path_8(p, a, z...) __skep_path_7((p)->a, z)
#define __skep_path_9(p, a, z...) __skep_path_8((p)->a, z)
#define __skep_path_10(p, a, z...) __skep_path_9((p)->a, z)

/* The value at the end of the walk. */
#define __skep_walk_value(read, p, fields...) \
	({ \
		__typeof__(__skep_path(p, fields)) __skep_value; \
		__skep_walk(read, read, &__skep_value, p, fields); \
		__skep_value; \
	})

/*
 * BPF_CORE_READ(task, real_parent, tgid) is task->real_parent->tgid; a field may
 * also be `a.b` or `a[0]`. Zero if something could not be read.
 *
 * The _USER forms walk through user memory, with layouts of the kernel's types:
 * for uapi structs. BPF_PROBE_READ and its forms do not relocate at all: for
 * types that only the program knows.
 */
#define BPF_CORE_READ(p, a, more...) __skep_walk_value(bpf_core_read, p, a, ##more)
#define BPF_CORE_READ_USER(p, a, more...) \
	__skep_walk_value(bpf_core_read_user, p, a, ##more)
#define BPF_PROBE_READ(p, a, more...) \
	__skep_walk_value(bpf_probe_read_kernel, p, a, ##more)
#define BPF_PROBE_READ_USER(p, a, more...) \
	__skep_walk_value(bpf_probe_read_user, p, a, ##more)

/*
 * BPF_CORE_READ_INTO(&parent, task, real_parent, tgid): the same into a place of
 * one's own, whose size says how much is read. 0 or the last read's error.
 */
#define BPF_CORE_READ_INTO(to, p, a, more...) \
	__skep_walk(bpf_core_read, bpf_core_read, to, p, a, ##more)
#define BPF_CORE_READ_USER_INTO(to, p, a, more...) \
	__skep_walk(bpf_core_read_user, bpf_core_read_user, to, p, a, ##more)
#define BPF_PROBE_READ_INTO(to, p, a, more...) \
	__skep_walk(bpf_probe_read_kernel, bpf_probe_read_kernel, to, p, a, ##more)
#define BPF_PROBE_READ_USER_INTO(to, p, a, more...) \
	__skep_walk(bpf_probe_read_user, bpf_probe_read_user, to, p, a, ##more)

/*
 * BPF_CORE_READ_STR_INTO(&name, dentry, d_name.name): the last field is a string
 * (a pointer to bytes wants one hop more: read it first). Gives the length with
 * its NUL, or a negative error.
 */
#define BPF_CORE_READ_STR_INTO(to, p, a, more...) \
	__skep_walk(bpf_core_read, bpf_core_read_str, to, p, a, ##more)
#define BPF_CORE_READ_USER_STR_INTO(to, p, a, more...) \
	__skep_walk(bpf_core_read_user, bpf_core_read_user_str, to, p, a, ##more)
#define BPF_PROBE_READ_STR_INTO(to, p, a, more...) \
	__skep_walk(bpf_probe_read_kernel, bpf_probe_read_kernel_str, to, p, a, ##more)
#define BPF_PROBE_READ_USER_STR_INTO(to, p, a, more...) \
	__skep_walk(bpf_probe_read_user, bpf_probe_read_user_str, to, p, a, ##more)

/* ---- Bitfields --------------------------------------------------------- */

/*
 * A bitfield is read as the integer that holds it, shifted left until its top
 * bit is bit 63 and back right until its lowest is bit 0. Where the integer
 * stands, its size, both shifts and the sign come from the kernel's types.
 */
#define __skep_about(p, field, what) \
	__builtin_preserve_field_info((p)->field, BPF_FIELD_##what)
#define __skep_holder(p, field) ((char *)(p) + __skep_about(p, field, BYTE_OFFSET))
#define __skep_extract(whole, p, field) \
	({ \
		unsigned long long __skep_high = (whole) << __skep_about(p, field, LSHIFT_U64); \
		if (__skep_about(p, field, SIGNED)) \
			__skep_high = (long long)__skep_high >> \
				      __skep_about(p, field, RSHIFT_U64); \
		else \
			__skep_high >>= __skep_about(p, field, RSHIFT_U64); \
		__skep_high; \
	})

static __always_inline unsigned long long __skep_load(const void *at, unsigned int size)
{
	switch (size) {
	case 1:
		return *(const unsigned char *)at;
	case 2:
		return *(const unsigned short *)at;
	case 4:
		return *(const unsigned int *)at;
	case 8:
		return *(const unsigned long long *)at;
	}
	return 0;
}

static __always_inline void __skep_store(void *at, unsigned int size, unsigned long long value)
{
	switch (size) {
	case 1:
		*(unsigned char *)at = value;
		break;
	case 2:
		*(unsigned short *)at = value;
		break;
	case 4:
		*(unsigned int *)at = value;
		break;
	case 8:
		*(unsigned long long *)at = value;
		break;
	}
}

/* Where the low-order bytes of a 64-bit integer are. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define __skep_low_bytes(whole, size) ((void *)&(whole))
#else
#define __skep_low_bytes(whole, size) ((void *)&(whole) + 8 - (size))
#endif

/* p->field as a 64-bit number, by bpf_probe_read_kernel: in any program. */
#define BPF_CORE_READ_BITFIELD_PROBED(p, field) \
	({ \
		unsigned long long __skep_whole = 0; \
		bpf_probe_read_kernel(__skep_low_bytes(__skep_whole, \
						       __skep_about(p, field, BYTE_SIZE)), \
				      __skep_about(p, field, BYTE_SIZE), \
				      __skep_holder(p, field)); \
		__skep_extract(__skep_whole, p, field); \
	})

/*
 * p->field by a plain load: where the verifier knows `p` (tp_btf, fentry …). The
 * barrier makes one relocated address of it, instead of one for each size.
 */
#define BPF_CORE_READ_BITFIELD(p, field) \
	({ \
		const char *__skep_at = __skep_holder(p, field); \
		barrier_var(__skep_at); \
		__skep_extract(__skep_load(__skep_at, __skep_about(p, field, BYTE_SIZE)), p, \
			       field); \
	})

/* p->field = value, by a plain load and store. */
#define BPF_CORE_WRITE_BITFIELD(p, field, value) \
	({ \
		char *__skep_at = __skep_holder(p, field); \
		unsigned int __skep_size = __skep_about(p, field, BYTE_SIZE); \
		unsigned int __skep_left = __skep_about(p, field, LSHIFT_U64); \
		unsigned int __skep_right = __skep_about(p, field, RSHIFT_U64); \
		unsigned long long __skep_mask = (~0ULL << __skep_right) >> __skep_left; \
		unsigned long long __skep_new = (value); \
		barrier_var(__skep_at); \
		__skep_new = (__skep_new << (__skep_right - __skep_left)) & __skep_mask; \
		__skep_new |= __skep_load(__skep_at, __skep_size) & ~__skep_mask; \
		__skep_store(__skep_at, __skep_size, __skep_new); \
	})

#endif /* __BPF_CORE_READ_H__ */
