/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Loads an object by libbpf and prints what libbpf made of it: whether it was loaded, its maps, and
 * the instructions of each program with the numbers that differ from run to run (descriptors) as 0.
 * libbpf relocates all programs before it loads the first, so that they are printed also if the
 * kernel refuses one. With "btf" before the file: loads BTF as it is, to see whether the kernel
 * takes it.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int quiet(enum libbpf_print_level level, const char *format, va_list arguments)
{
	return level == LIBBPF_WARN ? vfprintf(stderr, format, arguments) : 0;
}

static int load_btf(const char *path)
{
	static char bytes[1 << 20], log[1 << 20];
	LIBBPF_OPTS(bpf_btf_load_opts, options, .log_buf = log, .log_size = sizeof(log), .log_level = 1);
	FILE *file = fopen(path, "rb");
	size_t size = file ? fread(bytes, 1, sizeof(bytes), file) : 0;

	if (bpf_btf_load(bytes, size, &options) >= 0)
		return 0;
	perror("bpf_btf_load");
	fputs(log, stderr);
	return 1;
}

int main(int count, char **arguments)
{
	struct bpf_object *object;
	struct bpf_program *program;
	struct bpf_map *map;

	if (count == 3 && !strcmp(arguments[1], "btf"))
		return load_btf(arguments[2]);
	if (count != 2)
		return 2;
	libbpf_set_print(quiet);
	object = bpf_object__open_file(arguments[1], NULL);
	if (!object)
		return 1;
	puts(bpf_object__load(object) ? "refused" : "loaded");
	bpf_object__for_each_map(map, object)
		printf("map %s type %d key %u value %u entries %u flags %#x extra %llu\n",
		       bpf_map__name(map), bpf_map__type(map), bpf_map__key_size(map),
		       bpf_map__value_size(map), bpf_map__max_entries(map),
		       bpf_map__map_flags(map), (unsigned long long)bpf_map__map_extra(map));
	bpf_object__for_each_program(program, object) {
		const struct bpf_insn *insns = bpf_program__insns(program);
		size_t length = bpf_program__insn_cnt(program), i;

		printf("program %s type %d attach %d\n", bpf_program__name(program),
		       bpf_program__type(program), bpf_program__expected_attach_type(program));
		if (!bpf_program__autoload(program))
			continue;
		for (i = 0; i < length; i++) {
			int is_map = insns[i].code == 0x18 &&
				     (insns[i].src_reg == 1 || insns[i].src_reg == 2);

			printf("%02x %x %x %d %d\n", insns[i].code, insns[i].dst_reg,
			       insns[i].src_reg, insns[i].off, is_map ? 0 : insns[i].imm);
		}
	}
	return 0;
}
