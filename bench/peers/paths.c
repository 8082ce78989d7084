/* The hot paths with libbpf: each prints one or more lines `name nanoseconds`.
 *   paths btf
 *   paths drain|both|map OBJECT
 */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static double now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e9 + time.tv_nsec;
}

static int btf(void)
{
	double start = now(), parsed;
	struct btf *kernel = btf__load_vmlinux_btf();

	parsed = now();
	if (!kernel || btf__find_by_name_kind(kernel, "vfs_read", BTF_KIND_FUNC) < 0)
		return 1;
	printf("parse %.0f\nfind %.0f\n", parsed - start, now() - parsed);
	return 0;
}

static __u64 seen, sum;

static int on_record(void *context, void *data, size_t size)
{
	seen++;
	sum += *(__u64 *)data;
	return 0;
}

static int run(struct bpf_object *object, const char *name)
{
	LIBBPF_OPTS(bpf_test_run_opts, options);
	return bpf_prog_test_run_opts(bpf_program__fd(bpf_object__find_program_by_name(object, name)), &options);
}

static int drain(struct bpf_object *object, struct ring_buffer *ring)
{
	double start;

	if (run(object, "fill"))
		return 1;
	start = now();
	if (ring_buffer__consume(ring) < 0)
		return 1;
	printf("drain %.3f\n", (now() - start) / seen);
	return 0;
}

static volatile int done;

static void *produce(void *object)
{
	for (int times = 0; times < 20; times++)
		run(object, "produce");
	done = 1;
	return NULL;
}

static int both(struct bpf_object *object, struct ring_buffer *ring)
{
	double start = now();
	pthread_t producer;

	if (pthread_create(&producer, NULL, produce, object))
		return 1;
	while (!done)
		if (ring_buffer__poll(ring, 10) < 0)
			return 1;
	ring_buffer__consume(ring);
	printf("both %.3f\n", (now() - start) / seen);
	pthread_join(producer, NULL);
	return 0;
}

static int map(struct bpf_object *object)
{
	int fd = bpf_object__find_map_fd_by_name(object, "hash");
	const __u32 count = 10000, rounds = 20;
	double start = now(), updated;
	__u64 value, total = 0;

	for (__u32 round = 0; round < rounds; round++)
		for (__u32 key = 0; key < count; key++) {
			value = key;
			if (bpf_map_update_elem(fd, &key, &value, BPF_ANY))
				return 1;
		}
	updated = now();
	for (__u32 round = 0; round < rounds; round++)
		for (__u32 key = 0; key < count; key++) {
			if (bpf_map_lookup_elem(fd, &key, &value))
				return 1;
			total += value;
		}
	printf("update %.3f\nlookup %.3f\n", (updated - start) / count / rounds, (now() - updated) / count / rounds);
	return total == 0;
}

int main(int argc, char **argv)
{
	struct bpf_object *object;
	struct ring_buffer *ring;

	if (argc == 2 && !strcmp(argv[1], "btf"))
		return btf();
	if (argc < 3)
		return 2;
	object = bpf_object__open_file(argv[2], NULL);
	if (!object || bpf_object__load(object))
		return 1;
	if (!strcmp(argv[1], "map"))
		return map(object);
	ring = ring_buffer__new(bpf_object__find_map_fd_by_name(object, "ring"), on_record, NULL, NULL);
	if (!ring)
		return 1;
	return strcmp(argv[1], "both") ? drain(object, ring) : both(object, ring);
}
