/* `lookup.rs` with libbpf: what attaching costs, beside which finding the place is all. */
#include "row.h"
#include <bpf/libbpf.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	const char *binary = argv[1], *symbol = argv[2];
	struct bpf_object *object = bpf_object__open_file(argv[argc - 1], NULL);
	LIBBPF_OPTS(bpf_uprobe_opts, options, .func_name = symbol);
	struct bpf_program *at_symbol, *at_point;
	double start;

	if (!object || bpf_object__load(object))
		return 1;
	at_symbol = bpf_object__find_program_by_name(object, "at_symbol");
	at_point = bpf_object__find_program_by_name(object, "at_point");
	start = now();
	if (!bpf_program__attach_uprobe_opts(at_symbol, -1, binary, 0, &options))
		return 1;
	printf("symbol %.0f\n", now() - start);
	start = now();
	if (!bpf_program__attach_usdt(at_point, -1, binary, "bench", "point", NULL))
		return 1;
	printf("point %.0f\n", now() - start);
	return 0;
}
