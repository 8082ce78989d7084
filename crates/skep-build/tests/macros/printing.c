/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* bpf_helpers.h: everything that prints, with 0 to 12 arguments of all kinds. */
#include "types.h"
#include <bpf/bpf_helpers.h>

struct seq_file;
struct bpf_iter__task;

SEC("raw_tp/sched_switch")
int print(void *ctx)
{
	char text[32] = "words";
	__u8 small = 200;
	long negative = -1;

	bpf_printk("none");
	bpf_printk("%d", small);
	bpf_printk("%d %s", small, text);
	bpf_printk("%d %s %p", small, text, ctx);
	bpf_printk("%d %s %p %ld", small, text, ctx, negative);
	bpf_printk("%d %d %d %d %d", 1, 2, 3, 4, 5);
	bpf_printk("%d %d %d %d %d %d", 1, 2, 3, 4, 5, 6);
	bpf_printk("%d %d %d %d %d %d %d", 1, 2, 3, 4, 5, 6, 7);
	bpf_printk("%d %d %d %d %d %d %d %d", 1, 2, 3, 4, 5, 6, 7, 8);
	bpf_printk("%d %d %d %d %d %d %d %d %d", 1, 2, 3, 4, 5, 6, 7, 8, 9);
	bpf_printk("%d %d %d %d %d %d %d %d %d %d", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10);
	bpf_printk("%d %d %d %d %d %d %d %d %d %d %d", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11);
	bpf_printk("%d %d %d %d %d %d %d %d %d %d %d %d", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11,
		   12);
	__bpf_vprintk("%s", text);
	return BPF_SNPRINTF(text, sizeof(text), "%d %s", small, "x") +
	       BPF_SNPRINTF(text, sizeof(text), "none");
}

SEC("iter/task")
int sequence(struct bpf_iter__task *ctx)
{
	struct seq_file *seq = *(struct seq_file **)*(void **)ctx;

	BPF_SEQ_PRINTF(seq, "none\n");
	BPF_SEQ_PRINTF(seq, "%d %s\n", 1, "two");
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
