/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What every BPF program needs: sections, map definitions, attributes,
 * printing, loops. Include "vmlinux.h" or <linux/bpf.h> before it, which bring
 * the integer types (__u32 and the like).
 *
 * Part of Skep; the names are those that libbpf made usual.
 */
#ifndef __BPF_HELPERS__
#define __BPF_HELPERS__

#include "../skep/preprocessor.h"
#include "bpf_helper_defs.h"

/* ---- Attributes -------------------------------------------------------- */

/*
 * Puts a program, map, licence or variable into an ELF section, whose name
 * tells the loader what it is. On an `extern` the `used` half of the attribute
 * has no effect, which is no reason for a warning.
 */
#define SEC(section_name) \
	_Pragma("GCC diagnostic push") \
	_Pragma("GCC diagnostic ignored \"-Wignored-attributes\"") \
	__attribute__((section(section_name), used)) \
	_Pragma("GCC diagnostic pop")

/* <linux/stddef.h> has a weaker __always_inline. */
#undef __always_inline
#define __always_inline __attribute__((always_inline)) inline

#ifndef __noinline
#define __noinline __attribute__((noinline))
#endif

#ifndef __weak
#define __weak __attribute__((weak))
#endif

/*
 * A global function marked so is verified with its callers, as a static one,
 * instead of once for all possible arguments.
 */
#define __hidden __attribute__((visibility("hidden")))

/* An extern whose value is a kernel option, or a kernel symbol or function. */
#define __kconfig __attribute__((section(".kconfig")))
#define __ksym __attribute__((section(".ksyms")))

/* A pointer in a map's value that refers to a kernel object or user memory. */
#if __has_attribute(btf_type_tag)
#define __skep_type_tag(tag) __attribute__((btf_type_tag(tag)))
#else
#define __skep_type_tag(tag)
#endif
#define __kptr __skep_type_tag("kptr")
#define __kptr_untrusted __skep_type_tag("kptr_untrusted")
#define __percpu_kptr __skep_type_tag("percpu_kptr")
#define __uptr __skep_type_tag("uptr")

/* What the verifier may assume of a global function's argument. */
#if __has_attribute(btf_decl_tag)
#define __skep_decl_tag(tag) __attribute__((btf_decl_tag(tag)))
#else
#define __skep_decl_tag(tag)
#endif
#define __arg_ctx __skep_decl_tag("arg:ctx")
#define __arg_nonnull __skep_decl_tag("arg:nonnull")
#define __arg_nullable __skep_decl_tag("arg:nullable")
#define __arg_trusted __skep_decl_tag("arg:trusted")
#define __arg_untrusted __skep_decl_tag("arg:untrusted")
#define __arg_arena __skep_decl_tag("arg:arena")

/* ---- Map definitions --------------------------------------------------- */

/*
 * A map is a struct in SEC(".maps") whose members are never stored: the loader
 * reads their types from BTF. A number is the length of an array, a type what a
 * pointer points to, and a 64-bit number the one value of an enumeration.
 */
#define __uint(key, number) int(*key)[number]
#define __type(key, what) __typeof__(what) *key
#define __array(key, what) __typeof__(what) *key[]
#define __ulong(key, number) \
	enum { __skep_cat(__skep_value_, __COUNTER__) = number } key

/* `__uint(pinning, LIBBPF_PIN_BY_NAME)`: share the map under its name in bpffs. */
enum libbpf_pin_type {
	LIBBPF_PIN_NONE = 0,
	LIBBPF_PIN_BY_NAME = 1,
};

/* The value of a kernel option that may be built as a module. */
enum libbpf_tristate {
	TRI_NO = 0,
	TRI_YES = 1,
	TRI_MODULE = 2,
};

/* ---- Plain C that vmlinux.h can't bring, for it has no macros ---------- */

#ifndef NULL
#define NULL ((void *)0)
#endif

#ifndef likely
#define likely(condition) __builtin_expect(!!(condition), 1)
#endif
#ifndef unlikely
#define unlikely(condition) __builtin_expect(!!(condition), 0)
#endif

/* The last number saturates, as in LINUX_VERSION_CODE of stable kernels. */
#ifndef KERNEL_VERSION
#define KERNEL_VERSION(major, minor, patch) \
	(((major) << 16) + ((minor) << 8) + ((patch) < 255 ? (patch) : 255))
#endif

/*
 * By address arithmetic and not by __builtin_offsetof, so that the offset is
 * relocated for the running kernel.
 */
#undef offsetof
#define offsetof(type, member) ((unsigned long)&((type *)0)->member)

#undef container_of
#define container_of(pointer, type, member) \
	((type *)((void *)(pointer) - offsetof(type, member)))

/* ---- Keeping the compiler in line -------------------------------------- */

/* Nothing in memory is known across this line. */
#ifndef barrier
#define barrier() __asm__ volatile("" : : : "memory")
#endif

/*
 * Nothing is known of `variable` after this line: keeps a bounds check before
 * the use that the verifier will want it for.
 */
#ifndef barrier_var
#define barrier_var(variable) __asm__ volatile("" : "+r"(variable))
#endif

/* Compiling fails (or the program is refused) if this line can be reached. */
#ifndef __bpf_unreachable
#define __bpf_unreachable() __builtin_trap()
#endif

/*
 * A tail call to a slot known when compiling. Map and slot are set right before
 * the call, whatever the compiler does around it, so that the kernel's JIT can
 * turn it into a direct jump.
 */
#if defined(__bpf__)
static __always_inline void
bpf_tail_call_static(void *ctx, const void *map, const unsigned int slot)
{
	if (!__builtin_constant_p(slot))
		__bpf_unreachable();
	__asm__ volatile("r1 = %0; r2 = %1; r3 = %2; call 12"
			 :
			 : "r"(ctx), "r"(map), "i"(slot)
			 : "r0", "r1", "r2", "r3", "r4", "r5");
}
#endif

/*
 * Whether the kernel has the symbol or function. Declare it `__ksym __weak`:
 * else its address is always taken for non-zero, which this refuses.
 */
#define bpf_ksym_exists(symbol) \
	({ \
		_Static_assert(!__builtin_constant_p(!!symbol), \
			       #symbol " must be declared __weak to be tested for"); \
		!!symbol; \
	})

/* ---- Printing ---------------------------------------------------------- */

#ifdef BPF_NO_GLOBAL_DATA
#define BPF_PRINTK_FMT_MOD
#else
#define BPF_PRINTK_FMT_MOD static const
#endif

/*
 * Runs `print` with `__skep_fmt`, the format, and `__skep_values`, the
 * arguments as 64-bit numbers. They are assigned one by one: an initialiser of
 * constants would go to a section that loaders do not know.
 */
#define __skep_with_values(print, fmt, ...) \
	({ \
		static const char __skep_fmt[] = fmt; \
		unsigned long long __skep_values[__skep_count(__VA_ARGS__)]; \
		__skep_each(__skep_set_value, ##__VA_ARGS__) \
		print; \
	})
#define __skep_set_value(i, value) __skep_values[i] = (unsigned long long)(value);

/* To a sequence file (iterators). Kernel 5.9. */
#define BPF_SEQ_PRINTF(seq, fmt, args...) \
	__skep_with_values(bpf_seq_printf(seq, __skep_fmt, sizeof(__skep_fmt), \
					  __skep_values, sizeof(__skep_values)), \
			   fmt, ##args)

/* To a buffer. Kernel 5.13. */
#define BPF_SNPRINTF(out, out_size, fmt, args...) \
	__skep_with_values(bpf_snprintf(out, out_size, __skep_fmt, __skep_values, \
					sizeof(__skep_values)), \
			   fmt, ##args)

/*
 * To the program's stdout (1) or stderr (2) stream, by a kernel function that
 * vmlinux.h declares. Kernel 7.0; by the name bpf_stream_vprintk_impl, and with
 * one argument more, that of 6.18 and 6.19.
 */
#define bpf_stream_printk(stream_id, fmt, args...) \
	__skep_with_values(bpf_stream_vprintk(stream_id, __skep_fmt, __skep_values, \
					      sizeof(__skep_values)), \
			   fmt, ##args)

/*
 * To the kernel's trace pipe. Up to 3 arguments on every kernel, up to 12 since
 * 5.16. Define BPF_NO_GLOBAL_DATA for kernels before 5.2.
 */
#define bpf_printk(fmt, args...) \
	__skep_cat(__skep_printk_, __skep_count(args))(fmt, ##args)
#define __bpf_printk(fmt, args...) \
	({ \
		BPF_PRINTK_FMT_MOD char __skep_fmt[] = fmt; \
		bpf_trace_printk(__skep_fmt, sizeof(__skep_fmt), ##args); \
	})
#define __bpf_vprintk(fmt, args...) \
	__skep_with_values(bpf_trace_vprintk(__skep_fmt, sizeof(__skep_fmt), \
					     __skep_values, sizeof(__skep_values)), \
			   fmt, ##args)
#define __skep_printk_0 __bpf_printk
#define __skep_printk_1 __bpf_printk
#define __skep_printk_2 __bpf_printk
#define __skep_printk_3 __bpf_printk
#define __skep_printk_4 __bpf_vprintk
#define __skep_printk_5 __bpf_vprintk
#define __skep_printk_6 __bpf_vprintk
#define __skep_printk_7 __bpf_vprintk
#define __skep_printk_8 __bpf_vprintk
#define __skep_printk_9 __bpf_vprintk
#define __skep_printk_10 __bpf_vprintk
#define __skep_printk_11 __bpf_vprintk
#define __skep_printk_12 __bpf_vprintk

/* ---- Loops that the verifier takes at any length. Kernel 6.4 ----------- */

struct bpf_iter_num;

extern int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __ksym __weak;
extern int *bpf_iter_num_next(struct bpf_iter_num *it) __ksym __weak;
extern void bpf_iter_num_destroy(struct bpf_iter_num *it) __ksym __weak;

/*
 * The head of a `for` over the kernel's iterator `struct bpf_iter_<kind>`. The
 * iterator is made once and destroyed on every way out of the loop. The second
 * variable is there to make it; it also names the destructor, because clang
 * writes no BTF for a function that only a cleanup attribute mentions.
 */
#define __skep_iterate(kind, step, args...) \
	for (struct bpf_iter_##kind \
		__skep_it __attribute__((aligned(8), cleanup(bpf_iter_##kind##_destroy))), \
		*__skep_made __attribute__((unused)) = \
			((void)bpf_iter_##kind##_new(&__skep_it, ##args), \
			 (void)bpf_iter_##kind##_destroy, NULL); \
	     step;)

/*
 * bpf_for_each(task, t, NULL, BPF_TASK_ITER_ALL_PROCS) { … }: `element` points
 * to one item after the other; the other arguments go to the iterator's _new().
 */
#ifndef bpf_for_each
#define bpf_for_each(kind, element, args...) \
	__skep_iterate(kind, ((element) = bpf_iter_##kind##_next(&__skep_it)), ##args)
#endif

/*
 * bpf_for(i, 0, n) { … }: i from `start` to before `end`, and known to the
 * verifier to lie there. Both bounds are evaluated in each round.
 */
#ifndef bpf_for
#define bpf_for(i, start, end) \
	__skep_iterate(num, ({ \
			       int *__skep_now = bpf_iter_num_next(&__skep_it); \
			       __skep_now && ((i) = *__skep_now, \
					      (i) >= (start) && (i) < (end)); \
		       }), \
		       (start), (end))
#endif

/* bpf_repeat(n) { … }: n times. */
#ifndef bpf_repeat
#define bpf_repeat(times) \
	__skep_iterate(num, bpf_iter_num_next(&__skep_it), 0, (times))
#endif

#endif /* __BPF_HELPERS__ */
