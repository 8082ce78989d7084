// A helper for packets in a program that traces.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

SEC("tracepoint/syscalls/sys_enter_getpid")
int drop(void *ctx)
{
	return bpf_redirect(1, 0);
}

char LICENSE[] SEC("license") = "GPL";
