/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Arguments of traced functions under their names and types: registers of every
 * architecture (PT_REGS_*) and the heads of programs (BPF_PROG, BPF_KPROBE …).
 *
 * The traced machine is not the one that runs the compiler's output, so it must
 * be named: -D__TARGET_ARCH_x86 and so on. `skep build` does it.
 *
 * Part of Skep; the names are those that libbpf made usual.
 */
#ifndef __BPF_TRACING_H__
#define __BPF_TRACING_H__

#include "bpf_helpers.h"
#include "bpf_core_read.h"

struct pt_regs;

/* ---- Registers --------------------------------------------------------- */

/*
 * For each architecture, as members of the struct that __skep_regs gives:
 * __skep_arg1 … 8 (function arguments, as many as go in registers),
 * __skep_sys1 … 7 (system call arguments, where they differ from these),
 * __skep_return (the return address, or on x86 what points to it),
 * __skep_frame, __skep_result, __skep_stack and __skep_pc.
 *
 * Some kernels show user space another struct than their own pt_regs; that is
 * then the one with stable names. __skep_first is the flavor of pt_regs with the
 * first system call argument as it was before the result took its register.
 */
#if defined(__TARGET_ARCH_x86) || defined(__TARGET_ARCH_i386)

#define bpf_target_x86
#if defined(__i386__) || defined(__TARGET_ARCH_i386)
/* The kernel is built with -mregparm=3. */
#if defined(__KERNEL__) || defined(__VMLINUX_H__)
#define __skep_x86(name) name
#else
#define __skep_x86(name) e##name
#endif
#define __skep_arg1 __skep_x86(ax)
#define __skep_arg2 __skep_x86(dx)
#define __skep_arg3 __skep_x86(cx)
#define __skep_sys1 __skep_x86(bx)
#define __skep_sys2 __skep_x86(cx)
#define __skep_sys3 __skep_x86(dx)
#define __skep_sys4 __skep_x86(si)
#define __skep_sys5 __skep_x86(di)
#define __skep_sys6 __skep_x86(bp)
#else
/* System V psABI; a system call has its fourth argument in r10. */
#if defined(__KERNEL__) || defined(__VMLINUX_H__)
#define __skep_x86(name) name
#else
#define __skep_x86(name) r##name
#endif
#define __skep_arg1 __skep_x86(di)
#define __skep_arg2 __skep_x86(si)
#define __skep_arg3 __skep_x86(dx)
#define __skep_arg4 __skep_x86(cx)
#define __skep_arg5 r8
#define __skep_arg6 r9
#define __skep_sys4 r10
#endif
#define __skep_return __skep_x86(sp)
#define __skep_frame __skep_x86(bp)
#define __skep_result __skep_x86(ax)
#define __skep_stack __skep_x86(sp)
#define __skep_pc __skep_x86(ip)

#elif defined(__TARGET_ARCH_arm64)

#define bpf_target_arm64
/* AAPCS64. */
#define __skep_regs(x) ((const struct user_pt_regs *)(x))
struct pt_regs___skep {
	unsigned long orig_x0;
} __attribute__((preserve_access_index));
#define __skep_first(x) ((const struct pt_regs___skep *)(x))
#define __skep_sys1 orig_x0
#define __skep_arg1 regs[0]
#define __skep_arg2 regs[1]
#define __skep_arg3 regs[2]
#define __skep_arg4 regs[3]
#define __skep_arg5 regs[4]
#define __skep_arg6 regs[5]
#define __skep_arg7 regs[6]
#define __skep_arg8 regs[7]
#define __skep_return regs[30]
#define __skep_frame regs[29]
#define __skep_result regs[0]
#define __skep_stack sp
#define __skep_pc pc

#elif defined(__TARGET_ARCH_arm)

#define bpf_target_arm
/* AAPCS32, EABI system calls. */
#define __skep_arg1 uregs[0]
#define __skep_arg2 uregs[1]
#define __skep_arg3 uregs[2]
#define __skep_arg4 uregs[3]
#define __skep_sys5 uregs[4]
#define __skep_sys6 uregs[5]
#define __skep_sys7 uregs[6]
#define __skep_return uregs[14]
#define __skep_frame uregs[11]
#define __skep_result uregs[0]
#define __skep_stack uregs[13]
#define __skep_pc uregs[15]

#elif defined(__TARGET_ARCH_riscv)

#define bpf_target_riscv
/* RISC-V psABI. */
#define __skep_regs(x) ((const struct user_regs_struct *)(x))
struct pt_regs___skep {
	unsigned long orig_a0;
} __attribute__((preserve_access_index));
#define __skep_first(x) ((const struct pt_regs___skep *)(x))
#define __skep_sys1 orig_a0
#define __skep_arg1 a0
#define __skep_arg2 a1
#define __skep_arg3 a2
#define __skep_arg4 a3
#define __skep_arg5 a4
#define __skep_arg6 a5
#define __skep_arg7 a6
#define __skep_arg8 a7
#define __skep_return ra
#define __skep_frame s0
#define __skep_result a0
#define __skep_stack sp
#define __skep_pc pc

#elif defined(__TARGET_ARCH_s390)

#define bpf_target_s390
/* s390x ELF ABI. */
#define __skep_regs(x) ((const user_pt_regs *)(x))
struct pt_regs___skep {
	unsigned long orig_gpr2;
} __attribute__((preserve_access_index));
#define __skep_first(x) ((const struct pt_regs___skep *)(x))
#define __skep_sys1 orig_gpr2
#define __skep_arg1 gprs[2]
#define __skep_arg2 gprs[3]
#define __skep_arg3 gprs[4]
#define __skep_arg4 gprs[5]
#define __skep_arg5 gprs[6]
#define __skep_sys6 gprs[7]
#define __skep_return gprs[14]
#define __skep_frame gprs[11]
#define __skep_result gprs[2]
#define __skep_stack gprs[15]
#define __skep_pc psw.addr

#elif defined(__TARGET_ARCH_powerpc)

#define bpf_target_powerpc
/* Power ELF ABI; no wrappers around system calls. */
#define PT_REGS_SYSCALL_REGS(ctx) (ctx)
#define __skep_arg1 gpr[3]
#define __skep_arg2 gpr[4]
#define __skep_arg3 gpr[5]
#define __skep_arg4 gpr[6]
#define __skep_arg5 gpr[7]
#define __skep_arg6 gpr[8]
#define __skep_arg7 gpr[9]
#define __skep_arg8 gpr[10]
#define __skep_sys1 orig_gpr3
#define __skep_return link
#define __skep_frame no_frame_pointer_on_this_architecture
#define __skep_result gpr[3]
#define __skep_stack gpr[1]
#define __skep_pc nip

#elif defined(__TARGET_ARCH_loongarch)

#define bpf_target_loongarch
/* LoongArch psABI; no wrappers around system calls. */
#define __skep_regs(x) ((const struct user_pt_regs *)(x))
#define PT_REGS_SYSCALL_REGS(ctx) (ctx)
#define __skep_arg1 regs[4]
#define __skep_arg2 regs[5]
#define __skep_arg3 regs[6]
#define __skep_arg4 regs[7]
#define __skep_arg5 regs[8]
#define __skep_arg6 regs[9]
#define __skep_arg7 regs[10]
#define __skep_arg8 regs[11]
#define __skep_return regs[1]
#define __skep_frame regs[22]
#define __skep_result regs[4]
#define __skep_stack regs[3]
#define __skep_pc csr_era

#elif defined(__TARGET_ARCH_mips)

#define bpf_target_mips
/* N64. */
#define __skep_arg1 regs[4]
#define __skep_arg2 regs[5]
#define __skep_arg3 regs[6]
#define __skep_arg4 regs[7]
#define __skep_arg5 regs[8]
#define __skep_arg6 regs[9]
#define __skep_arg7 regs[10]
#define __skep_arg8 regs[11]
#define __skep_return regs[31]
#define __skep_frame regs[30]
#define __skep_result regs[2]
#define __skep_stack regs[29]
#define __skep_pc cp0_epc

#else
#define __skep_no_target
#endif

#ifndef __skep_no_target
#define bpf_target_defined
#endif

#ifndef __skep_regs
#define __skep_regs(x) (x)
#endif

#ifndef __skep_arg4
#define __skep_arg4 argument_4_is_not_in_a_register_on_this_architecture
#endif
#ifndef __skep_arg5
#define __skep_arg5 argument_5_is_not_in_a_register_on_this_architecture
#endif
#ifndef __skep_arg6
#define __skep_arg6 argument_6_is_not_in_a_register_on_this_architecture
#endif
#ifndef __skep_arg7
#define __skep_arg7 argument_7_is_not_in_a_register_on_this_architecture
#endif
#ifndef __skep_arg8
#define __skep_arg8 argument_8_is_not_in_a_register_on_this_architecture
#endif

#ifndef __skep_sys1
#define __skep_sys1 __skep_arg1
#endif
#ifndef __skep_sys2
#define __skep_sys2 __skep_arg2
#endif
#ifndef __skep_sys3
#define __skep_sys3 __skep_arg3
#endif
#ifndef __skep_sys4
#define __skep_sys4 __skep_arg4
#endif
#ifndef __skep_sys5
#define __skep_sys5 __skep_arg5
#endif
#ifndef __skep_sys6
#define __skep_sys6 __skep_arg6
#endif
#ifndef __skep_sys7
#define __skep_sys7 argument_7_is_not_in_a_register_on_this_architecture
#endif
#ifndef __skep_first
#define __skep_first(x) __skep_regs(x)
#endif

/* A register from where the program may read: its context … */
#ifndef __skep_no_target
#define __skep_reg(regs, name) ((regs)->name)
#define __skep_reg_core(regs, name) BPF_CORE_READ(regs, name)
#else
#define __skep_reg(regs, name) \
	({ \
		_Static_assert(0, "name the traced machine, as in -D__TARGET_ARCH_x86"); \
		0L; \
	})
#define __skep_reg_core __skep_reg
#endif

/* Function arguments, at the function's entry. */
#define PT_REGS_PARM1(x) __skep_reg(__skep_regs(x), __skep_arg1)
#define PT_REGS_PARM2(x) __skep_reg(__skep_regs(x), __skep_arg2)
#define PT_REGS_PARM3(x) __skep_reg(__skep_regs(x), __skep_arg3)
#define PT_REGS_PARM4(x) __skep_reg(__skep_regs(x), __skep_arg4)
#define PT_REGS_PARM5(x) __skep_reg(__skep_regs(x), __skep_arg5)
#define PT_REGS_PARM6(x) __skep_reg(__skep_regs(x), __skep_arg6)
#define PT_REGS_PARM7(x) __skep_reg(__skep_regs(x), __skep_arg7)
#define PT_REGS_PARM8(x) __skep_reg(__skep_regs(x), __skep_arg8)

#define PT_REGS_RET(x) __skep_reg(__skep_regs(x), __skep_return)
#define PT_REGS_FP(x) __skep_reg(__skep_regs(x), __skep_frame)
#define PT_REGS_RC(x) __skep_reg(__skep_regs(x), __skep_result)
#define PT_REGS_SP(x) __skep_reg(__skep_regs(x), __skep_stack)
#define PT_REGS_IP(x) __skep_reg(__skep_regs(x), __skep_pc)

/* The same of a pt_regs that is not the context: by probe reads. */
#define PT_REGS_PARM1_CORE(x) __skep_reg_core(__skep_regs(x), __skep_arg1)
#define PT_REGS_PARM2_CORE(x) __skep_reg_core(__skep_regs(x), __skep_arg2)
#define PT_REGS_PARM3_CORE(x) __skep_reg_core(__skep_regs(x), __skep_arg3)
#define PT_REGS_PARM4_CORE(x) __skep_reg_core(__skep_regs(x), __skep_arg4)
#define PT_REGS_PARM5_CORE(x) __skep_reg_core(__skep_regs(x), __skep_arg5)
#define PT_REGS_PARM6_CORE(x) __skep_reg_core(__skep_regs(x), __skep_arg6)
#define PT_REGS_PARM7_CORE(x) __skep_reg_core(__skep_regs(x), __skep_arg7)
#define PT_REGS_PARM8_CORE(x) __skep_reg_core(__skep_regs(x), __skep_arg8)

#define PT_REGS_RET_CORE(x) __skep_reg_core(__skep_regs(x), __skep_return)
#define PT_REGS_FP_CORE(x) __skep_reg_core(__skep_regs(x), __skep_frame)
#define PT_REGS_RC_CORE(x) __skep_reg_core(__skep_regs(x), __skep_result)
#define PT_REGS_SP_CORE(x) __skep_reg_core(__skep_regs(x), __skep_stack)
#define PT_REGS_IP_CORE(x) __skep_reg_core(__skep_regs(x), __skep_pc)

/*
 * System call arguments. In a kprobe on a system call's function the context is
 * the wrapper's; PT_REGS_SYSCALL_REGS gives the caller's registers, to be read
 * with the _CORE_ forms where the kernel has wrappers.
 */
#ifndef PT_REGS_SYSCALL_REGS
#define PT_REGS_SYSCALL_REGS(ctx) ((struct pt_regs *)PT_REGS_PARM1(ctx))
#endif

#define PT_REGS_PARM1_SYSCALL(x) __skep_reg(__skep_first(x), __skep_sys1)
#define PT_REGS_PARM2_SYSCALL(x) __skep_reg(__skep_regs(x), __skep_sys2)
#define PT_REGS_PARM3_SYSCALL(x) __skep_reg(__skep_regs(x), __skep_sys3)
#define PT_REGS_PARM4_SYSCALL(x) __skep_reg(__skep_regs(x), __skep_sys4)
#define PT_REGS_PARM5_SYSCALL(x) __skep_reg(__skep_regs(x), __skep_sys5)
#define PT_REGS_PARM6_SYSCALL(x) __skep_reg(__skep_regs(x), __skep_sys6)
#define PT_REGS_PARM7_SYSCALL(x) __skep_reg(__skep_regs(x), __skep_sys7)

#define PT_REGS_PARM1_CORE_SYSCALL(x) __skep_reg_core(__skep_first(x), __skep_sys1)
#define PT_REGS_PARM2_CORE_SYSCALL(x) __skep_reg_core(__skep_regs(x), __skep_sys2)
#define PT_REGS_PARM3_CORE_SYSCALL(x) __skep_reg_core(__skep_regs(x), __skep_sys3)
#define PT_REGS_PARM4_CORE_SYSCALL(x) __skep_reg_core(__skep_regs(x), __skep_sys4)
#define PT_REGS_PARM5_CORE_SYSCALL(x) __skep_reg_core(__skep_regs(x), __skep_sys5)
#define PT_REGS_PARM6_CORE_SYSCALL(x) __skep_reg_core(__skep_regs(x), __skep_sys6)
#define PT_REGS_PARM7_CORE_SYSCALL(x) __skep_reg_core(__skep_regs(x), __skep_sys7)

/*
 * Where the traced function will return to, at its entry and (for kernels built
 * with frame pointers) at its end: in a register, or on the stack.
 */
#if defined(bpf_target_arm64) || defined(bpf_target_powerpc)
#define BPF_KPROBE_READ_RET_IP(ip, ctx) ({ (ip) = PT_REGS_RET(ctx); })
#define BPF_KRETPROBE_READ_RET_IP(ip, ctx) BPF_KPROBE_READ_RET_IP(ip, ctx)
#else
#define BPF_KPROBE_READ_RET_IP(ip, ctx) \
	({ bpf_probe_read_kernel(&(ip), sizeof(ip), (void *)PT_REGS_RET(ctx)); })
#define BPF_KRETPROBE_READ_RET_IP(ip, ctx) \
	({ bpf_probe_read_kernel(&(ip), sizeof(ip), (void *)(PT_REGS_FP(ctx) + sizeof(ip))); })
#endif

/* ---- Heads of programs ------------------------------------------------- */

/*
 * `int BPF_xxx(name, struct file *file, int mode) { … }` makes two functions:
 * `name`, which takes the context as the kernel gives it, and an inlined one
 * with the parameters and the body, which `name` calls with `given`: the same
 * number of 64-bit values. They become the parameters' types without a cast,
 * for the types can't be told from the names; hence the pragma. The body may use
 * `ctx` as well.
 */
#define __skep_head(name, context, given, params...) \
	name(context *ctx); \
	static __always_inline __typeof__(name(0)) __skep_body_##name(context *ctx, ##params); \
	__typeof__(name(0)) name(context *ctx) \
	{ \
		_Pragma("GCC diagnostic push") \
		_Pragma("GCC diagnostic ignored \"-Wint-conversion\"") \
		return __skep_body_##name(ctx given); \
		_Pragma("GCC diagnostic pop") \
	} \
	static __always_inline __typeof__(name(0)) __skep_body_##name(context *ctx, ##params)

/*
 * tp_btf, fentry, fexit, fmod_ret, lsm, struct_ops …: the context is an array of
 * 64-bit values. Up to 12 parameters; an fexit has the result as its last.
 */
#define BPF_PROG(name, params...) \
	__skep_head(name, unsigned long long, __skep_each(__skep_slot, ##params), ##params)
#define __skep_slot(i, param) , ctx[i]

/*
 * The same where a parameter may be a struct of up to 16 bytes, which takes two
 * of the values. Types and names are separate arguments:
 * `int BPF_PROG2(name, struct pair, p, int, n) { … }`.
 */
#define BPF_PROG2(name, params...) \
	name(unsigned long long *ctx); \
	static __always_inline __typeof__(name(0)) __skep_body_##name( \
		unsigned long long *ctx __skep_pairs(__skep_declared, __skep_slots, ##params)); \
	__typeof__(name(0)) name(unsigned long long *ctx) \
	{ \
		return __skep_body_##name( \
			ctx __skep_pairs(__skep_in_slots, __skep_slots, ##params)); \
	} \
	static __always_inline __typeof__(name(0)) __skep_body_##name( \
		unsigned long long *ctx __skep_pairs(__skep_declared, __skep_slots, ##params))
#define __skep_slots(type) ((sizeof(type) + 7) / 8)
#define __skep_declared(at, type, name) , type name
/* The value's low-order bytes, whatever the byte order. */
#define __skep_in_slots(at, type, name) \
	, ({ \
		union { \
			type value; \
			unsigned char of_1; \
			unsigned short of_2; \
			unsigned int of_4; \
			unsigned long long of_8[2]; \
		} __skep_arg; \
		_Static_assert(sizeof(type) <= 16, "a parameter has at most 16 bytes"); \
		if (sizeof(type) == 1) \
			__skep_arg.of_1 = ctx[at]; \
		else if (sizeof(type) == 2) \
			__skep_arg.of_2 = ctx[at]; \
		else if (sizeof(type) == 4) \
			__skep_arg.of_4 = ctx[at]; \
		else \
			__skep_arg.of_8[0] = ctx[at]; \
		if (sizeof(type) > 8) \
			__skep_arg.of_8[1] = ctx[at + 1]; \
		__skep_arg.value; \
	})

/*
 * kprobe and uprobe: parameters from registers, as many as the architecture has
 * there. kretprobe and uretprobe: one parameter, the result.
 */
#define BPF_KPROBE(name, params...) \
	__skep_head(name, struct pt_regs, __skep_each(__skep_param, ##params), ##params)
#define __skep_param(i, param) , (unsigned long long)__skep_param_##i(ctx)
#define __skep_param_0 PT_REGS_PARM1
#define __skep_param_1 PT_REGS_PARM2
#define __skep_param_2 PT_REGS_PARM3
#define __skep_param_3 PT_REGS_PARM4
#define __skep_param_4 PT_REGS_PARM5
#define __skep_param_5 PT_REGS_PARM6
#define __skep_param_6 PT_REGS_PARM7
#define __skep_param_7 PT_REGS_PARM8

#define BPF_KRETPROBE(name, params...) \
	__skep_head(name, struct pt_regs, __skep_each(__skep_returned, ##params), ##params)
#define __skep_returned(i, param) , (unsigned long long)__skep_returned_##i(ctx)
#define __skep_returned_0 PT_REGS_RC

#define BPF_UPROBE(name, params...) BPF_KPROBE(name, ##params)
#define BPF_URETPROBE(name, params...) BPF_KRETPROBE(name, ##params)

/*
 * ksyscall, or a kprobe on a system call's function: up to 7 parameters, of the
 * native calling convention (no compat calls, no multiplexed ones). With wrappers
 * the caller's registers are behind the context's first argument, without them
 * they are the context; the loader says which.
 */
#define BPF_KSYSCALL(name, params...) \
	name(struct pt_regs *ctx); \
	extern _Bool LINUX_HAS_SYSCALL_WRAPPER __kconfig; \
	static __always_inline __typeof__(name(0)) __skep_body_##name(struct pt_regs *ctx, ##params); \
	__typeof__(name(0)) name(struct pt_regs *ctx) \
	{ \
		struct pt_regs *__skep_caller __attribute__((unused)) = \
			LINUX_HAS_SYSCALL_WRAPPER ? (struct pt_regs *)PT_REGS_PARM1(ctx) : ctx; \
		_Pragma("GCC diagnostic push") \
		_Pragma("GCC diagnostic ignored \"-Wint-conversion\"") \
		if (LINUX_HAS_SYSCALL_WRAPPER) \
			return __skep_body_##name(ctx __skep_each(__skep_behind, ##params)); \
		return __skep_body_##name(ctx __skep_each(__skep_direct, ##params)); \
		_Pragma("GCC diagnostic pop") \
	} \
	static __always_inline __typeof__(name(0)) __skep_body_##name(struct pt_regs *ctx, ##params)
#define BPF_KPROBE_SYSCALL BPF_KSYSCALL
#define __skep_behind(i, param) , (unsigned long long)__skep_behind_##i(__skep_caller)
#define __skep_direct(i, param) , (unsigned long long)__skep_direct_##i(__skep_caller)
#define __skep_behind_0 PT_REGS_PARM1_CORE_SYSCALL
#define __skep_direct_0 PT_REGS_PARM1_SYSCALL
#define __skep_behind_1 PT_REGS_PARM2_CORE_SYSCALL
#define __skep_direct_1 PT_REGS_PARM2_SYSCALL
#define __skep_behind_2 PT_REGS_PARM3_CORE_SYSCALL
#define __skep_direct_2 PT_REGS_PARM3_SYSCALL
#define __skep_behind_3 PT_REGS_PARM4_CORE_SYSCALL
#define __skep_direct_3 PT_REGS_PARM4_SYSCALL
#define __skep_behind_4 PT_REGS_PARM5_CORE_SYSCALL
#define __skep_direct_4 PT_REGS_PARM5_SYSCALL
#define __skep_behind_5 PT_REGS_PARM6_CORE_SYSCALL
#define __skep_direct_5 PT_REGS_PARM6_SYSCALL
#define __skep_behind_6 PT_REGS_PARM7_CORE_SYSCALL
#define __skep_direct_6 PT_REGS_PARM7_SYSCALL

#endif /* __BPF_TRACING_H__ */
