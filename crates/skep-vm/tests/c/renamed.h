/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Functions that got another name: the verifier gives them their last arguments, which programs
 * had to pass by the old one. With OLD_NAMES that is what a program calls: up to Linux 6.19 there
 * is nothing else, and objects have both names from 7.1 on.
 */
#ifdef OLD_NAMES
extern void *bpf_obj_new_impl(__u64 local_type_id, void *meta) __ksym;
extern void bpf_obj_drop_impl(void *p, void *meta) __ksym;
extern void *bpf_percpu_obj_new_impl(__u64 local_type_id, void *meta) __ksym;
extern void bpf_percpu_obj_drop_impl(void *p, void *meta) __ksym;
extern void *bpf_refcount_acquire_impl(void *p, void *meta) __ksym;
extern int bpf_list_push_front_impl(struct bpf_list_head *head, struct bpf_list_node *node,
	void *meta, __u64 off) __ksym;
extern int bpf_list_push_back_impl(struct bpf_list_head *head, struct bpf_list_node *node,
	void *meta, __u64 off) __ksym;
extern int bpf_rbtree_add_impl(struct bpf_rb_root *root, struct bpf_rb_node *node,
	bool (*less)(struct bpf_rb_node *a, const struct bpf_rb_node *b), void *meta,
	__u64 off) __ksym;
extern int bpf_wq_set_callback_impl(struct bpf_wq *wq,
	int (*callback)(void *map, int *key, void *value), unsigned int flags, void *aux) __ksym;
extern int bpf_task_work_schedule_signal_impl(struct task_struct *task, struct bpf_task_work *tw,
	void *map, int (*callback)(struct bpf_map *map, void *key, void *value), void *aux) __ksym;
extern int bpf_task_work_schedule_resume_impl(struct task_struct *task, struct bpf_task_work *tw,
	void *map, int (*callback)(struct bpf_map *map, void *key, void *value), void *aux) __ksym;
extern int bpf_stream_vprintk_impl(int stream_id, const char *fmt, const void *args, u32 len,
	void *aux) __ksym;

#define bpf_obj_new(type) bpf_obj_new_impl(type, 0)
#define bpf_obj_drop(object) bpf_obj_drop_impl(object, 0)
#define bpf_percpu_obj_new(type) bpf_percpu_obj_new_impl(type, 0)
#define bpf_percpu_obj_drop(object) bpf_percpu_obj_drop_impl(object, 0)
#define bpf_refcount_acquire(object) bpf_refcount_acquire_impl(object, 0)
#define bpf_list_push_front(head, node) bpf_list_push_front_impl(head, node, 0, 0)
#define bpf_list_push_back(head, node) bpf_list_push_back_impl(head, node, 0, 0)
#define bpf_rbtree_add(root, node, less) bpf_rbtree_add_impl(root, node, less, 0, 0)
#define bpf_wq_set_callback(wq, callback, flags) bpf_wq_set_callback_impl(wq, callback, flags, 0)
#define bpf_task_work_schedule_signal(task, tw, map, callback) \
	bpf_task_work_schedule_signal_impl(task, tw, map, callback, 0)
#define bpf_task_work_schedule_resume(task, tw, map, callback) \
	bpf_task_work_schedule_resume_impl(task, tw, map, callback, 0)
#define bpf_stream_vprintk(stream, fmt, args, len) bpf_stream_vprintk_impl(stream, fmt, args, len, 0)
#else
extern void *bpf_obj_new(__u64 local_type_id) __ksym;
extern void bpf_obj_drop(void *p) __ksym;
extern void *bpf_percpu_obj_new(__u64 local_type_id) __ksym;
extern void bpf_percpu_obj_drop(void *p) __ksym;
extern void *bpf_refcount_acquire(void *p) __ksym;
extern int bpf_list_push_front(struct bpf_list_head *head, struct bpf_list_node *node) __ksym;
extern int bpf_list_push_back(struct bpf_list_head *head, struct bpf_list_node *node) __ksym;
extern int bpf_rbtree_add(struct bpf_rb_root *root, struct bpf_rb_node *node,
	bool (*less)(struct bpf_rb_node *a, const struct bpf_rb_node *b)) __ksym;
extern int bpf_wq_set_callback(struct bpf_wq *wq,
	int (*callback)(void *map, int *key, void *value), unsigned int flags) __ksym;
extern int bpf_task_work_schedule_signal(struct task_struct *task, struct bpf_task_work *tw,
	void *map, int (*callback)(struct bpf_map *map, void *key, void *value)) __ksym;
extern int bpf_task_work_schedule_resume(struct task_struct *task, struct bpf_task_work *tw,
	void *map, int (*callback)(struct bpf_map *map, void *key, void *value)) __ksym;
extern int bpf_stream_vprintk(int stream_id, const char *fmt, const void *args, u32 len) __ksym;
#endif
