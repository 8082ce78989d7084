/* `functions.rs` with libbpf. */
#include "row.h"
#include <bpf/libbpf.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	static const char *names[10000];
	static char line[512];
	struct bpf_object *object = bpf_object__open_file(argv[argc - 1], NULL);
	LIBBPF_OPTS(bpf_kprobe_multi_opts, options);
	struct bpf_program *program;
	struct bpf_link *link;
	FILE *list = fopen(argv[1], "r");
	size_t count = 0;
	double start;

	if (!list || !object || bpf_object__load(object))
		return 1;
	while (count < 10000 && fgets(line, sizeof(line), list)) {
		line[strcspn(line, "\n")] = 0;
		names[count++] = strdup(line);
	}
	program = bpf_object__find_program_by_name(object, "at_functions");

	options.syms = names;
	options.cnt = count;
	start = now();
	link = bpf_program__attach_kprobe_multi_opts(program, NULL, &options);
	if (!link)
		return 1;
	printf("names %.0f\n", now() - start);
	bpf_link__destroy(link);

	start = now();
	link = bpf_program__attach_kprobe_multi_opts(program, argv[2], NULL);
	/* Before 1.2 it takes what only looks like a function, which kernels refuse. */
	if (link)
		printf("pattern %.0f\n", now() - start);
	return 0;
}
