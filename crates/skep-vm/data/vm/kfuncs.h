// The functions that programs can call beside helpers (kfuncs). Parameters' names are part of the
// contract: suffixes such as __sz, __k, __ign and __uninit tell a verifier what an argument is. The
// machine has what was renamed by both names: NAME_impl has arguments more that the verifier gives.

#define KFUNC __attribute__((btf_decl_tag("bpf_kfunc")))
#define NOTHING { }
#define ZERO { return 0; }

// Loops over numbers, bits and tasks.

KFUNC void bpf_iter_bits_destroy(struct bpf_iter_bits *it) NOTHING
KFUNC int bpf_iter_bits_new(struct bpf_iter_bits *it, const u64 *unsafe_ptr__ign,
	u32 nr_words) ZERO
KFUNC int *bpf_iter_bits_next(struct bpf_iter_bits *it) ZERO
KFUNC void bpf_iter_num_destroy(struct bpf_iter_num *it) NOTHING
KFUNC int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) ZERO
KFUNC int *bpf_iter_num_next(struct bpf_iter_num *it) ZERO
KFUNC void bpf_iter_css_destroy(struct bpf_iter_css *it) NOTHING
KFUNC int bpf_iter_css_new(struct bpf_iter_css *it, struct cgroup_subsys_state *start,
	unsigned int flags) ZERO
KFUNC struct cgroup_subsys_state *bpf_iter_css_next(struct bpf_iter_css *it) ZERO
KFUNC void bpf_iter_css_task_destroy(struct bpf_iter_css_task *it) NOTHING
KFUNC int bpf_iter_css_task_new(struct bpf_iter_css_task *it, struct cgroup_subsys_state *css,
	unsigned int flags) ZERO
KFUNC struct task_struct *bpf_iter_css_task_next(struct bpf_iter_css_task *it) ZERO
KFUNC void bpf_iter_task_destroy(struct bpf_iter_task *it) NOTHING
KFUNC int bpf_iter_task_new(struct bpf_iter_task *it, struct task_struct *task__nullable,
	unsigned int flags) ZERO
KFUNC struct task_struct *bpf_iter_task_next(struct bpf_iter_task *it) ZERO

// Objects that a program allocates, and references to them.

KFUNC void bpf_obj_drop(void *p__alloc) NOTHING
KFUNC void bpf_obj_drop_impl(void *p__alloc, void *meta__ign) NOTHING
KFUNC void *bpf_obj_new(u64 local_type_id__k) ZERO
KFUNC void *bpf_obj_new_impl(u64 local_type_id__k, void *meta__ign) ZERO
KFUNC void bpf_percpu_obj_drop(void *p__alloc) NOTHING
KFUNC void bpf_percpu_obj_drop_impl(void *p__alloc, void *meta__ign) NOTHING
KFUNC void *bpf_percpu_obj_new(u64 local_type_id__k) ZERO
KFUNC void *bpf_percpu_obj_new_impl(u64 local_type_id__k, void *meta__ign) ZERO
KFUNC void *bpf_refcount_acquire(void *p__refcounted_kptr) ZERO
KFUNC void *bpf_refcount_acquire_impl(void *p__refcounted_kptr, void *meta__ign) ZERO

// Lists and trees of such objects.

KFUNC struct bpf_list_node *bpf_list_back(struct bpf_list_head *head) ZERO
KFUNC struct bpf_list_node *bpf_list_front(struct bpf_list_head *head) ZERO
KFUNC struct bpf_list_node *bpf_list_pop_back(struct bpf_list_head *head) ZERO
KFUNC struct bpf_list_node *bpf_list_pop_front(struct bpf_list_head *head) ZERO
KFUNC int bpf_list_push_back(struct bpf_list_head *head, struct bpf_list_node *node) ZERO
KFUNC int bpf_list_push_back_impl(struct bpf_list_head *head, struct bpf_list_node *node,
	void *meta__ign, u64 off) ZERO
KFUNC int bpf_list_push_front(struct bpf_list_head *head, struct bpf_list_node *node) ZERO
KFUNC int bpf_list_push_front_impl(struct bpf_list_head *head, struct bpf_list_node *node,
	void *meta__ign, u64 off) ZERO
KFUNC int bpf_rbtree_add(struct bpf_rb_root *root, struct bpf_rb_node *node,
	bool (*less)(struct bpf_rb_node *a, const struct bpf_rb_node *b)) ZERO
KFUNC int bpf_rbtree_add_impl(struct bpf_rb_root *root, struct bpf_rb_node *node,
	bool (*less)(struct bpf_rb_node *a, const struct bpf_rb_node *b), void *meta__ign,
	u64 off) ZERO
KFUNC struct bpf_rb_node *bpf_rbtree_first(struct bpf_rb_root *root) ZERO
KFUNC struct bpf_rb_node *bpf_rbtree_left(struct bpf_rb_root *root, struct bpf_rb_node *node) ZERO
KFUNC struct bpf_rb_node *bpf_rbtree_remove(struct bpf_rb_root *root,
	struct bpf_rb_node *node) ZERO
KFUNC struct bpf_rb_node *bpf_rbtree_right(struct bpf_rb_root *root,
	struct bpf_rb_node *node) ZERO
KFUNC struct bpf_rb_node *bpf_rbtree_root(struct bpf_rb_root *root) ZERO

// Sections in which nothing else runs, and locks.

KFUNC void bpf_local_irq_restore(unsigned long *flags__irq_flag) NOTHING
KFUNC void bpf_local_irq_save(unsigned long *flags__irq_flag) NOTHING
KFUNC void bpf_preempt_disable(void) NOTHING
KFUNC void bpf_preempt_enable(void) NOTHING
KFUNC void bpf_rcu_read_lock(void) NOTHING
KFUNC void bpf_rcu_read_unlock(void) NOTHING
KFUNC int bpf_res_spin_lock(struct bpf_res_spin_lock *lock) ZERO
KFUNC int bpf_res_spin_lock_irqsave(struct bpf_res_spin_lock *lock,
	unsigned long *flags__irq_flag) ZERO
KFUNC void bpf_res_spin_unlock(struct bpf_res_spin_lock *lock) NOTHING
KFUNC void bpf_res_spin_unlock_irqrestore(struct bpf_res_spin_lock *lock,
	unsigned long *flags__irq_flag) NOTHING

// Tasks and cgroups.

enum pid_type {
	PIDTYPE_PID,
	PIDTYPE_TGID,
	PIDTYPE_PGID,
	PIDTYPE_SID,
	PIDTYPE_MAX,
};

KFUNC struct cgroup *bpf_cgroup_acquire(struct cgroup *cgrp) ZERO
KFUNC struct cgroup *bpf_cgroup_ancestor(struct cgroup *cgrp, int level) ZERO
KFUNC struct cgroup *bpf_cgroup_from_id(u64 cgid) ZERO
KFUNC void bpf_cgroup_release(struct cgroup *cgrp) NOTHING
KFUNC int bpf_send_signal_task(struct task_struct *task, int sig, enum pid_type type,
	u64 value) ZERO
KFUNC struct task_struct *bpf_task_acquire(struct task_struct *p) ZERO
KFUNC struct task_struct *bpf_task_from_pid(s32 pid) ZERO
KFUNC struct task_struct *bpf_task_from_vpid(s32 vpid) ZERO
KFUNC void bpf_task_release(struct task_struct *p) NOTHING
KFUNC long bpf_task_under_cgroup(struct task_struct *task, struct cgroup *ancestor) ZERO

// Sets of CPUs.

KFUNC struct bpf_cpumask *bpf_cpumask_acquire(struct bpf_cpumask *cpumask) ZERO
KFUNC bool bpf_cpumask_and(struct bpf_cpumask *dst, const struct cpumask *src1,
	const struct cpumask *src2) ZERO
KFUNC u32 bpf_cpumask_any_and_distribute(const struct cpumask *src1,
	const struct cpumask *src2) ZERO
KFUNC u32 bpf_cpumask_any_distribute(const struct cpumask *cpumask) ZERO
KFUNC void bpf_cpumask_clear(struct bpf_cpumask *cpumask) NOTHING
KFUNC void bpf_cpumask_clear_cpu(u32 cpu, struct bpf_cpumask *cpumask) NOTHING
KFUNC void bpf_cpumask_copy(struct bpf_cpumask *dst, const struct cpumask *src) NOTHING
KFUNC struct bpf_cpumask *bpf_cpumask_create(void) ZERO
KFUNC bool bpf_cpumask_empty(const struct cpumask *cpumask) ZERO
KFUNC bool bpf_cpumask_equal(const struct cpumask *src1, const struct cpumask *src2) ZERO
KFUNC u32 bpf_cpumask_first(const struct cpumask *cpumask) ZERO
KFUNC u32 bpf_cpumask_first_and(const struct cpumask *src1, const struct cpumask *src2) ZERO
KFUNC u32 bpf_cpumask_first_zero(const struct cpumask *cpumask) ZERO
KFUNC bool bpf_cpumask_full(const struct cpumask *cpumask) ZERO
KFUNC bool bpf_cpumask_intersects(const struct cpumask *src1, const struct cpumask *src2) ZERO
KFUNC void bpf_cpumask_or(struct bpf_cpumask *dst, const struct cpumask *src1,
	const struct cpumask *src2) NOTHING
KFUNC int bpf_cpumask_populate(struct cpumask *cpumask, void *src, size_t src__sz) ZERO
KFUNC void bpf_cpumask_release(struct bpf_cpumask *cpumask) NOTHING
KFUNC void bpf_cpumask_set_cpu(u32 cpu, struct bpf_cpumask *cpumask) NOTHING
KFUNC void bpf_cpumask_setall(struct bpf_cpumask *cpumask) NOTHING
KFUNC bool bpf_cpumask_subset(const struct cpumask *src1, const struct cpumask *src2) ZERO
KFUNC bool bpf_cpumask_test_and_clear_cpu(u32 cpu, struct bpf_cpumask *cpumask) ZERO
KFUNC bool bpf_cpumask_test_and_set_cpu(u32 cpu, struct bpf_cpumask *cpumask) ZERO
KFUNC bool bpf_cpumask_test_cpu(u32 cpu, const struct cpumask *cpumask) ZERO
KFUNC u32 bpf_cpumask_weight(const struct cpumask *cpumask) ZERO
KFUNC void bpf_cpumask_xor(struct bpf_cpumask *dst, const struct cpumask *src1,
	const struct cpumask *src2) NOTHING

// Dynptrs.

KFUNC int bpf_dynptr_adjust(const struct bpf_dynptr *p, u32 start, u32 end) ZERO
KFUNC int bpf_dynptr_clone(const struct bpf_dynptr *p, struct bpf_dynptr *clone__uninit) ZERO
KFUNC int bpf_dynptr_copy(struct bpf_dynptr *dst_ptr, u32 dst_off, struct bpf_dynptr *src_ptr,
	u32 src_off, u32 size) ZERO
KFUNC int bpf_dynptr_from_skb(struct __sk_buff *s, u64 flags, struct bpf_dynptr *ptr__uninit) ZERO
KFUNC int bpf_dynptr_from_skb_meta(struct __sk_buff *skb_, u64 flags,
	struct bpf_dynptr *ptr__uninit) ZERO
KFUNC int bpf_dynptr_from_xdp(struct xdp_md *x, u64 flags, struct bpf_dynptr *ptr__uninit) ZERO
KFUNC bool bpf_dynptr_is_null(const struct bpf_dynptr *p) ZERO
KFUNC bool bpf_dynptr_is_rdonly(const struct bpf_dynptr *p) ZERO
KFUNC int bpf_dynptr_memset(struct bpf_dynptr *p, u32 offset, u32 size, u8 val) ZERO
KFUNC __u32 bpf_dynptr_size(const struct bpf_dynptr *p) ZERO
KFUNC void *bpf_dynptr_slice(const struct bpf_dynptr *p, u32 offset, void *buffer__opt,
	u32 buffer__szk) ZERO
KFUNC void *bpf_dynptr_slice_rdwr(const struct bpf_dynptr *p, u32 offset, void *buffer__opt,
	u32 buffer__szk) ZERO

// Memory of user space and of the kernel, read into a buffer or a dynptr.

KFUNC int bpf_copy_from_user_dynptr(struct bpf_dynptr *dptr, u32 off, u32 size,
	const void *unsafe_ptr__ign) ZERO
KFUNC int bpf_copy_from_user_str(void *dst, u32 dst__sz, const void *unsafe_ptr__ign,
	u64 flags) ZERO
KFUNC int bpf_copy_from_user_str_dynptr(struct bpf_dynptr *dptr, u32 off, u32 size,
	const void *unsafe_ptr__ign) ZERO
KFUNC int bpf_copy_from_user_task_dynptr(struct bpf_dynptr *dptr, u32 off, u32 size,
	const void *unsafe_ptr__ign, struct task_struct *tsk) ZERO
KFUNC int bpf_copy_from_user_task_str(void *dst, u32 dst__sz, const void *unsafe_ptr__ign,
	struct task_struct *tsk, u64 flags) ZERO
KFUNC int bpf_copy_from_user_task_str_dynptr(struct bpf_dynptr *dptr, u32 off, u32 size,
	const void *unsafe_ptr__ign, struct task_struct *tsk) ZERO
KFUNC int bpf_probe_read_kernel_dynptr(struct bpf_dynptr *dptr, u32 off, u32 size,
	const void *unsafe_ptr__ign) ZERO
KFUNC int bpf_probe_read_kernel_str_dynptr(struct bpf_dynptr *dptr, u32 off, u32 size,
	const void *unsafe_ptr__ign) ZERO
KFUNC int bpf_probe_read_user_dynptr(struct bpf_dynptr *dptr, u32 off, u32 size,
	const void *unsafe_ptr__ign) ZERO
KFUNC int bpf_probe_read_user_str_dynptr(struct bpf_dynptr *dptr, u32 off, u32 size,
	const void *unsafe_ptr__ign) ZERO

// Strings.

KFUNC int bpf_strcasecmp(const char *s1__ign, const char *s2__ign) ZERO
KFUNC int bpf_strcasestr(const char *s1__ign, const char *s2__ign) ZERO
KFUNC int bpf_strchr(const char *s__ign, char c) ZERO
KFUNC int bpf_strchrnul(const char *s__ign, char c) ZERO
KFUNC int bpf_strcmp(const char *s1__ign, const char *s2__ign) ZERO
KFUNC int bpf_strcspn(const char *s__ign, const char *reject__ign) ZERO
KFUNC int bpf_strlen(const char *s__ign) ZERO
KFUNC int bpf_strncasecmp(const char *s1__ign, const char *s2__ign, size_t len) ZERO
KFUNC int bpf_strncasestr(const char *s1__ign, const char *s2__ign, size_t len) ZERO
KFUNC int bpf_strnchr(const char *s__ign, size_t count, char c) ZERO
KFUNC int bpf_strnlen(const char *s__ign, size_t count) ZERO
KFUNC int bpf_strnstr(const char *s1__ign, const char *s2__ign, size_t len) ZERO
KFUNC int bpf_strrchr(const char *s__ign, int c) ZERO
KFUNC int bpf_strspn(const char *s__ign, const char *accept__ign) ZERO
KFUNC int bpf_strstr(const char *s1__ign, const char *s2__ign) ZERO

// Types, exceptions, maps and sessions.

KFUNC void *bpf_cast_to_kern_ctx(void *obj) ZERO
KFUNC s64 bpf_map_sum_elem_count(const struct bpf_map *map) ZERO
KFUNC void *bpf_rdonly_cast(const void *obj__ign, u32 btf_id__k) ZERO
KFUNC __u64 *bpf_session_cookie(void) ZERO
KFUNC bool bpf_session_is_return(void) ZERO
KFUNC void bpf_throw(u64 cookie) NOTHING

// Work that runs later.

typedef int (*bpf_task_work_callback_t)(struct bpf_map *map, void *key, void *value);

KFUNC int bpf_task_work_schedule_resume(struct task_struct *task, struct bpf_task_work *tw,
	void *map__map, bpf_task_work_callback_t callback) ZERO
KFUNC int bpf_task_work_schedule_resume_impl(struct task_struct *task, struct bpf_task_work *tw,
	void *map__map, bpf_task_work_callback_t callback, void *aux__prog) ZERO
KFUNC int bpf_task_work_schedule_signal(struct task_struct *task, struct bpf_task_work *tw,
	void *map__map, bpf_task_work_callback_t callback) ZERO
KFUNC int bpf_task_work_schedule_signal_impl(struct task_struct *task, struct bpf_task_work *tw,
	void *map__map, bpf_task_work_callback_t callback, void *aux__prog) ZERO
KFUNC int bpf_wq_init(struct bpf_wq *wq, void *p__map, unsigned int flags) ZERO
KFUNC int bpf_wq_set_callback(struct bpf_wq *wq, int (*callback_fn)(void *, int *, void *),
	unsigned int flags) ZERO
KFUNC int bpf_wq_set_callback_impl(struct bpf_wq *wq, int (*callback_fn)(void *, int *, void *),
	unsigned int flags, void *aux__prog) ZERO
KFUNC int bpf_wq_start(struct bpf_wq *wq, unsigned int flags) ZERO

// Arenas.

KFUNC void *bpf_arena_alloc_pages(void *p__map, void *addr__ign, u32 page_cnt, int node_id,
	u64 flags) ZERO
KFUNC void bpf_arena_free_pages(void *p__map, void *ptr__ign, u32 page_cnt) NOTHING
KFUNC int bpf_arena_reserve_pages(void *p__map, void *ptr__ign, u32 page_cnt) ZERO

// Streams.

KFUNC int bpf_stream_vprintk(int stream_id, const char *fmt__str, const void *args,
	u32 len__sz) ZERO
KFUNC int bpf_stream_vprintk_impl(int stream_id, const char *fmt__str, const void *args,
	u32 len__sz, void *aux__prog) ZERO

// Metadata of received packets.

KFUNC int bpf_xdp_metadata_rx_hash(const struct xdp_md *ctx, u32 *hash,
	enum xdp_rss_hash_type *rss_type) ZERO
KFUNC int bpf_xdp_metadata_rx_timestamp(const struct xdp_md *ctx, u64 *timestamp) ZERO
KFUNC int bpf_xdp_metadata_rx_vlan_tag(const struct xdp_md *ctx, __be16 *vlan_proto,
	u16 *vlan_tci) ZERO
KFUNC int bpf_xdp_pull_data(struct xdp_md *x, u32 len) ZERO
