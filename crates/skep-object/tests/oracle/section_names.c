// For each line of standard input, the program type and attach type that libbpf takes from it as a
// section's name, or a dash.
#include <stdio.h>
#include <string.h>
#include <bpf/libbpf.h>

static int silent(enum libbpf_print_level level, const char *format, va_list args)
{
	return 0;
}

int main(void)
{
	char name[256];

	libbpf_set_print(silent);
	while (fgets(name, sizeof(name), stdin)) {
		enum bpf_prog_type program;
		enum bpf_attach_type attach;

		name[strcspn(name, "\n")] = 0;
		if (libbpf_prog_type_by_name(name, &program, &attach))
			printf("%s -\n", name);
		else
			printf("%s %d %d\n", name, program, attach);
	}
	return 0;
}
