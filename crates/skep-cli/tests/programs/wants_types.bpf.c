// Needs the kernel's types and a macro from the command line.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

SEC("tracepoint/sched/sched_process_exit")
int on_exit(struct trace_event_raw_sched_process_template *ctx)
{
	return ctx->pid == ANSWER;
}

char LICENSE[] SEC("license") = "GPL";
