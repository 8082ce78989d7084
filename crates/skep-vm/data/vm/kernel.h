// What the machine has of a kernel's own structures: tasks, and what belongs to BPF.

// Tasks: what ptrace and /proc tell of a traced process.

struct ns_common {
	unsigned int inum;
};

struct uts_namespace { struct ns_common ns; };
struct ipc_namespace { struct ns_common ns; };
struct mnt_namespace { struct ns_common ns; };
struct time_namespace { struct ns_common ns; };
struct cgroup_namespace { struct ns_common ns; };
struct net { struct ns_common ns; };
struct pid_namespace {
	unsigned int level;
	struct ns_common ns;
};

struct nsproxy {
	refcount_t count;
	struct uts_namespace *uts_ns;
	struct ipc_namespace *ipc_ns;
	struct mnt_namespace *mnt_ns;
	struct pid_namespace *pid_ns_for_children;
	struct net *net_ns;
	struct time_namespace *time_ns;
	struct time_namespace *time_ns_for_children;
	struct cgroup_namespace *cgroup_ns;
};

struct cred {
	kuid_t uid;
	kgid_t gid;
	kuid_t suid;
	kgid_t sgid;
	kuid_t euid;
	kgid_t egid;
	kuid_t fsuid;
	kgid_t fsgid;
};

struct mm_struct {
	unsigned long start_code, end_code, start_data, end_data;
	unsigned long start_brk, brk, start_stack;
	unsigned long arg_start, arg_end, env_start, env_end;
	unsigned long total_vm;
};

struct kernfs_node {
	struct kernfs_node *__parent;
	const char *name;
	u64 id;
};

struct cgroup_subsys_state {
	struct cgroup *cgroup;
	int id;
};

struct cgroup {
	struct cgroup_subsys_state self;
	unsigned long flags;
	int level;
	struct kernfs_node *kn;
	struct cgroup *ancestors[0];
};

struct css_set {
	struct cgroup *dfl_cgrp;
	refcount_t refcount;
};

struct task_struct {
	unsigned int __state;
	unsigned int flags;
	void *stack;
	refcount_t usage;
	int on_cpu;
	int prio;
	int static_prio;
	int exit_state;
	int exit_code;
	int exit_signal;
	pid_t pid;
	pid_t tgid;
	struct task_struct *real_parent;
	struct task_struct *parent;
	struct task_struct *group_leader;
	u64 utime;
	u64 stime;
	unsigned long nvcsw;
	unsigned long nivcsw;
	u64 start_time;
	u64 start_boottime;
	unsigned long min_flt;
	unsigned long maj_flt;
	const struct cred *real_cred;
	const struct cred *cred;
	char comm[16];
	struct nsproxy *nsproxy;
	struct mm_struct *mm;
	struct css_set *cgroups;
};

struct linux_binprm {
	struct mm_struct *mm;
	struct cred *cred;
	int argc;
	int envc;
	const char *filename;
	const char *interp;
};

// BPF's own.

struct bpf_map {
	u32 id;
	enum bpf_map_type map_type;
	u32 key_size;
	u32 value_size;
	u32 max_entries;
	u32 map_flags;
	u64 map_extra;
	char name[16];
};

struct bpf_prog_aux {
	u32 id;
	u32 used_map_cnt;
	u32 func_cnt;
	u32 stack_depth;
	struct bpf_prog *prog;
	u64 load_time;
	const char *attach_func_name;
	char name[16];
};

struct bpf_prog {
	enum bpf_prog_type type;
	enum bpf_attach_type expected_attach_type;
	u32 len;
	u32 jited_len;
	u8 tag[8];
	struct bpf_prog_aux *aux;
};

struct bpf_link {
	u32 id;
	enum bpf_link_type type;
	enum bpf_attach_type attach_type;
	struct bpf_prog *prog;
};

// Programs ask for this type to learn whether there are ring buffers.
struct bpf_ringbuf {
	u64 mask;
	unsigned long consumer_pos;
	unsigned long producer_pos;
};

struct seq_file {
	char *buf;
	size_t size;
	size_t count;
};

typedef struct cpumask { unsigned long bits[4]; } cpumask_t;
struct bpf_cpumask {
	cpumask_t cpumask;
	refcount_t usage;
};

struct bpf_dynptr_kern {
	void *data;
	u32 size;
	u32 offset;
};

// What programs keep in map values, objects and on the stack: sizes are the kernel's, since
// programs are compiled with them.

struct bpf_dynptr { __u64 __opaque[2]; } __attribute__((aligned(8)));
struct bpf_iter_num { __u64 __opaque[1]; } __attribute__((aligned(8)));
struct bpf_iter_css { __u64 __opaque[3]; } __attribute__((aligned(8)));
struct bpf_iter_css_task { __u64 __opaque[1]; } __attribute__((aligned(8)));
struct bpf_iter_bits { __u64 __opaque[2]; } __attribute__((aligned(8)));
struct bpf_iter_task { __u64 __opaque[3]; } __attribute__((aligned(8)));
struct bpf_list_head { __u64 __opaque[2]; } __attribute__((aligned(8)));
struct bpf_list_node { __u64 __opaque[3]; } __attribute__((aligned(8)));
struct bpf_rb_root { __u64 __opaque[2]; } __attribute__((aligned(8)));
struct bpf_rb_node { __u64 __opaque[4]; } __attribute__((aligned(8)));
struct bpf_refcount { __u32 __opaque[1]; } __attribute__((aligned(4)));
struct bpf_timer { __u64 __opaque[2]; } __attribute__((aligned(8)));
struct bpf_wq { __u64 __opaque[2]; } __attribute__((aligned(8)));
struct bpf_task_work { __u64 __opaque; } __attribute__((aligned(8)));
struct bpf_spin_lock { __u32 val; };
struct bpf_res_spin_lock { u32 val; };
