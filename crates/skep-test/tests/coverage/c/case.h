/* What the cases are written with, on both sides: as a BPF program, and as a native one that
 * clang's own coverage says the truth about. */
#ifdef __bpf__
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define ARRAY(name, entries)                                                                       \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                                  \
		__uint(max_entries, entries);                                                      \
		__type(key, __u32);                                                                \
		__type(value, __u64);                                                              \
	} name SEC(".maps")
#define LOOKUP(map, key) bpf_map_lookup_elem(map, key)
char _license[] SEC("license") __attribute__((weak)) = "GPL";
#else
typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
#define SEC(name)
#define __always_inline inline __attribute__((always_inline))
#define __noinline __attribute__((noinline))
struct array {
	__u32 entries;
	__u64 values[16];
};
#define ARRAY(name, count) struct array name = { .entries = count }
static inline __u64 *host_lookup(struct array *map, const __u32 *key)
{
	return *key < map->entries ? &map->values[*key] : 0;
}
#define LOOKUP(map, key) host_lookup(map, key)
static inline long bpf_loop(__u32 count, void *body, void *ctx, __u64 flags)
{
	long (*call)(__u32, void *) = body;
	for (__u32 i = 0; i < count; i++)
		if (call(i, ctx))
			return i + 1;
	return count;
}
#endif

/* What a run is given: `// run: 1 2 3` fills it from the start. */
struct args {
	__u32 v[8];
};
