// SPDX-License-Identifier: MIT OR Apache-2.0
// Static probe points whose arguments are in every kind of place: what the tests of USDT watch.
// The notes are written by hand, so that each place is what the test wants and not what a compiler
// chooses. Compiled as a program at a fixed address (FIXED), as one at any address, and as a
// library (LIBRARY) with a program that calls it (CALLER).
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void usdt_fire(unsigned long page_end);
unsigned short usdt_watchers(void);

#ifndef CALLER

// A point: its instruction, and its note with the addresses of both and of the counter.
__asm__(".macro point name, arguments, semaphore=0\n"
	"8990:	nop\n"
	"	.pushsection .note.stapsdt, \"\", \"note\"\n"
	"	.balign 4\n"
	"	.4byte 8992f - 8991f, 8994f - 8993f, 3\n"
	"8991:	.asciz \"stapsdt\"\n"
	"8992:	.balign 4\n"
	"8993:	.8byte 8990b, usdt_base, \\semaphore\n"
	"	.asciz \"skep_test\"\n"
	"	.asciz \"\\name\"\n"
	"	.asciz \"\\arguments\"\n"
	"8994:	.balign 4\n"
	"	.popsection\n"
	".endm\n"
	"	.pushsection .stapsdt.base, \"a\", \"progbits\"\n"
	"usdt_base: .byte 0\n"
	"	.popsection\n");

unsigned short usdt_semaphore __attribute__((section(".probes")));
// Known to the assembler by these names, and to nobody outside.
__attribute__((used)) static int usdt_counter = -77;
__attribute__((used)) static int usdt_table[4] = {1000, -2000, 3000, -4000};

// On the stack while points are reached, 64 bytes from the stack pointer on.
static const struct {
	unsigned long whole;
	int negative;
	unsigned int half;
	short small;
	unsigned char byte;
	signed char negative_byte;
	int other[11];
} usdt_frame = {
	0x0102030405060708, -5, 0xfffffff0, -6, 0xc8, -7,
	{10, -11, 12, -13, 14, -15, 16, -17, 18, -19, 20},
};
_Static_assert(sizeof(usdt_frame) == 64, "what the code below makes room for");

void usdt_points(const void *frame, unsigned long page_end);

#ifdef __x86_64__
__asm__("	.text\n"
	"	.globl usdt_points\n"
	"	.type usdt_points, @function\n"
	"usdt_points:\n"
	"	push %rbx\n	push %rbp\n	push %r12\n	push %r13\n	push %r14\n	push %r15\n"
	"	mov %rsi, %rdx\n" // the page's end
	"	sub $64, %rsp\n"
	"	mov %rdi, %rsi\n	mov %rsp, %rdi\n	mov $8, %ecx\n	rep movsq\n"
	"	point page_end, \"-4@-4(%rdx) 2@-2(%rdx) 1@-1(%rdx)\"\n"
	"	movabs $0xa1a2a3a4a5a6a7a8, %rax\n"
	"	movabs $0xb1b2b3b4b5b6b7b8, %rbx\n"
	"	movabs $0xc1c2c3c4c5c6c7c8, %rcx\n"
	"	movabs $0xd1d2d3d4d5d6d7d8, %rdx\n"
	"	movabs $0xe1e2e3e4e5e6e7e8, %rsi\n"
	"	movabs $0xf1f2f3f4f5f6f7f8, %rdi\n"
	"	movabs $0x0102030405060708, %rbp\n"
	"	movabs $0x8182838485868788, %r8\n"
	"	movabs $0x9192939495969798, %r9\n"
	"	movabs $0x1011121314151617, %r10\n"
	"	movabs $0x2021222324252627, %r11\n"
	"	movabs $0x3031323334353637, %r12\n"
	"	movabs $0x4041424344454647, %r13\n"
	"	movabs $0x50515253545556d7, %r14\n"
	"	movabs $0x60616263e4656667, %r15\n"
	"	point registers, \"8@%rax -8@%rbx 4@%ecx -4@%edx 2@%si -2@%di 1@%r8b -1@%r9b 1@%ah -1@%bh 8@%r10 -4@%r11d\"\n"
	"	point more_registers, \"2@%r12w -8@%r13 -1@%r14b -4@%r15d 8@%rbp 1@%bpl 1@%sil 1@%cl -1@%dh 4@%rax 8@%ebx\"\n"
	"	mov $3, %rax\n"
	"	mov $2, %rbx\n"
	"	point memory, \"8@(%rsp) -4@8(%rsp) 4@12(%rsp) -2@0x10(%rsp) 2@16(%rsp) 1@18(%rsp) -1@19(%rsp) -4@20(%rsp) -8@20(%rsp) 4@2+22(%rsp)\"\n"
	"	point indexed, \"-4@20(%rsp,%rax,4) -4@(%rsp,%rbx,8) -4@20(%rsp,%rbx,8) 1@(%rsp,%rbx) 4@17(%rsp,%rax,1) 2@10(%rsp,%rax,2)\"\n"
	"	point code, \"-4@usdt_counter(%rip) -4@usdt_table+4(%rip) -4@8+usdt_table(%rip)\"\n"
#ifdef FIXED
	"	point fixed, \"-4@usdt_counter -4@usdt_table+12 -4@usdt_table(,%rax,4) -4@usdt_table-8(,%rbx,8)\"\n"
	"	mov $usdt_table, %rcx\n"
	"	point address, \"8@$usdt_table 8@%rcx -4@$usdt_table+4\"\n"
#endif
	"	point constants, \"-4@$-1 4@$-1 8@$-5 1@$255 -1@$255 -8@$0x7fffffffffffffff 8@$18446744073709551615 2@$65537 -2@$0 1@$7\"\n"
	"	point none, \"\"\n"
	"	point watched, \"-4@$9\", usdt_semaphore\n"
	"	point many, \"-4@$1\"\n"
	"	point many, \"-4@%eax\"\n"
	"	point many, \"-4@$1\"\n"
	"	point floating, \"4@$1 8f@%xmm0\"\n"
	"	point thirteen, \"1@$1 1@$1 1@$1 1@$1 1@$1 1@$1 1@$1 1@$1 1@$1 1@$1 1@$1 1@$1 1@$1\"\n"
	"	add $64, %rsp\n"
	"	pop %r15\n	pop %r14\n	pop %r13\n	pop %r12\n	pop %rbp\n	pop %rbx\n"
	"	ret\n"
	"	.size usdt_points, . - usdt_points\n");
#else
#error "the points of this machine are not written yet"
#endif

void usdt_fire(unsigned long page_end)
{
	usdt_points(&usdt_frame, page_end);
}

unsigned short usdt_watchers(void)
{
	return *(volatile unsigned short *)&usdt_semaphore;
}
#endif // CALLER

#ifndef LIBRARY
int main(void)
{
	long page = sysconf(_SC_PAGESIZE), times;
	// The page behind is not there, so that nothing may be read beyond an argument's end.
	char *pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (pages == MAP_FAILED || munmap(pages + page, page))
		return 1;
	memcpy(pages + page - 4, &(int){0xff85fe84}, 4);
	puts("ready");
	fflush(stdout);
	while (scanf("%ld", &times) == 1) {
		for (long i = 0; i < times; i++)
			usdt_fire((unsigned long)pages + page);
		printf("%hu\n", usdt_watchers());
		fflush(stdout);
	}
	return 0;
}
#endif
