/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* bpf_tracing.h on the machine itself: all registers, all heads of programs. */
#include "types.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

struct file;
struct pair {
	__u64 a, b;
};

unsigned long seen[16];

SEC("kprobe/one")
int registers(struct pt_regs *ctx)
{
	seen[0] = PT_REGS_PARM1(ctx) + PT_REGS_PARM2(ctx) + PT_REGS_PARM3(ctx);
	seen[1] = PT_REGS_PARM4(ctx) + PT_REGS_PARM5(ctx);
	seen[2] = PT_REGS_RET(ctx) + PT_REGS_FP(ctx) + PT_REGS_RC(ctx);
	seen[3] = PT_REGS_SP(ctx) + PT_REGS_IP(ctx);
	seen[4] = PT_REGS_PARM1_SYSCALL(ctx) + PT_REGS_PARM2_SYSCALL(ctx);
	seen[5] = PT_REGS_PARM3_SYSCALL(ctx) + PT_REGS_PARM4_SYSCALL(ctx);
	seen[6] = PT_REGS_PARM5_SYSCALL(ctx);
	BPF_KPROBE_READ_RET_IP(seen[7], ctx);
	BPF_KRETPROBE_READ_RET_IP(seen[8], ctx);
	return 0;
}

SEC("kprobe/two")
int registers_elsewhere(struct pt_regs *ctx)
{
	struct pt_regs *regs = PT_REGS_SYSCALL_REGS(ctx);

	seen[0] = PT_REGS_PARM1_CORE(regs) + PT_REGS_PARM2_CORE(regs) + PT_REGS_PARM3_CORE(regs);
	seen[1] = PT_REGS_PARM4_CORE(regs) + PT_REGS_PARM5_CORE(regs);
	seen[2] = PT_REGS_RET_CORE(regs) + PT_REGS_FP_CORE(regs) + PT_REGS_RC_CORE(regs);
	seen[3] = PT_REGS_SP_CORE(regs) + PT_REGS_IP_CORE(regs);
	seen[4] = PT_REGS_PARM1_CORE_SYSCALL(regs) + PT_REGS_PARM2_CORE_SYSCALL(regs);
	seen[5] = PT_REGS_PARM3_CORE_SYSCALL(regs) + PT_REGS_PARM4_CORE_SYSCALL(regs);
	seen[6] = PT_REGS_PARM5_CORE_SYSCALL(regs);
	return 0;
}

SEC("tp_btf/none")
int BPF_PROG(typed_none)
{
	return ctx[0] != 0;
}

SEC("fentry/three")
int BPF_PROG(typed, struct file *file, int mode, unsigned char flag)
{
	seen[0] = mode + flag + (file != NULL) + ctx[3];
	return 0;
}

SEC("fexit/twelve")
int BPF_PROG(typed_twelve, int a, int b, int c, int d, int e, int f, int g, int h, int i, int j,
	     int k, long ret)
{
	seen[0] = a + b + c + d + e + f + g + h + i + j + k + ret;
	return 0;
}

SEC("kprobe/none")
int BPF_KPROBE(probe_none)
{
	return ctx != NULL;
}

SEC("kprobe/five")
int BPF_KPROBE(probe, struct file *file, const char *name, int n, unsigned short s, long l)
{
	seen[0] = (unsigned long)file + (unsigned long)name + n + s + l;
	return 0;
}

SEC("kretprobe/five")
int BPF_KRETPROBE(probe_end, long ret)
{
	seen[0] = ret;
	return 0;
}

SEC("kretprobe/none")
int BPF_KRETPROBE(probe_end_none)
{
	return 0;
}

SEC("ksyscall/five")
int BPF_KSYSCALL(call, int a, void *b, long c, unsigned d, int e)
{
	seen[0] = a + (unsigned long)b + c + d + e;
	return 0;
}

SEC("kprobe/__x64_sys_none")
int BPF_KPROBE_SYSCALL(call_none)
{
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
