/* SPDX-License-Identifier: MIT OR Apache-2.0
 * What the tests' programs need of a BPF program's headers, in few lines of our own.
 */
#pragma once

typedef signed char s8;
typedef unsigned char u8;
typedef short s16;
typedef unsigned short u16;
typedef int s32;
typedef unsigned int u32;
typedef long long s64;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))
#define NOINLINE __attribute__((noinline))
#define INLINE static inline __attribute__((always_inline))
#define TAG(text) __attribute__((btf_decl_tag(text)))
#define KSYM __attribute__((section(".ksyms")))
#define KCONFIG __attribute__((section(".kconfig")))
#define WEAK __attribute__((weak))
#define HIDDEN __attribute__((visibility("hidden")))

/* A map's shape is the type of a struct that is never read. */
#define __uint(name, value) int (*name)[value]
#define __type(name, value) typeof(value) *name
#define __array(name, value) typeof(value) *name[]

enum {
	MAP_HASH = 1,
	MAP_ARRAY = 2,
	MAP_PROG_ARRAY = 3,
	MAP_PERF_EVENT_ARRAY = 4,
	MAP_PERCPU_ARRAY = 6,
	MAP_STACK_TRACE = 7,
	MAP_ARRAY_OF_MAPS = 12,
	MAP_HASH_OF_MAPS = 13,
	MAP_RINGBUF = 27,
	MAP_BLOOM_FILTER = 30,
};

/* Helpers, by their numbers. */
static void *(*const map_lookup)(void *map, const void *key) = (void *)1;
static long (*const map_update)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static long (*const probe_read_kernel)(void *to, u32 size, const void *from) = (void *)113;
static u64 (*const ktime)(void) = (void *)5;
static long (*const tail_call)(void *context, void *map, u32 index) = (void *)12;
static u64 (*const current_pid_tgid)(void) = (void *)14;
static void *(*const current_task)(void) = (void *)35;
static long (*const ringbuf_output)(void *map, void *data, u64 size, u64 flags) = (void *)130;
static void *(*const current_task_btf)(void) = (void *)158;
static long (*const loop)(u32 count, void *function, void *context, u64 flags) = (void *)181;

/* CO-RE. */
#define CORE __attribute__((preserve_access_index))
#define core_offset(type, field) ((u64)__builtin_preserve_access_index(&((typeof(type) *)0)->field))
#define core_info(type, field, kind) __builtin_preserve_field_info(((typeof(type) *)0)->field, kind)
#define core_type_id_local(type) __builtin_btf_type_id(*(typeof(type) *)0, 0)
#define core_type_id_target(type) __builtin_btf_type_id(*(typeof(type) *)0, 1)
#define core_type_exists(type) __builtin_preserve_type_info(*(typeof(type) *)0, 0)
#define core_type_size(type) __builtin_preserve_type_info(*(typeof(type) *)0, 1)
#define core_type_matches(type) __builtin_preserve_type_info(*(typeof(type) *)0, 2)
#define core_enum_exists(type, value) __builtin_preserve_enum_value(*(typeof(type) *)value, 0)
#define core_enum_value(type, value) __builtin_preserve_enum_value(*(typeof(type) *)value, 1)

enum { BYTE_OFFSET = 0, BYTE_SIZE = 1, EXISTS = 2, SIGNED = 3, LSHIFT = 4, RSHIFT = 5 };
