/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Loads an object by libbpf and prints what libbpf made of it: whether it was loaded, its maps, and
 * the instructions of each program with the numbers that differ from run to run (descriptors) as 0.
 * libbpf relocates all programs before it loads the first, so that they are printed also if the
 * kernel refuses one. With "btf" before the file: loads BTF as it is, to see whether the kernel
 * takes it. With "core" and a file of BTF before the object: relocates by those types. With "usdt": attaches one program to a static probe point of a binary, and prints what
 * programs are told of its arguments.
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

/* usdt OBJECT PROGRAM BINARY PROVIDER NAME */
static int usdt(char **arguments)
{
	struct bpf_object *object = bpf_object__open_file(arguments[2], NULL);
	struct bpf_program *program, *wanted = NULL;
	struct bpf_map *specs;
	unsigned char value[4096];
	unsigned int key, i, size;

	if (!object)
		return 1;
	bpf_object__for_each_program(program, object) {
		int chosen = !strcmp(bpf_program__name(program), arguments[3]);

		bpf_program__set_autoload(program, chosen);
		wanted = chosen ? program : wanted;
	}
	if (!wanted || bpf_object__load(object))
		return 1;
	if (!bpf_program__attach_usdt(wanted, -1, arguments[4], arguments[5], arguments[6], NULL))
		return 1;
	specs = bpf_object__find_map_by_name(object, "__bpf_usdt_specs");
	size = specs ? bpf_map__value_size(specs) : 0;
	if (!size || size > sizeof(value))
		return 1;
	for (key = 0; key < bpf_map__max_entries(specs); key++) {
		int any = 0;

		if (bpf_map__lookup_elem(specs, &key, sizeof(key), value, size, 0))
			return 1;
		for (i = 0; i < size; i++)
			any |= value[i];
		for (i = 0; any && i < size; i++)
			printf("%02x", value[i]);
		if (any)
			puts("");
	}
	return 0;
}

int main(int count, char **arguments)
{
	struct bpf_object *object;
	struct bpf_program *program;
	struct bpf_map *map;

	if (count == 3 && !strcmp(arguments[1], "btf"))
		return load_btf(arguments[2]);
	libbpf_set_print(quiet);
	if (count == 7 && !strcmp(arguments[1], "usdt"))
		return usdt(arguments);
	if (count == 4 && !strcmp(arguments[1], "core")) {
		LIBBPF_OPTS(bpf_object_open_opts, options, .btf_custom_path = arguments[2]);

		object = bpf_object__open_file(arguments[3], &options);
	} else if (count == 2) {
		object = bpf_object__open_file(arguments[1], NULL);
	} else {
		return 2;
	}
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
