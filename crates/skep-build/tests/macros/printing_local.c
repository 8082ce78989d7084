/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* bpf_printk for kernels without global data: the format is on the stack. */
#include "types.h"
#define BPF_NO_GLOBAL_DATA
#include <bpf/bpf_helpers.h>

SEC("raw_tp/sched_switch")
int print(void *ctx)
{
	bpf_printk("at %p", ctx);
	return 0;
}
