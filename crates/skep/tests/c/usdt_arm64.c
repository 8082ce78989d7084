// SPDX-License-Identifier: MIT OR Apache-2.0
// Static probe points of a program for 64-bit Arm, in a clang's and in a gcc's spelling: compiled to
// an object and never run. No library is needed, and no header.

// A point: its instruction, and its note, with an address as a linker would have it.
#define POINT(name, arguments)                                            \
	"	nop\n"                                                    \
	"	.pushsection .note.stapsdt, \"\", \"note\"\n"             \
	"	.balign 4\n"                                              \
	"	.4byte 8992f - 8991f, 8994f - 8993f, 3\n"                 \
	"8991:	.asciz \"stapsdt\"\n"                                     \
	"8992:	.balign 4\n"                                              \
	"8993:	.8byte 0x400000, 0, 0\n"                                  \
	"	.asciz \"skep_test\"\n"                                   \
	"	.asciz \"" name "\"\n"                                    \
	"	.asciz \"" arguments "\"\n"                               \
	"8994:	.balign 4\n"                                              \
	"	.popsection\n"

void points(int first, long second, long *memory)
{
	register int small __asm__("x3") = first;
	register long large __asm__("x21") = second;

	// Spelled by the compiler; in registers of our choice, but for the address.
	__asm__ volatile(POINT("compiled", "-4@%w0 8@%1 -4@%2 -8@%3")
			 : : "r"(small), "r"(large), "i"(-5), "m"(memory[4]));
	// As gcc spells them.
	__asm__ volatile(POINT("written", "-4@[sp, 12] 8@x0 4@w3 -4@#5 8@[x1, x2, lsl 3] 1@[x29, -16]"));
	__asm__ volatile(POINT("none", ""));
	__asm__ volatile(POINT("floating", "8@d0"));
}
