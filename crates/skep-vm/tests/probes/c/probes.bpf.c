// SPDX-License-Identifier: MIT OR Apache-2.0
// What probes see: how often they fire, and the registers of the last time.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

__u64 entries, returns, seconds;
__u64 function, cookie, return_function, result, stack_len;
__u64 sum_of_results;
__u64 at_entry_regs[21], at_return_regs[21];
__u64 stack[16];
__u64 session_entries, session_returns, session_kept;

static void copy(__u64 *to, struct pt_regs *regs)
{
	bpf_probe_read_kernel(to, sizeof(*regs), regs);
}

SEC("uprobe")
int at_entry(struct pt_regs *ctx)
{
	__sync_fetch_and_add(&entries, 1);
	copy(at_entry_regs, ctx);
	function = bpf_get_func_ip(ctx);
	cookie = bpf_get_attach_cookie(ctx);
	return 0;
}

SEC("uretprobe")
int at_return(struct pt_regs *ctx)
{
	__sync_fetch_and_add(&returns, 1);
	__sync_fetch_and_add(&sum_of_results, PT_REGS_RC(ctx));
	copy(at_return_regs, ctx);
	return_function = bpf_get_func_ip(ctx);
	result = PT_REGS_RC(ctx);
	return 0;
}

SEC("uprobe")
int at_stack(struct pt_regs *ctx)
{
	long len = bpf_get_stack(ctx, stack, sizeof(stack), BPF_F_USER_STACK);

	stack_len = len;
	return 0;
}

SEC("uprobe")
int second(struct pt_regs *ctx)
{
	__sync_fetch_and_add(&seconds, 1);
	return 0;
}

SEC("uretprobe")
int second_return(struct pt_regs *ctx)
{
	__sync_fetch_and_add(&seconds, 1000000);
	return 0;
}

SEC("uprobe.multi")
int many(struct pt_regs *ctx)
{
	__sync_fetch_and_add(&entries, 1);
	return 0;
}

SEC("uretprobe.multi")
int many_returns(struct pt_regs *ctx)
{
	__sync_fetch_and_add(&returns, 1);
	return 0;
}

extern bool bpf_session_is_return(void) __ksym __weak;
extern __u64 *bpf_session_cookie(void) __ksym __weak;

SEC("uprobe.session")
int session(struct pt_regs *ctx)
{
	__u64 *kept = (__u64 *)bpf_session_cookie();

	if (bpf_session_is_return()) {
		__sync_fetch_and_add(&session_returns, 1);
		session_kept += *kept;
		return 0;
	}
	__sync_fetch_and_add(&session_entries, 1);
	*kept = PT_REGS_PARM1(ctx);
	// Only every second call's return is of interest.
	return PT_REGS_PARM1(ctx) & 1;
}

char LICENSE[] SEC("license") = "GPL";
