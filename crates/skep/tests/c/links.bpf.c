// SPDX-License-Identifier: MIT OR Apache-2.0
// Counters behind the tracing hooks, for attaching, swapping and detaching.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

const volatile pid_t target_pid = 0;

__u64 traced, traced_by_other, raw, typed, ticks;

#define COUNT(counter) do {                                             \
	if (bpf_get_current_pid_tgid() >> 32 == target_pid)             \
		__sync_fetch_and_add(&counter, 1);                      \
} while (0)

SEC("tracepoint/syscalls/sys_enter_getppid")
int on_tracepoint(void *ctx)
{
	COUNT(traced);
	return 0;
}

SEC("?tracepoint/syscalls/sys_enter_getppid")
int on_tracepoint_too(void *ctx)
{
	COUNT(traced_by_other);
	return 0;
}

SEC("raw_tp/sys_enter")
int on_raw(void *ctx)
{
	COUNT(raw);
	return 0;
}

SEC("tp_btf/sys_enter")
int BPF_PROG(on_typed, struct pt_regs *regs, long id)
{
	if (id == 110)          // getppid on x86_64; elsewhere another call, which will do
		COUNT(typed);
	return 0;
}

SEC("perf_event")
int on_tick(void *ctx)
{
	__sync_fetch_and_add(&ticks, 1);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
