/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Kinds of types that kernels learnt one after the other.
 */
#include "test.h"

char LICENSE[] SEC("license") = "GPL";

#if __clang_major__ >= 15
#define TYPE_TAG(text) __attribute__((btf_type_tag(text)))
#else
#define TYPE_TAG(text)
#endif

enum wide { WIDE_LOW = 1, WIDE_HIGH = 0x100000000ull };
enum negative { BELOW = -1, ABOVE = 1 };

struct a_struct_name {
	double a_member_;
	float small TAG("a tag: with text");
	enum wide wide;
	enum negative negative;
	int TYPE_TAG("kernel") *pointer;
	unsigned bits : 3;
	unsigned more : 9;
};

struct a_struct_name value;

HIDDEN NOINLINE int hidden(int (*unnamed)(int, char *), int count TAG("an argument"))
{
	return unnamed && count ? 3 : value.bits;
}

SEC("socket")
int kinds(void *context)
{
	return hidden(0, value.more);
}
