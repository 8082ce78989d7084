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

/* ---- Records by ring or perf buffer ------------------------------------- */

/*
 * A ring buffer whose loader may make it a perf buffer, on kernels before 5.8, for
 * programs that write to it by skep_output() only. `skep run` says so if it does;
 * a loader in Rust reads it by what the map is then (skep::Readers takes both).
 * Other loaders leave it a ring buffer.
 *
 *	struct {
 *		__uint(type, BPF_MAP_TYPE_RINGBUF);
 *		__uint(max_entries, 256 * 1024);
 *	} events SEC(".maps") SKEP_OR_PERF_BUFFER;
 */
#define SKEP_OR_PERF_BUFFER __skep_tag("or_perf_buffer")

/*
 * Sends a record of so many bytes through such a map, by whichever way it goes; a
 * record that is not taken is counted (SKEP_LOST, or by the perf buffer). `map` is its name, without `&`.
 * Takes types of the kernel to be told by: its own, or those of `skep run --btf`.
 */
#define skep_output(ctx, map, record, size) \
	__skep_output(ctx, &map, record, size, __skep_has_ring_buffers())

/* A flavour: the kernel's has neither suffix. */
enum bpf_func_id___skep { BPF_FUNC_ringbuf_output___skep = 130 };

/* Whether the kernel's types have the value: known when the program is loaded. */
#define __skep_has_ring_buffers() \
	__builtin_preserve_enum_value( \
		*(enum bpf_func_id___skep *)BPF_FUNC_ringbuf_output___skep, 0)

static __attribute__((always_inline, unused)) inline long
__skep_output(void *ctx, void *map, void *record, unsigned long size, _Bool ring)
{
	/* By number: a source may declare helpers in its own way. */
	long (*const to_ring)(void *, void *, unsigned long, unsigned long) =
		(void *)130; /* bpf_ringbuf_output */
	long (*const to_perf)(void *, void *, unsigned long, void *, unsigned long) =
		(void *)25; /* bpf_perf_event_output */
	long error;

	if (ring)
		error = to_ring(map, record, size, 0);
	else
		error = to_perf(ctx, map, 0xffffffffUL /* this CPU's */, record, size);
	/* What a full perf buffer has no room for, the kernel counts itself. */
	if (error && (ring || error != -28 /* ENOSPC */))
		SKEP_LOST();
	return error;
}

#endif /* __SKEP_H__ */
