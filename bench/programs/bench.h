/* What the benchmarks' programs need, in few lines, so that they depend on no header. */
typedef unsigned char __u8;
typedef unsigned int __u32;
typedef unsigned long long __u64;

#define SEC(name) __attribute__((section(name), used))
#define __uint(name, value) int (*name)[value]
#define __type(name, value) typeof(value) *name

enum { MAP_HASH = 1, MAP_RINGBUF = 27, NO_WAKEUP = 1 };

static void *(*const map_lookup)(void *map, const void *key) = (void *)1;
static long (*const map_update)(void *map, const void *key, const void *value, __u64 flags) = (void *)2;
static __u64 (*const ktime)(void) = (void *)5;
static long (*const ringbuf_output)(void *map, void *data, __u64 size, __u64 flags) = (void *)130;
static void *(*const ringbuf_reserve)(void *map, __u64 size, __u64 flags) = (void *)131;
static void (*const ringbuf_submit)(void *data, __u64 flags) = (void *)132;
static long (*const loop)(__u32 count, void *function, void *context, __u64 flags) = (void *)181;

char gpl[] SEC("license") = "Dual MIT/GPL";
