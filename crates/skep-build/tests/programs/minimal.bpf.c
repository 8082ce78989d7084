/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The least that prints: writes by one process, from uapi headers. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

int watched = 0;

SEC("tp/syscalls/sys_enter_write")
int on_write(void *ctx)
{
	int pid = bpf_get_current_pid_tgid() >> 32;

	if (pid == watched)
		bpf_printk("write by %d", pid);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
