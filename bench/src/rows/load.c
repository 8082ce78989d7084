/* `load.rs` with libbpf. */
#include "row.h"
#include <bpf/libbpf.h>

int main(int argc, char **argv)
{
	struct counters before = counters(), after;
	double start = now(), all;
	struct bpf_object *object = bpf_object__open_file(argv[argc - 1], NULL);

	if (!object || bpf_object__load(object))
		return 1;
	all = now() - start;
	after = counters();
	if (after.load_calls == before.load_calls)
		return 1;
	printf("all %.0f\nbpf_calls %lu\n", all, after.bpf_calls - before.bpf_calls);
	printf("over %.4f\n", all / (after.load_nanos - before.load_nanos));
	printf("own %.0f\n", all - (after.bpf_nanos - before.bpf_nanos));
	return 0;
}
