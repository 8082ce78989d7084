// A loop whose end depends on what a helper answers.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

SEC("tracepoint/syscalls/sys_enter_getpid")
int roll(void *ctx)
{
	int rounds = 0;

	while (bpf_get_prandom_u32() != 7)
		rounds++;
	bpf_printk("%d", rounds);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
