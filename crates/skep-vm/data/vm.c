// The types and functions of the virtual machine, in C: `cargo xtask generate vm-btf` compiles
// this file for its debug information only, and what comes out as BTF is what the machine
// publishes in the place of a kernel's /sys/kernel/btf/vmlinux.
//
// A program is relocated against these types, so a field that is missing here is missing for it
// (bpf_core_field_exists() says so), and a function that stands here can be called as a kfunc.
// Names and prototypes are those of Linux 6.18 on x86-64; layouts are the machine's own, but for
// those that programs see without relocation: contexts, and what is in maps (locks, list nodes).
//
// `enums.h` is made by the generator from the tables of skep-abi.

#include "vm/words.h"
#include "enums.h"
#include "vm/flags.h"
#include "vm/kernel.h"
#include "vm/arguments.h"
#include "vm/network.h"
#include "vm/contexts.h"
#include "vm/kfuncs.h"

// The compiler describes only what is used, and of what is behind a pointer only the name. So
// everything that is to be published is part of one variable; the generator drops the variable
// and this union, whose name it knows.
#define PUBLISH(type) struct type of_##type
union vm_published {
	PUBLISH(task_struct);
	PUBLISH(cred);
	PUBLISH(mm_struct);
	PUBLISH(nsproxy);
	PUBLISH(uts_namespace);
	PUBLISH(ipc_namespace);
	PUBLISH(mnt_namespace);
	PUBLISH(pid_namespace);
	PUBLISH(net);
	PUBLISH(time_namespace);
	PUBLISH(cgroup_namespace);
	PUBLISH(css_set);
	PUBLISH(cgroup);
	PUBLISH(kernfs_node);
	PUBLISH(linux_binprm);
	PUBLISH(seq_file);
	PUBLISH(bpf_map);
	PUBLISH(bpf_prog);
	PUBLISH(bpf_prog_aux);
	PUBLISH(bpf_link);
	PUBLISH(bpf_ringbuf);
	PUBLISH(bpf_dynptr);
	PUBLISH(bpf_dynptr_kern);
	PUBLISH(bpf_iter_num);
	PUBLISH(bpf_iter_bits);
	PUBLISH(bpf_iter_css);
	PUBLISH(bpf_iter_css_task);
	PUBLISH(bpf_iter_task);
	PUBLISH(bpf_cpumask);
	PUBLISH(bpf_list_head);
	PUBLISH(bpf_list_node);
	PUBLISH(bpf_rb_root);
	PUBLISH(bpf_rb_node);
	PUBLISH(bpf_refcount);
	PUBLISH(bpf_spin_lock);
	PUBLISH(bpf_res_spin_lock);
	PUBLISH(bpf_timer);
	PUBLISH(bpf_wq);
	PUBLISH(bpf_task_work);
	PUBLISH(sk_buff);
	PUBLISH(sock);
	PUBLISH(net_device);
	PUBLISH(ethhdr);
	PUBLISH(vlan_hdr);
	PUBLISH(arphdr);
	PUBLISH(iphdr);
	PUBLISH(ipv6hdr);
	PUBLISH(tcphdr);
	PUBLISH(udphdr);
	PUBLISH(icmphdr);
	PUBLISH(icmp6hdr);
	PUBLISH(xdp_buff);
	PUBLISH(xdp_rxq_info);
	PUBLISH(xdp_txq_info);
	PUBLISH(pt_regs);
	PUBLISH(bpf_raw_tracepoint_args);
	PUBLISH(bpf_perf_event_data);
	PUBLISH(trace_event_raw_sys_enter);
	PUBLISH(trace_event_raw_sys_exit);
	PUBLISH(trace_event_raw_sched_process_exec);
	PUBLISH(trace_event_raw_sched_process_fork);
	PUBLISH(trace_event_raw_sched_process_exit);
	PUBLISH(trace_event_raw_sched_process_template);
	PUBLISH(bpf_iter_meta);
	PUBLISH(bpf_iter__bpf_map);
	PUBLISH(bpf_iter__bpf_map_elem);
	PUBLISH(bpf_iter__bpf_prog);
	PUBLISH(bpf_iter__bpf_link);
	PUBLISH(bpf_iter__task);
	PUBLISH(xdp_md);
	PUBLISH(__sk_buff);
	PUBLISH(bpf_sock);
	PUBLISH(bpf_sock_tuple);
	PUBLISH(bpf_sk_lookup);
	PUBLISH(bpf_sock_addr);
	PUBLISH(bpf_sock_ops);
	PUBLISH(bpf_sockopt);
	PUBLISH(bpf_sysctl);
	PUBLISH(bpf_cgroup_dev_ctx);
	PUBLISH(sk_msg_md);
	PUBLISH(sk_reuseport_md);
	PUBLISH(bpf_flow_keys);
	PUBLISH(list_head);
	PUBLISH(btf_ptr);
	PUBLISH(bpf_pidns_info);
	PUBLISH(bpf_perf_event_value);
	PUBLISH(bpf_fib_lookup);
	PUBLISH(bpf_redir_neigh);
	PUBLISH(bpf_tunnel_key);
	enum vm_truth truth;
	enum vm_update_flags update_flags;
	enum vm_map_flags map_flags;
	enum vm_stack_flags stack_flags;
	enum vm_ring_flags ring_flags;
	enum vm_ring_queries ring_queries;
	enum vm_event_flags event_flags;
	enum vm_storage_flags storage_flags;
	__be64 be64;
	__le16 le16;
	__le32 le32;
	__le64 le64;
	__sum16 sum16;
	__wsum wsum;
	ssize_t ssize;
	loff_t loff;
	dev_t dev;
	umode_t umode;
	enum bpf_map_type map_type;
	enum bpf_prog_type prog_type;
	enum bpf_attach_type attach_type;
	enum bpf_link_type link_type;
	btf_trace_sys_enter sys_enter;
	btf_trace_sys_exit sys_exit;
	btf_trace_sched_process_exec sched_process_exec;
	btf_trace_sched_process_fork sched_process_fork;
	btf_trace_sched_process_exit sched_process_exit;
} vm_published;
