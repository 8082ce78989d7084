/* `start_tool.rs` with libbpf: opens, loads, attaches, says so, waits. */
#include <bpf/libbpf.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	struct bpf_object *object = argc > 1 ? bpf_object__open_file(argv[1], NULL) : NULL;
	struct bpf_program *program;
	struct ring_buffer *ring;

	if (!object || bpf_object__load(object))
		return 1;
	bpf_object__for_each_program(program, object)
		if (!bpf_program__attach(program))
			return 1;
	ring = ring_buffer__new(bpf_object__find_map_fd_by_name(object, "events"), NULL, NULL, NULL);
	if (!ring)
		return 1;
	puts("ready");
	fflush(stdout);
	getchar();
	return 0;
}
