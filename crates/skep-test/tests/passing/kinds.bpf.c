// SPDX-License-Identifier: MIT OR Apache-2.0
// A program of each kind that can be tested, with what programs read and write.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>

enum color { RED = 1, GREEN = 2 };

struct seen {
	__u64 first, second;
	__u32 pid;
	enum color color;
	char text[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct seen);
} seen SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 16);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(key_size, 8);
	__type(value, __u32);
} routes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 8);
	__type(value, __u32);
} queue SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
} samples SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} by_cpu SEC(".maps");

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} one SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 4);
	__type(key, __u32);
	__array(values, struct inner);
} outer SEC(".maps");

struct ticking {
	struct bpf_timer timer;
	__u64 fired;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ticking);
} timers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
} numbers SEC(".maps");

const volatile __u32 limit = 5;
__u64 total;
char message[16] = "hello";
extern int CONFIG_HZ __kconfig;

static __always_inline struct seen *slot(__u32 index)
{
	return bpf_map_lookup_elem(&seen, &index);
}

SEC("tracepoint/syscalls/sys_enter_openat")
int enter_openat(struct trace_event_raw_sys_enter *ctx)
{
	struct seen *s = slot(0);

	if (!s)
		return 0;
	s->first = ctx->args[0];
	s->second = ctx->id;
	s->pid = bpf_get_current_pid_tgid();
	bpf_probe_read_user_str(s->text, sizeof(s->text), (void *)ctx->args[1]);
	bpf_printk("opened by %d", s->pid);
	return 0;
}

SEC("kprobe/do_something")
int BPF_KPROBE(probe, int a, long b)
{
	struct seen *s = slot(0);

	if (!s)
		return 0;
	s->first = a;
	s->second = b;
	s->color = GREEN;
	return bpf_get_attach_cookie(ctx);
}

SEC("kretprobe/do_something")
int BPF_KRETPROBE(returned, long ret)
{
	return ret;
}

SEC("ksyscall/openat")
int BPF_KSYSCALL(call, int dfd, const char *name)
{
	struct seen *s = slot(0);

	if (!s)
		return 0;
	s->first = dfd;
	bpf_probe_read_user_str(s->text, sizeof(s->text), name);
	return 0;
}

SEC("raw_tp/sys_enter")
int raw(struct bpf_raw_tracepoint_args *ctx)
{
	return ctx->args[1];
}

SEC("tp_btf/sys_enter")
int BPF_PROG(typed, struct pt_regs *regs, long id)
{
	return regs->di + id;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(executed, struct task_struct *task)
{
	return task->tgid;
}

SEC("tracepoint/sched/sched_process_exec")
int exec(struct trace_event_raw_sched_process_exec *ctx)
{
	struct seen *s = slot(0);
	unsigned short at = ctx->__data_loc_filename;

	if (!s)
		return 0;
	bpf_probe_read_kernel_str(s->text, sizeof(s->text), (void *)ctx + at);
	return ctx->pid;
}

SEC("perf_event")
int sample(struct bpf_perf_event_data *ctx)
{
	__u64 pair[2] = { ctx->sample_period, PT_REGS_IP(&ctx->regs) };

	bpf_perf_event_output(ctx, &samples, BPF_F_CURRENT_CPU, pair, sizeof(pair));
	return 0;
}

SEC("cgroup/connect4")
int connect(struct bpf_sock_addr *ctx)
{
	if (ctx->user_port == bpf_htons(80)) {
		ctx->user_port = bpf_htons(8080);
		ctx->user_ip4 = bpf_htonl(0x7f000001);
	}
	return ctx->user_port != bpf_htons(25);
}

SEC("cgroup/getsockopt")
int option(struct bpf_sockopt *ctx)
{
	__u8 *value = ctx->optval;

	if (value + 4 > (__u8 *)ctx->optval_end)
		return 0;
	value[0] += 1;
	ctx->retval = 0;
	return 1;
}

SEC("tc")
int route(struct __sk_buff *skb)
{
	struct { __u32 len; __u32 address; } key = { .len = 32 };
	__u32 *to;

	if (bpf_skb_load_bytes(skb, 30, &key.address, 4))
		return 2;
	to = bpf_map_lookup_elem(&routes, &key);
	skb->mark = to ? *to : 0;
	return to ? bpf_redirect(*to, 0) : 0;
}

SEC("xdp")
int rewrite(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);

	if ((void *)(ip + 1) > end)
		return XDP_ABORTED;
	ip->ttl--;
	ip->check += bpf_htons(0x100);
	return XDP_TX;
}

SEC("cgroup_skb/egress")
int egress(struct __sk_buff *skb)
{
	return skb->len <= 100;
}

SEC("syscall")
int add(struct seen *ctx)
{
	ctx->second = ctx->first + limit;
	total += ctx->second;
	return CONFIG_HZ;
}

static int tick(void *map, __u32 *key, struct ticking *value)
{
	value->fired = bpf_ktime_get_ns();
	return 0;
}

SEC("raw_tp/sys_exit")
int arm(void *ctx)
{
	__u32 key = 0;
	struct ticking *t = bpf_map_lookup_elem(&timers, &key);

	if (!t)
		return 0;
	bpf_timer_init(&t->timer, &timers, 1 /* CLOCK_MONOTONIC */);
	bpf_timer_set_callback(&t->timer, tick);
	return bpf_timer_start(&t->timer, 1000000, 0);
}

SEC("raw_tp/chance")
int chance(void *ctx)
{
	__u32 key = bpf_get_prandom_u32(), again = bpf_get_prandom_u32(), zero = 0, popped = 0;
	__u64 value = again, *count = bpf_map_lookup_elem(&by_cpu, &zero);

	bpf_map_update_elem(&numbers, &key, &value, BPF_ANY);
	if (count)
		*count += 1;
	bpf_map_pop_elem(&queue, &popped);
	bpf_map_push_elem(&queue, &key, BPF_ANY);
	return popped;
}

SEC("raw_tp/nested")
int nested(void *ctx)
{
	__u32 key = 7, zero = 0;
	void *inner = bpf_map_lookup_elem(&outer, &key);
	__u64 *value;

	if (!inner)
		return -1;
	value = bpf_map_lookup_elem(inner, &zero);
	return value ? *value : -2;
}

SEC("raw_tp/wild")
int wild(__u64 *ctx)
{
	return *(volatile int *)ctx[0];
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
