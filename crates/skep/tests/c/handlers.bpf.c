// Programs in sections of names that only the test knows.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("mine/sched_process_exit")
int first(void *ctx)
{
	return 0;
}

SEC("mine/sched_process_fork")
int second(void *ctx)
{
	return 0;
}
