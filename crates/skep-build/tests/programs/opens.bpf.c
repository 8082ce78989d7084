/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* openat by its two trace points, through a perf buffer. */
#include <vmlinux.h>
#include <bpf/bpf_helpers.h>

struct open_args {
	const char *path;
	int flags;
};

struct open_event {
	u64 when;
	pid_t pid;
	uid_t uid;
	int ret;
	int flags;
	char comm[16];
	char path[256];
};

const volatile pid_t target_pid = 0;
const volatile bool failed_only = false;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, u32);
	__type(value, struct open_args);
} entered SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(u32));
	__uint(value_size, sizeof(u32));
} events SEC(".maps");

SEC("tracepoint/syscalls/sys_enter_openat")
int enter(struct trace_event_raw_sys_enter *ctx)
{
	u64 id = bpf_get_current_pid_tgid();
	struct open_args args = {};
	u32 tid = id;

	if (target_pid && target_pid != id >> 32)
		return 0;
	args.path = (const char *)ctx->args[1];
	args.flags = (int)ctx->args[2];
	bpf_map_update_elem(&entered, &tid, &args, 0);
	return 0;
}

SEC("tracepoint/syscalls/sys_exit_openat")
int leave(struct trace_event_raw_sys_exit *ctx)
{
	u32 tid = bpf_get_current_pid_tgid();
	struct open_event event = {};
	struct open_args *args = bpf_map_lookup_elem(&entered, &tid);

	if (!args)
		return 0;
	if (failed_only && ctx->ret >= 0)
		goto out;
	event.when = bpf_ktime_get_ns();
	event.pid = bpf_get_current_pid_tgid() >> 32;
	event.uid = bpf_get_current_uid_gid();
	bpf_get_current_comm(&event.comm, sizeof(event.comm));
	bpf_probe_read_user_str(&event.path, sizeof(event.path), args->path);
	event.flags = args->flags;
	event.ret = ctx->ret;
	bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU, &event, sizeof(event));
out:
	bpf_map_delete_elem(&entered, &tid);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
