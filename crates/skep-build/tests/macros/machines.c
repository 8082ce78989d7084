/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * bpf_tracing.h for every machine: each register macro names a member that the
 * machine's struct has. The structs are declared here as its uapi headers do, so
 * that no foreign headers are needed.
 */
typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef int __s32;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;

#if defined(__TARGET_ARCH_x86)
struct pt_regs {
	unsigned long r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi;
	unsigned long orig_rax, rip, cs, eflags, rsp, ss;
};
#define REGISTERS 6
#elif defined(__TARGET_ARCH_i386)
struct pt_regs {
	long ebx, ecx, edx, esi, edi, ebp, eax;
	int xds, xes, xfs, xgs;
	long orig_eax, eip;
	int xcs;
	long eflags, esp;
	int xss;
};
#define REGISTERS 3
#elif defined(__TARGET_ARCH_arm64)
struct user_pt_regs {
	__u64 regs[31], sp, pc, pstate;
};
#define REGISTERS 8
#elif defined(__TARGET_ARCH_arm)
struct pt_regs {
	unsigned long uregs[18];
};
#define REGISTERS 4
#define SEVENTH_CALL_ARGUMENT
#elif defined(__TARGET_ARCH_riscv)
struct user_regs_struct {
	unsigned long pc, ra, sp, gp, tp, t0, t1, t2, s0, s1, a0, a1, a2, a3, a4, a5, a6, a7;
};
#define REGISTERS 8
#elif defined(__TARGET_ARCH_s390)
typedef struct {
	unsigned long args[1];
	struct {
		unsigned long mask, addr;
	} psw;
	unsigned long gprs[16];
} user_pt_regs;
#define REGISTERS 5
#elif defined(__TARGET_ARCH_powerpc)
struct pt_regs {
	unsigned long gpr[32], nip, msr, orig_gpr3, ctr, link;
};
#define REGISTERS 8
#define NO_FRAME_POINTER
#elif defined(__TARGET_ARCH_loongarch)
struct user_pt_regs {
	unsigned long regs[32], orig_a0, csr_era, csr_badv;
};
#define REGISTERS 8
#elif defined(__TARGET_ARCH_mips)
struct pt_regs {
	__u64 regs[32], lo, hi, cp0_epc;
};
#define REGISTERS 8
#endif

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

unsigned long seen[8];

SEC("kprobe/all")
int registers(struct pt_regs *ctx)
{
	seen[0] = PT_REGS_PARM1(ctx) + PT_REGS_PARM2(ctx) + PT_REGS_PARM3_CORE(ctx);
#if REGISTERS >= 4
	seen[0] += PT_REGS_PARM4(ctx) + PT_REGS_PARM4_CORE(ctx);
#endif
#if REGISTERS >= 6
	seen[0] += PT_REGS_PARM5(ctx) + PT_REGS_PARM6_CORE(ctx);
#endif
#if REGISTERS >= 8
	seen[0] += PT_REGS_PARM7(ctx) + PT_REGS_PARM8(ctx) + PT_REGS_PARM8_CORE(ctx);
#endif
	seen[1] = PT_REGS_RET(ctx) + PT_REGS_RC(ctx) + PT_REGS_SP(ctx) + PT_REGS_IP(ctx);
	seen[1] += PT_REGS_IP_CORE(ctx) + PT_REGS_SP_CORE(ctx) + PT_REGS_RC_CORE(ctx);
#ifndef NO_FRAME_POINTER
	seen[2] = PT_REGS_FP(ctx) + PT_REGS_FP_CORE(ctx);
	BPF_KRETPROBE_READ_RET_IP(seen[3], ctx);
#endif
	BPF_KPROBE_READ_RET_IP(seen[4], ctx);
	return 0;
}

SEC("kprobe/calls")
int calls(struct pt_regs *ctx)
{
	struct pt_regs *regs = PT_REGS_SYSCALL_REGS(ctx);

	seen[0] = PT_REGS_PARM1_SYSCALL(ctx) + PT_REGS_PARM2_SYSCALL(ctx) +
		  PT_REGS_PARM3_SYSCALL(ctx) + PT_REGS_PARM4_SYSCALL(ctx) +
		  PT_REGS_PARM5_SYSCALL(ctx) + PT_REGS_PARM6_SYSCALL(ctx);
	seen[1] = PT_REGS_PARM1_CORE_SYSCALL(regs) + PT_REGS_PARM2_CORE_SYSCALL(regs) +
		  PT_REGS_PARM6_CORE_SYSCALL(regs);
#ifdef SEVENTH_CALL_ARGUMENT
	seen[1] += PT_REGS_PARM7_SYSCALL(ctx) + PT_REGS_PARM7_CORE_SYSCALL(regs);
#endif
	return 0;
}

SEC("ksyscall/openat")
int BPF_KSYSCALL(openat, int folder, const char *path, int flags)
{
	seen[0] = folder + (unsigned long)path + flags;
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
