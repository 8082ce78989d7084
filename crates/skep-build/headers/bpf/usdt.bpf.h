/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Arguments of user-space static trace points (USDT). A point's note says where
 * each argument stands: a constant, a register, or memory that registers lead to.
 * The loader puts these places into a map, and the functions here follow them.
 *
 * Part of Skep; the names are those that libbpf made usual.
 */
#ifndef __USDT_BPF_H__
#define __USDT_BPF_H__

#include "bpf_helpers.h"
#include "bpf_tracing.h"

#if __has_include(<linux/errno.h>)
#include <linux/errno.h>
#endif

/* How many different points an object can be attached to. */
#ifndef BPF_USDT_MAX_SPEC_CNT
#define BPF_USDT_MAX_SPEC_CNT 256
#endif

/* How many addresses, where the kernel has no cookies to tell them (before 5.15). */
#ifndef BPF_USDT_MAX_IP_CNT
#define BPF_USDT_MAX_IP_CNT (BPF_USDT_MAX_SPEC_CNT * 4)
#endif

#define BPF_USDT_MAX_ARG_CNT 12

enum __bpf_usdt_arg_type {
	BPF_USDT_ARG_CONST = 0,
	BPF_USDT_ARG_REG = 1,
	BPF_USDT_ARG_REG_DEREF = 2,
	BPF_USDT_ARG_SIB = 3,
};

/*
 * What the loader writes, by the names and places that it finds in the object's BTF:
 * 16 bytes. Older loaders know them too: the 32 bits after the first number were the
 * type alone, before index registers came.
 */
struct __bpf_usdt_arg_spec {
	/* The constant, or what is added to the address. */
	__u64 val_off;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	__u8 arg_type;
	__u8 scale_bitshift;
	__u16 idx_reg_off;
#else
	__u16 idx_reg_off;
	__u8 scale_bitshift;
	__u8 arg_type;
#endif
	/* Where in struct pt_regs the (base) register is; idx_reg_off likewise. */
	short reg_off;
	_Bool arg_signed;
	/* 64 less the argument's bits. */
	char arg_bitshift;
};

struct __bpf_usdt_spec {
	struct __bpf_usdt_arg_spec args[BPF_USDT_MAX_ARG_CNT];
	__u64 usdt_cookie;
	short arg_cnt;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, BPF_USDT_MAX_SPEC_CNT);
	__type(key, int);
	__type(value, struct __bpf_usdt_spec);
} __bpf_usdt_specs SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BPF_USDT_MAX_IP_CNT);
	__type(key, long);
	__type(value, __u32);
} __bpf_usdt_ip_to_spec_id SEC(".maps") __weak;

extern const _Bool LINUX_HAS_BPF_COOKIE __kconfig;

/* The errors, for vmlinux.h has no macros. */
#define __SKEP_ENOENT 2
#define __SKEP_ESRCH 3
#define __SKEP_EINVAL 22

/* The point that fired: its number came as the attachment's cookie. */
static __always_inline struct __bpf_usdt_spec *__skep_usdt_spec(struct pt_regs *ctx)
{
	int id;

	if (LINUX_HAS_BPF_COOKIE) {
		id = bpf_get_attach_cookie(ctx);
	} else {
		long ip = PT_REGS_IP(ctx);
		int *known = bpf_map_lookup_elem(&__bpf_usdt_ip_to_spec_id, &ip);

		if (!known)
			return NULL;
		id = *known;
	}
	return bpf_map_lookup_elem(&__bpf_usdt_specs, &id);
}

/*
 * Argument `n` of `spec`, NULL if there are not so many. The first comparison is
 * the one by which the verifier knows that the array is not left.
 */
static __always_inline struct __bpf_usdt_arg_spec *
__skep_usdt_arg(struct __bpf_usdt_spec *spec, __u64 n)
{
	if (n >= BPF_USDT_MAX_ARG_CNT)
		return NULL;
	barrier_var(n);
	if (n >= spec->arg_cnt)
		return NULL;
	return &spec->args[n];
}

/* How many arguments the point has; -ESRCH if the loader did not say. */
__weak __hidden int bpf_usdt_arg_cnt(struct pt_regs *ctx)
{
	struct __bpf_usdt_spec *spec = __skep_usdt_spec(ctx);

	return spec ? spec->arg_cnt : -__SKEP_ESRCH;
}

/* The size of argument `n`, from 0, in bytes; -ESRCH or -ENOENT. */
static __always_inline int bpf_usdt_arg_size(struct pt_regs *ctx, __u64 n)
{
	struct __bpf_usdt_spec *spec = __skep_usdt_spec(ctx);
	struct __bpf_usdt_arg_spec *arg;

	if (!spec)
		return -__SKEP_ESRCH;
	arg = __skep_usdt_arg(spec, n);
	if (!arg)
		return -__SKEP_ENOENT;
	return (unsigned int)(64 - arg->arg_bitshift) / 8;
}

/*
 * Puts argument `n`, from 0, into `*value`, extended to 64 bits by its sign. 0,
 * or a negative error and a zero.
 */
__weak __hidden int bpf_usdt_arg(struct pt_regs *ctx, __u64 n, long *value)
{
	struct __bpf_usdt_spec *spec = __skep_usdt_spec(ctx);
	struct __bpf_usdt_arg_spec *arg;
	unsigned long bits = 0, index = 0, address;
	unsigned int size;
	int err;

	*value = 0;
	if (!spec)
		return -__SKEP_ESRCH;
	arg = __skep_usdt_arg(spec, n);
	if (!arg)
		return -__SKEP_ENOENT;

	if (arg->arg_type == BPF_USDT_ARG_CONST) {
		bits = arg->val_off;
	} else if (arg->arg_type <= BPF_USDT_ARG_SIB) {
		/* A register's place is only known here, so ctx can't be read directly. */
		err = bpf_probe_read_kernel(&bits, sizeof(bits), (void *)ctx + arg->reg_off);
		if (err)
			return err;
		if (arg->arg_type == BPF_USDT_ARG_SIB) {
			err = bpf_probe_read_kernel(&index, sizeof(index),
						    (void *)ctx + arg->idx_reg_off);
			if (err)
				return err;
			bits += index << arg->scale_bitshift;
		}
		if (arg->arg_type != BPF_USDT_ARG_REG) {
			/* No more than the argument: what is behind it may not be there. */
			size = (unsigned int)(64 - arg->arg_bitshift) / 8;
			barrier_var(size);
			if (size > sizeof(bits))
				return -__SKEP_EINVAL;
			address = bits + arg->val_off;
			bits = 0;
			err = bpf_probe_read_user(&bits, size, (void *)address);
			if (err)
				return err;
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
			bits >>= arg->arg_bitshift;
#endif
		}
	} else {
		return -__SKEP_EINVAL;
	}

	bits <<= arg->arg_bitshift;
	if (arg->arg_signed)
		*value = (long)bits >> arg->arg_bitshift;
	else
		*value = bits >> arg->arg_bitshift;
	return 0;
}

/* The cookie given when attaching, 0 if none. */
__weak __hidden long bpf_usdt_cookie(struct pt_regs *ctx)
{
	struct __bpf_usdt_spec *spec = __skep_usdt_spec(ctx);

	return spec ? spec->usdt_cookie : 0;
}

/* `int BPF_USDT(name, int n, void *p) { … }`: see __skep_head in bpf_tracing.h. */
#define BPF_USDT(name, params...) \
	__skep_head(name, struct pt_regs, __skep_each(__skep_usdt_param, ##params), ##params)
#define __skep_usdt_param(i, param) \
	, ({ \
		long __skep_arg; \
		bpf_usdt_arg(ctx, i, &__skep_arg); \
		__skep_arg; \
	})

#endif /* __USDT_BPF_H__ */
