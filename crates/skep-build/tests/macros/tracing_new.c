/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* bpf_tracing.h: what came after libbpf 1.1. */
#include "types.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

struct pair {
	__u64 a, b;
};
struct small {
	__u8 a, b;
};

unsigned long seen[4];

SEC("fentry/structs")
int BPF_PROG2(structs, struct pair, p, int, n, struct small, s, unsigned char, c, void *, q)
{
	seen[0] = p.a + p.b + n + s.a + s.b + c + (q != NULL);
	return 0;
}

SEC("fentry/none")
int BPF_PROG2(structs_none)
{
	return ctx[0] != 0;
}

SEC("uprobe")
int BPF_UPROBE(user, int a, void *b)
{
	seen[0] = a + (b != NULL);
	return 0;
}

SEC("uretprobe")
int BPF_URETPROBE(user_end, int ret)
{
	seen[0] = ret;
	return 0;
}

SEC("ksyscall/six")
int BPF_KSYSCALL(call, int a, void *b, long c, unsigned d, int e, int f)
{
	struct pt_regs *regs = PT_REGS_SYSCALL_REGS(ctx);

	seen[0] = a + (unsigned long)b + c + d + e + f;
	seen[1] = PT_REGS_PARM6_SYSCALL(ctx) + PT_REGS_PARM6_CORE_SYSCALL(regs);
	seen[2] = PT_REGS_PARM6(ctx) + PT_REGS_PARM6_CORE(regs);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
