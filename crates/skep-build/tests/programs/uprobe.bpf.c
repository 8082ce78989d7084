/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A library function's arguments and results, with uapi's pt_regs. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

SEC("uprobe/libc.so.6:getenv")
int BPF_KPROBE(enter, const char *name)
{
	char text[32];

	if (bpf_probe_read_user_str(text, sizeof(text), name) > 0)
		bpf_printk("getenv(%s)", text);
	return 0;
}

SEC("uretprobe/libc.so.6:getenv")
int BPF_KRETPROBE(leave, long ret)
{
	bpf_printk("getenv = %lx", ret);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
