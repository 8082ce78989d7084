// A program of each type, by a section name of each family.
#include <vmlinux.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "GPL";

#define PROGRAM(name, section, context, answer) \
	SEC("?" section) int name(context *ctx) { return answer; }

PROGRAM(socket_filter, "socket", struct __sk_buff, 0)
PROGRAM(kprobe, "kprobe/do_nanosleep", struct pt_regs, 0)
PROGRAM(sched_cls, "tc", struct __sk_buff, 0)
PROGRAM(sched_act, "action", struct __sk_buff, 0)
PROGRAM(tracepoint, "tp/sched/sched_process_exit", void, 0)
PROGRAM(xdp, "xdp", struct xdp_md, 2)
PROGRAM(perf_event, "perf_event", struct bpf_perf_event_data, 0)
PROGRAM(cgroup_skb, "cgroup_skb/egress", struct __sk_buff, 1)
PROGRAM(cgroup_sock, "cgroup/sock_create", struct bpf_sock, 1)
PROGRAM(lwt_in, "lwt_in", struct __sk_buff, 0)
PROGRAM(lwt_out, "lwt_out", struct __sk_buff, 0)
PROGRAM(lwt_xmit, "lwt_xmit", struct __sk_buff, 0)
PROGRAM(sock_ops, "sockops", struct bpf_sock_ops, 1)
PROGRAM(sk_skb, "sk_skb/stream_verdict", struct __sk_buff, 1)
PROGRAM(cgroup_device, "cgroup/dev", struct bpf_cgroup_dev_ctx, 1)
PROGRAM(sk_msg, "sk_msg", struct sk_msg_md, 1)
PROGRAM(raw_tracepoint, "raw_tp/sched_process_exit", struct bpf_raw_tracepoint_args, 0)
PROGRAM(cgroup_sock_addr, "cgroup/connect4", struct bpf_sock_addr, 1)
PROGRAM(lwt_seg6local, "lwt_seg6local", struct __sk_buff, 0)
PROGRAM(lirc_mode2, "lirc_mode2", unsigned int, 0)
PROGRAM(sk_reuseport, "sk_reuseport", struct sk_reuseport_md, 1)
PROGRAM(flow_dissector, "flow_dissector", struct __sk_buff, 0)
PROGRAM(cgroup_sysctl, "cgroup/sysctl", struct bpf_sysctl, 1)
PROGRAM(raw_tracepoint_writable, "raw_tp.w/sched_process_exit", struct bpf_raw_tracepoint_args, 0)
PROGRAM(cgroup_sockopt, "cgroup/getsockopt", struct bpf_sockopt, 1)
PROGRAM(tracing, "tp_btf/sched_process_exit", unsigned long long, 0)
PROGRAM(lsm, "lsm/bprm_check_security", unsigned long long, 0)
PROGRAM(sk_lookup, "sk_lookup", struct bpf_sk_lookup, 1)
PROGRAM(syscall, "syscall", void, 0)
PROGRAM(netfilter, "netfilter", struct bpf_nf_ctx, 1)

SEC("struct_ops/ssthresh")
__u32 struct_ops(unsigned long long *ctx)
{
	return 2;
}

SEC("struct_ops/undo_cwnd")
__u32 undo_cwnd(unsigned long long *ctx)
{
	return 2;
}

SEC("struct_ops/cong_avoid")
void cong_avoid(unsigned long long *ctx)
{
}

SEC(".struct_ops")
struct tcp_congestion_ops least = {
	.ssthresh = (void *)struct_ops,
	.undo_cwnd = (void *)undo_cwnd,
	.cong_avoid = (void *)cong_avoid,
	.name = "skep_least",
};
