/* `ring.rs` with libbpf. */
#include "row.h"
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <pthread.h>
#include <stdlib.h>

static __u64 seen, sum;

static int on_record(void *context, void *data, size_t size)
{
	seen++;
	sum += *(__u64 *)data;
	return 0;
}

static int run(int program)
{
	static char packet[64];
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = packet, .data_size_in = sizeof(packet));
	return bpf_prog_test_run_opts(program, &options);
}

static int drain(int program, struct ring_buffer *ring)
{
	double start;

	if (run(program))
		return 1;
	start = now();
	if (ring_buffer__consume(ring) < 0)
		return 1;
	printf("record %.3f\n", (now() - start) / seen);
	return 0;
}

static int done;

static void *produce(void *program)
{
	for (int times = 0; times < 20; times++)
		if (run(*(int *)program))
			abort();
	__atomic_store_n(&done, 1, __ATOMIC_RELEASE);
	return NULL;
}

static int concurrent(int program, struct ring_buffer *ring)
{
	double start = now(), last = start;
	pthread_t producer;

	if (pthread_create(&producer, NULL, produce, &program))
		return 1;
	for (;;) {
		int ended = __atomic_load_n(&done, __ATOMIC_ACQUIRE);
		int read = ring_buffer__poll(ring, 1);
		if (read < 0)
			return 1;
		if (read)
			last = now();
		else if (ended)
			break;
	}
	pthread_join(producer, NULL);
	printf("record %.3f\n", (last - start) / seen);
	return 0;
}

int main(int argc, char **argv)
{
	struct bpf_object *object;
	struct ring_buffer *ring;
	char name[32];
	int program, draining;

	if (argc != 4)
		return 2;
	draining = !strcmp(argv[1], "drain");
	snprintf(name, sizeof(name), "%s%s", draining ? "quiet" : "waking", argv[2]);
	object = bpf_object__open_file(argv[3], NULL);
	if (!object || bpf_object__load(object))
		return 1;
	program = bpf_program__fd(bpf_object__find_program_by_name(object, name));
	ring = ring_buffer__new(bpf_object__find_map_fd_by_name(object, "ring"), on_record, NULL, NULL);
	if (program < 0 || !ring)
		return 1;
	return draining ? drain(program, ring) : concurrent(program, ring);
}
