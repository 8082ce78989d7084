/* `hash.rs` with libbpf. */
#include "row.h"
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>

enum { COUNT = 100000, BATCH = 4096 };

/* The number of entries, walked in batches; adds the values to `sum`. */
static __u32 walk(int map, __u64 *sum)
{
	static __u32 keys[BATCH], position;
	static __u64 values[BATCH];
	__u32 seen = 0, count;
	void *from = NULL;
	int error;

	do {
		count = BATCH;
		error = bpf_map_lookup_batch(map, from, &position, keys, values, &count, NULL);
		if (error && error != -ENOENT)
			return 0;
		for (__u32 at = 0; at < count; at++)
			*sum += values[at];
		seen += count;
		from = &position;
	} while (!error);
	return seen;
}

int main(int argc, char **argv)
{
	struct bpf_object *object = bpf_object__open_file(argv[argc - 1], NULL);
	__u64 value, found = 0, sum = 0;
	double start, updated, looked;
	int map;

	if (!object || bpf_object__load(object))
		return 1;
	map = bpf_object__find_map_fd_by_name(object, "hash");
	start = now();
	for (__u32 key = 0; key < COUNT; key++) {
		value = key;
		if (bpf_map_update_elem(map, &key, &value, BPF_ANY))
			return 1;
	}
	updated = now();
	for (__u32 key = 0; key < COUNT; key++) {
		if (bpf_map_lookup_elem(map, &key, &value))
			return 1;
		found += value;
	}
	looked = now();
	if (walk(map, &sum) != COUNT || sum != found)
		return 1;
	printf("entry %.3f\n", (now() - looked) / COUNT);
	printf("update %.3f\nlookup %.3f\n", (updated - start) / COUNT, (looked - updated) / COUNT);
	return 0;
}
