/* Static probe points with arguments of each spelling: of x86-64 linked, so that places are found,
   of arm64 as objects with made-up addresses. */
#ifdef __x86_64__
#define BASE base
#else
#define BASE 0x402000
#endif

	.macro point location, name, semaphore, arguments
	.pushsection .note.stapsdt, "", %note
	.balign 4
	.4byte 8, 8994f - 8993f, 3
	.asciz "stapsdt"
8993:	.8byte \location, BASE, \semaphore
	.asciz "seed"
	.asciz "\name"
	.asciz "\arguments"
8994:	.balign 4
	.popsection
	.endm

	.text
	.globl _start
_start:
first:	nop
second:	nop
	.data
	.globl counter
counter: .4byte 7
watchers: .2byte 0
	.section .stapsdt.base, "a", %progbits
base:	.byte 0
#ifdef __x86_64__
	point first, registers, 0, "8@%rax -4@%ebx 2@%si 1@%ah -1@%r15b 8@%rsp"
	point second, memory, watchers, "-4@-8(%rbp) 8@0x10(%rsp) 4@(%rax,%rbx,4) 8@counter+4(%rip) 4@counter(,%rcx,8)"
	point first, memory, 0, "-4@$-5 8@$0x7fffffffffffffff 4@$counter"
	point second, wrong, 0x10, "8f@%xmm0"
#else
	point 0x1000, registers, 0, "8@x0 -4@w30 8@sp 4@wzr -1@5"
	point 0x2000, memory, 0x3000, "8@[sp, 8] -4@[x1] 2@[x2, x3, lsl 1] 1@[x4, -16]!"
	point 0x2004, wrong, 0, "8@d0"
#endif
