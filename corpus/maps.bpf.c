/* SPDX-License-Identifier: MIT OR Apache-2.0
 * A map of the type that MAP says, of the shape that its type asks for, and what else a
 * definition can say.
 */
#include <vmlinux.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

/* Numbers, since not every kernel's types have all names. */
#define CGROUP_STORAGE 19
#define PERCPU_CGROUP_STORAGE 21
#define ARENA 33
#define INSN_ARRAY 34
#define RHASH 35

struct entry {
	__u64 count;
	struct bpf_spin_lock lock;
};

struct on_device {
	__u32 index;
	int program;
};

struct prefix_key {
	__u32 prefix;
	__u8 address[4];
};

struct inside {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
};

struct {
	__uint(type, MAP);
#if MAP == 1 || MAP == 9 || MAP == RHASH
	__uint(max_entries, 16);
	__type(key, struct prefix_key);
#if MAP == 9 /* holds no locks */
	__type(value, __u64);
#else
	__type(value, struct entry);
#endif
#if MAP == 1
	__uint(map_flags, BPF_F_NO_PREALLOC);
#elif MAP == RHASH
	__uint(map_flags, BPF_F_NO_PREALLOC);
#endif
#elif MAP == 2 /* array */
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
	__uint(map_flags, BPF_F_MMAPABLE | BPF_F_RDONLY_PROG);
#elif MAP == 5 || MAP == 6 || MAP == 10 /* per CPU */
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, char[12]);
#elif MAP == 3 || MAP == 4 || MAP == 8 || MAP == 17 /* descriptors */
	__uint(max_entries, 16);
	__uint(key_size, 4);
	__uint(value_size, 4);
#elif MAP == 7 /* stacks */
	__uint(max_entries, 64);
	__uint(key_size, 4);
	__uint(value_size, 127 * 8);
#elif MAP == 11 /* longest prefix */
	__uint(max_entries, 16);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix_key);
	__type(value, __u32);
#elif MAP == 12 || MAP == 13 /* maps of maps */
	__uint(max_entries, 4);
	__type(key, __u32);
	__array(values, struct inside);
#elif MAP == 14 || MAP == 25 || MAP == 16 /* devices, CPUs */
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct on_device);
#elif MAP == 15 || MAP == 18 || MAP == 20 /* sockets */
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
#elif MAP == CGROUP_STORAGE || MAP == PERCPU_CGROUP_STORAGE
	__type(key, struct bpf_cgroup_storage_key);
	__type(value, __u64);
#elif MAP == 22 || MAP == 23 /* queue, stack */
	__uint(max_entries, 16);
	__type(value, __u64);
#elif MAP == 24 || MAP == 28 || MAP == 29 || MAP == 32 /* storage that an object of the kernel has */
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct entry);
#elif MAP == 27 || MAP == 31 /* rings, not of whole pages */
	__uint(max_entries, 5000);
#elif MAP == 30 /* bloom filter */
	__uint(max_entries, 16);
	__type(value, __u32);
	__uint(map_extra, 3);
#elif MAP == ARENA
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 4);
	__ulong(map_extra, 0x100000000000ull);
#elif MAP == INSN_ARRAY
	__uint(max_entries, 1);
	__uint(key_size, 4);
	__uint(value_size, 16);
#else
#error "which map?"
#endif
} map SEC(".maps");

#if MAP == 30
/* Said in whichever way. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(key_size, sizeof(__u32));
	__type(key, int);
	__uint(value_size, 8);
	__uint(max_entries, 3);
	__uint(map_flags, BPF_F_NUMA_NODE); /* libbpf minds the node only with the flag */
	__uint(numa_node, 0);
} said_twice SEC(".maps");
#elif MAP == 2
/* The machine says how many. */
struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__type(key, int);
	__type(value, int);
} per_cpu SEC(".maps");
#elif MAP == 1
/* Rings in a map of rings. */
struct a_ring {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
};
struct a_ring one SEC(".maps"), two SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, int);
	__array(values, struct a_ring);
} rings SEC(".maps") = { .values = { &one, &two } };
#endif

/* Whatever may be done with a map of its type: the kernel has to take its address. */
SEC("tc")
int refers(void *context)
{
	asm volatile("" : : "r"(&map));
	return 0;
}
