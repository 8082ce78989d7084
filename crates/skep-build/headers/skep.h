/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What a program can tell `skep run` about its output. All of it is optional, and
 * none of it changes what other loaders see: types are typedefs of integers, tags
 * are remarks in BTF. Works with clang 11; tags need clang 14 and are left out
 * before it.
 */
#ifndef __SKEP_H__
#define __SKEP_H__

/* ---- Types of fields: how a column is printed -------------------------- */

/* A span of time in nanoseconds: 1.2 µs, 3.1 ms. */
typedef unsigned long long skep_ns_t;

/* A moment as bpf_ktime_get_ns() gives it: seconds since the run began. */
typedef unsigned long long skep_time_t;

/* A number of bytes: 4.0 KiB. */
typedef unsigned long long skep_bytes_t;

/* An address in the kernel: its symbol. */
typedef unsigned long long skep_ksym_t;

/* An address in the event's process (its field `pid` or `tgid`): its symbol. */
typedef unsigned long long skep_usym_t;

/*
 * What bpf_get_stackid() gave, for the kernel or with BPF_F_USER_STACK: the stack
 * with its symbols, from the program's one map of type STACK_TRACE. Negative: none.
 */
typedef int skep_kstack_t;
typedef int skep_ustack_t;

/* ---- Tags of maps and variables, behind SEC(".maps") -------------------- */

#if __has_attribute(btf_decl_tag)
#define __skep_tag(text) __attribute__((btf_decl_tag("skep:" text)))
#else
#define __skep_tag(text)
#endif

/*
 * An array is a histogram: slot i counts values from 2^i to before 2^(i+1), slot 0
 * zeroes too; see skep_log2. The unit of the values is a string, "us". In a hash
 * the values are such arrays, one histogram a key.
 *
 *	struct {
 *		__uint(type, BPF_MAP_TYPE_ARRAY);
 *		__uint(max_entries, 32);
 *		__type(key, __u32);
 *		__type(value, __u64);
 *	} latency SEC(".maps") SKEP_HISTOGRAM("us") SKEP_TITLE("run-queue latency");
 */
#define SKEP_HISTOGRAM(unit) __skep_tag("histogram=" unit)

/* The heading over a map's or histogram's output. */
#define SKEP_TITLE(text) __skep_tag("title=" text)

/*
 * The records of a ring or perf buffer are `struct type` (or a typedef of this
 * name). The type must also be in the object's BTF, which holds only what maps,
 * globals and functions mention: SKEP_KEEP_TYPE(struct type) sees to it. Shorter,
 * but refused by other loaders: `__type(value, struct type)` in the map itself.
 *
 *	} events SEC(".maps") SKEP_EVENT(open_event);
 *	SKEP_KEEP_TYPE(struct open_event);
 */
#define SKEP_EVENT(type) __skep_tag("event=" #type)

/* A pointer in a section of its own, that loaders pass over. */
#define SKEP_KEEP_TYPE(type) __SKEP_KEEP(type, __COUNTER__)
#define __SKEP_KEEP(type, n) __SKEP_KEEP_AS(type, n)
#define __SKEP_KEEP_AS(type, n) \
	static const __typeof__(type) *const __skep_keep_##n \
		__attribute__((section(".skep.types"), used)) = (void *)0

/* Don't print this map at the end: it is the program's own business. */
#define SKEP_HIDDEN __skep_tag("hidden")

/* ---- Programs in several forms ------------------------------------------ */

/*
 * This program is loaded where `program` can't be: it is another form of it, for
 * kernels that lack what that one needs. One may stand in for one that stands in
 * itself; the first that the kernel takes is loaded, and `skep run` says which and
 * why. The question mark has other loaders leave it alone.
 *
 *	SEC("fentry/vfs_unlink") int BPF_PROG(typed) { ... }
 *	SEC("?kprobe/vfs_unlink") SKEP_INSTEAD_OF(typed) int BPF_KPROBE(probed) { ... }
 */
#define SKEP_INSTEAD_OF(program) __skep_tag("instead_of=" #program)

/* ---- Helpers ------------------------------------------------------------ */

/*
 * Counts an event that could not be handed on: a full ring, a full map. `skep run`
 * shows the sum, so that nothing is lost in silence. Costs nothing where unused.
 */
static unsigned long long skep_lost __attribute__((unused));
#define SKEP_LOST() ((void)__sync_fetch_and_add(&skep_lost, 1))

/*
 * The whole part of the logarithm to base 2, and 0 for 0: a histogram's slot.
 * Without a loop or a table, and seen by the verifier to be at most 63.
 */
static __attribute__((always_inline, unused)) inline unsigned int
skep_log2(unsigned long long value)
{
	unsigned int log = 0, half;

	half = (value > 0xffffffff) << 5;
	value >>= half;
	log |= half;
	half = (value > 0xffff) << 4;
	value >>= half;
	log |= half;
	half = (value > 0xff) << 3;
	value >>= half;
	log |= half;
	half = (value > 0xf) << 2;
	value >>= half;
	log |= half;
	half = (value > 0x3) << 1;
	value >>= half;
	log |= half;
	return log | (value >> 1);
}

#endif /* __SKEP_H__ */
