/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Variables of the kernel by their types. Kernels without CONFIG_KALLSYMS_ALL refuse them, when
 * all is relocated.
 */
#include <vmlinux.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

extern const struct rq runqueues __ksym;
extern const int cpu_number __ksym __weak;

__u64 running;

SEC("tp_btf/task_newtask")
int variables(__u64 *context)
{
	struct rq *other = bpf_per_cpu_ptr(&runqueues, 0), *own = bpf_this_cpu_ptr(&runqueues);

	if (other)
		running += other->nr_running + own->nr_running;
	if (&cpu_number)
		running += *(int *)bpf_this_cpu_ptr(&cpu_number);
	return 0;
}
