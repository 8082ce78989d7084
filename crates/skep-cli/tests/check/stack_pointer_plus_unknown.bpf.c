// A stack buffer at an offset that nothing bounds.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

SEC("tracepoint/syscalls/sys_enter_close")
int mark(struct trace_event_raw_sys_enter *ctx)
{
	char flags[32] = {};
	long at = ctx->args[0];

	flags[at] = 1;
	bpf_printk("%s", flags);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
