//! The kernel functions, by name. Read from the sets that Linux registers them in, of 6.18 and those
//! before; `(6, 2)` is the first release that has the function, sets and flags are the newest. Where
//! one was renamed, `as` says what it is called now, and `until` since when the old name is gone:
//! those that are given their last arguments by the verifier lost their `_impl` in 7.0, and from 7.1
//! on objects are called by both names.

use super::{Kfunc, KfuncFlags as F, KfuncHooks as H};
use crate::KernelVersion;

/// The one that may be there.
const fn first<T: Copy, const N: usize>(of: [T; N]) -> Option<T> {
    match of.as_slice() {
        [first, ..] => Some(*first),
        [] => None,
    }
}

macro_rules! kfuncs {
    ($(
        $name:ident ($major:literal, $minor:literal)
            $(until ($until_major:literal, $until_minor:literal))? $(as $now:ident)?:
            $($hook:ident)|+ $(, $($flag:ident)|+)?;
    )*) => {
        pub(super) const KFUNCS: &[Kfunc] = &[$(Kfunc {
            name: stringify!($name),
            since: KernelVersion::new($major, $minor),
            until: first([$(KernelVersion::new($until_major, $until_minor))?]),
            now: first([$(stringify!($now))?]),
            hooks: H::empty()$(.union(H::$hook))+,
            flags: F::empty()$($(.union(F::$flag))+)?,
        },)*];
    };
}

kfuncs! {
    __bpf_trap (6, 17): COMMON;
    bbr_cwnd_event (5, 13): STRUCT_OPS;
    bbr_init (5, 13): STRUCT_OPS;
    bbr_main (5, 13): STRUCT_OPS;
    bbr_min_tso_segs (5, 13): STRUCT_OPS;
    bbr_set_state (5, 13): STRUCT_OPS;
    bbr_sndbuf_expand (5, 13): STRUCT_OPS;
    bbr_ssthresh (5, 13): STRUCT_OPS;
    bbr_undo_cwnd (5, 13): STRUCT_OPS;
    bpf_arena_alloc_pages (6, 9): COMMON, TRUSTED_ARGS | SLEEPABLE;
    bpf_arena_free_pages (6, 9): COMMON, TRUSTED_ARGS | SLEEPABLE;
    bpf_arena_reserve_pages (6, 17): COMMON, TRUSTED_ARGS;
    bpf_cast_to_kern_ctx (6, 2): COMMON, FASTCALL;
    bpf_cgroup_acquire (6, 2): GENERIC, ACQUIRE | RCU | RET_NULL;
    bpf_cgroup_ancestor (6, 2): GENERIC, ACQUIRE | RCU | RET_NULL;
    bpf_cgroup_from_id (6, 4): GENERIC, ACQUIRE | RET_NULL;
    bpf_cgroup_read_xattr (6, 17): COMMON, RCU;
    bpf_cgroup_release (6, 2): GENERIC, RELEASE;
    bpf_copy_from_user_dynptr (6, 16): COMMON, SLEEPABLE;
    bpf_copy_from_user_str (6, 12): COMMON, SLEEPABLE;
    bpf_copy_from_user_str_dynptr (6, 16): COMMON, SLEEPABLE;
    bpf_copy_from_user_task_dynptr (6, 16): COMMON, SLEEPABLE | TRUSTED_ARGS;
    bpf_copy_from_user_task_str (6, 15): COMMON, SLEEPABLE;
    bpf_copy_from_user_task_str_dynptr (6, 16): COMMON, SLEEPABLE | TRUSTED_ARGS;
    bpf_cpumask_acquire (6, 3): CPUMASK, ACQUIRE | TRUSTED_ARGS;
    bpf_cpumask_and (6, 3): CPUMASK, RCU;
    bpf_cpumask_any_and_distribute (6, 5): CPUMASK, RCU;
    bpf_cpumask_any_distribute (6, 5): CPUMASK, RCU;
    bpf_cpumask_clear (6, 3): CPUMASK, RCU;
    bpf_cpumask_clear_cpu (6, 3): CPUMASK, RCU;
    bpf_cpumask_copy (6, 3): CPUMASK, RCU;
    bpf_cpumask_create (6, 3): CPUMASK, ACQUIRE | RET_NULL;
    bpf_cpumask_empty (6, 3): CPUMASK, RCU;
    bpf_cpumask_equal (6, 3): CPUMASK, RCU;
    bpf_cpumask_first (6, 3): CPUMASK, RCU;
    bpf_cpumask_first_and (6, 5): CPUMASK, RCU;
    bpf_cpumask_first_zero (6, 3): CPUMASK, RCU;
    bpf_cpumask_full (6, 3): CPUMASK, RCU;
    bpf_cpumask_intersects (6, 3): CPUMASK, RCU;
    bpf_cpumask_or (6, 3): CPUMASK, RCU;
    bpf_cpumask_populate (6, 15): CPUMASK, RCU;
    bpf_cpumask_release (6, 3): CPUMASK, RELEASE;
    bpf_cpumask_set_cpu (6, 3): CPUMASK, RCU;
    bpf_cpumask_setall (6, 3): CPUMASK, RCU;
    bpf_cpumask_subset (6, 3): CPUMASK, RCU;
    bpf_cpumask_test_and_clear_cpu (6, 3): CPUMASK, RCU;
    bpf_cpumask_test_and_set_cpu (6, 3): CPUMASK, RCU;
    bpf_cpumask_test_cpu (6, 3): CPUMASK, RCU;
    bpf_cpumask_weight (6, 8): CPUMASK, RCU;
    bpf_cpumask_xor (6, 3): CPUMASK, RCU;
    bpf_crypto_ctx_acquire (6, 10): SYSCALL, ACQUIRE | RCU | RET_NULL;
    bpf_crypto_ctx_create (6, 10): SYSCALL, ACQUIRE | RET_NULL | SLEEPABLE;
    bpf_crypto_ctx_release (6, 10): SYSCALL, RELEASE;
    bpf_crypto_decrypt (6, 10): TC | SCHED_ACT | XDP, RCU;
    bpf_crypto_encrypt (6, 10): TC | SCHED_ACT | XDP, RCU;
    bpf_ct_change_status (6, 1): TC | XDP, TRUSTED_ARGS;
    bpf_ct_change_timeout (6, 1): TC | XDP, TRUSTED_ARGS;
    bpf_ct_insert_entry (6, 1): TC | XDP, ACQUIRE | RET_NULL | RELEASE;
    bpf_ct_release (5, 18): TC | XDP, RELEASE;
    bpf_ct_set_nat_info (6, 1): TC | XDP, TRUSTED_ARGS;
    bpf_ct_set_status (6, 1): TC | XDP, TRUSTED_ARGS;
    bpf_ct_set_timeout (6, 1): TC | XDP, TRUSTED_ARGS;
    bpf_dynptr_adjust (6, 5): COMMON;
    bpf_dynptr_clone (6, 5): COMMON;
    bpf_dynptr_copy (6, 15): COMMON;
    bpf_dynptr_from_skb (6, 4): SKB, TRUSTED_ARGS;
    bpf_dynptr_from_skb_meta (6, 18): TC | SCHED_ACT;
    bpf_dynptr_from_xdp (6, 4): XDP;
    bpf_dynptr_is_null (6, 5): COMMON;
    bpf_dynptr_is_rdonly (6, 5): COMMON;
    bpf_dynptr_memset (6, 17): COMMON;
    bpf_dynptr_size (6, 5): COMMON;
    bpf_dynptr_slice (6, 4): COMMON, RET_NULL;
    bpf_dynptr_slice_rdwr (6, 4): COMMON, RET_NULL;
    bpf_fentry_test1 (5, 18): FMODRET, SLEEPABLE;
    bpf_get_dentry_xattr (6, 12): TRACING, SLEEPABLE | TRUSTED_ARGS;
    bpf_get_file_xattr (6, 8): TRACING, SLEEPABLE | TRUSTED_ARGS;
    bpf_get_fsverity_digest (6, 8): TRACING, TRUSTED_ARGS;
    bpf_get_kmem_cache (6, 13): COMMON;
    bpf_get_task_exe_file (6, 12): TRACING, ACQUIRE | TRUSTED_ARGS | RET_NULL;
    bpf_iter_bits_destroy (6, 11): COMMON, ITER_DESTROY;
    bpf_iter_bits_new (6, 11): COMMON, ITER_NEW;
    bpf_iter_bits_next (6, 11): COMMON, ITER_NEXT | RET_NULL;
    bpf_iter_css_destroy (6, 7): COMMON, ITER_DESTROY;
    bpf_iter_css_new (6, 7): COMMON, ITER_NEW | TRUSTED_ARGS | RCU_PROTECTED;
    bpf_iter_css_next (6, 7): COMMON, ITER_NEXT | RET_NULL;
    bpf_iter_css_task_destroy (6, 7): COMMON, ITER_DESTROY;
    bpf_iter_css_task_new (6, 7): COMMON, ITER_NEW | TRUSTED_ARGS;
    bpf_iter_css_task_next (6, 7): COMMON, ITER_NEXT | RET_NULL;
    bpf_iter_dmabuf_destroy (6, 16): COMMON, ITER_DESTROY | SLEEPABLE;
    bpf_iter_dmabuf_new (6, 16): COMMON, ITER_NEW | SLEEPABLE;
    bpf_iter_dmabuf_next (6, 16): COMMON, ITER_NEXT | RET_NULL | SLEEPABLE;
    bpf_iter_kmem_cache_destroy (6, 14): COMMON, ITER_DESTROY | SLEEPABLE;
    bpf_iter_kmem_cache_new (6, 14): COMMON, ITER_NEW | SLEEPABLE;
    bpf_iter_kmem_cache_next (6, 14): COMMON, ITER_NEXT | RET_NULL | SLEEPABLE;
    bpf_iter_num_destroy (6, 4): COMMON, ITER_DESTROY;
    bpf_iter_num_new (6, 4): COMMON, ITER_NEW;
    bpf_iter_num_next (6, 4): COMMON, ITER_NEXT | RET_NULL;
    bpf_iter_task_destroy (6, 7): COMMON, ITER_DESTROY;
    bpf_iter_task_new (6, 7): COMMON, ITER_NEW | TRUSTED_ARGS | RCU_PROTECTED;
    bpf_iter_task_next (6, 7): COMMON, ITER_NEXT | RET_NULL;
    bpf_iter_task_vma_destroy (6, 7): COMMON, ITER_DESTROY;
    bpf_iter_task_vma_new (6, 7): COMMON, ITER_NEW | RCU;
    bpf_iter_task_vma_next (6, 7): COMMON, ITER_NEXT | RET_NULL;
    bpf_key_put (6, 1): TRACING, RELEASE;
    bpf_kfunc_call_memb_release (5, 18): TC | TRACING | SYSCALL, RELEASE;
    bpf_kfunc_call_test_release (5, 18): TC | TRACING | SYSCALL, RELEASE;
    bpf_list_back (6, 16): GENERIC, RET_NULL;
    bpf_list_front (6, 16): GENERIC, RET_NULL;
    bpf_list_pop_back (6, 2): GENERIC, ACQUIRE | RET_NULL;
    bpf_list_pop_front (6, 2): GENERIC, ACQUIRE | RET_NULL;
    bpf_list_push_back (7, 1): GENERIC;
    bpf_list_push_back_impl (6, 2) as bpf_list_push_back: GENERIC;
    bpf_list_push_front (7, 1): GENERIC;
    bpf_list_push_front_impl (6, 2) as bpf_list_push_front: GENERIC;
    bpf_local_irq_restore (6, 14): COMMON;
    bpf_local_irq_save (6, 14): COMMON;
    bpf_lookup_system_key (6, 1): TRACING, ACQUIRE | RET_NULL;
    bpf_lookup_user_key (6, 1): TRACING, ACQUIRE | RET_NULL | SLEEPABLE;
    bpf_map_sum_elem_count (6, 6): COMMON, TRUSTED_ARGS;
    bpf_modify_return_test (5, 18): FMODRET, SLEEPABLE;
    bpf_modify_return_test2 (5, 18): FMODRET, SLEEPABLE;
    bpf_modify_return_test_tp (6, 8): COMMON;
    bpf_obj_drop (7, 1): GENERIC, RELEASE;
    bpf_obj_drop_impl (6, 2) as bpf_obj_drop: GENERIC, RELEASE;
    bpf_obj_new (7, 1): GENERIC, ACQUIRE | RET_NULL;
    bpf_obj_new_impl (6, 2) as bpf_obj_new: GENERIC, ACQUIRE | RET_NULL;
    bpf_path_d_path (6, 12): TRACING, TRUSTED_ARGS;
    bpf_percpu_obj_drop (7, 1): GENERIC, RELEASE;
    bpf_percpu_obj_drop_impl (6, 6) as bpf_percpu_obj_drop: GENERIC, RELEASE;
    bpf_percpu_obj_new (7, 1): GENERIC, ACQUIRE | RET_NULL;
    bpf_percpu_obj_new_impl (6, 6) as bpf_percpu_obj_new: GENERIC, ACQUIRE | RET_NULL;
    bpf_preempt_disable (6, 10): COMMON;
    bpf_preempt_enable (6, 10): COMMON;
    bpf_probe_read_kernel_dynptr (6, 16): COMMON;
    bpf_probe_read_kernel_str_dynptr (6, 16): COMMON;
    bpf_probe_read_user_dynptr (6, 16): COMMON;
    bpf_probe_read_user_str_dynptr (6, 16): COMMON;
    bpf_put_file (6, 12): TRACING, RELEASE;
    bpf_rbtree_add (7, 1): GENERIC;
    bpf_rbtree_add_impl (6, 3) as bpf_rbtree_add: GENERIC;
    bpf_rbtree_first (6, 3): GENERIC, RET_NULL;
    bpf_rbtree_left (6, 16): GENERIC, RET_NULL;
    bpf_rbtree_remove (6, 3): GENERIC, ACQUIRE | RET_NULL;
    bpf_rbtree_right (6, 16): GENERIC, RET_NULL;
    bpf_rbtree_root (6, 16): GENERIC, RET_NULL;
    bpf_rcu_read_lock (6, 2): COMMON;
    bpf_rcu_read_unlock (6, 2): COMMON;
    bpf_rdonly_cast (6, 2): COMMON, FASTCALL;
    bpf_refcount_acquire (7, 1): GENERIC, ACQUIRE | RET_NULL | RCU;
    bpf_refcount_acquire_impl (6, 4) as bpf_refcount_acquire: GENERIC, ACQUIRE | RET_NULL | RCU;
    bpf_remove_dentry_xattr (6, 15): TRACING, SLEEPABLE | TRUSTED_ARGS;
    bpf_res_spin_lock (6, 15): COMMON, RET_NULL;
    bpf_res_spin_lock_irqsave (6, 15): COMMON, RET_NULL;
    bpf_res_spin_unlock (6, 15): COMMON;
    bpf_res_spin_unlock_irqrestore (6, 15): COMMON;
    bpf_send_signal_task (6, 13): GENERIC, TRUSTED_ARGS;
    bpf_session_cookie (6, 10): KPROBE;
    bpf_session_is_return (6, 10): KPROBE;
    bpf_set_dentry_xattr (6, 15): TRACING, SLEEPABLE | TRUSTED_ARGS;
    bpf_sk_assign_tcp_reqsk (6, 9): TC, TRUSTED_ARGS;
    bpf_skb_ct_alloc (6, 1): TC | XDP, ACQUIRE | RET_NULL;
    bpf_skb_ct_lookup (5, 18): TC | XDP, ACQUIRE | RET_NULL;
    bpf_skb_get_fou_encap (6, 4): TC;
    bpf_skb_get_xfrm_info (6, 2): TC;
    bpf_skb_set_fou_encap (6, 4): TC;
    bpf_skb_set_xfrm_info (6, 2): TC;
    bpf_sock_addr_set_sun_path (6, 7): CGROUP;
    bpf_sock_destroy (6, 5): TRACING, TRUSTED_ARGS;
    bpf_sock_ops_enable_tx_tstamp (6, 15): CGROUP, TRUSTED_ARGS;
    bpf_strcasecmp (6, 18): COMMON;
    bpf_strcasestr (6, 19): COMMON;
    bpf_strchr (6, 17): COMMON;
    bpf_strchrnul (6, 17): COMMON;
    bpf_strcmp (6, 17): COMMON;
    bpf_strcspn (6, 17): COMMON;
    bpf_stream_vprintk (6, 17): COMMON, TRUSTED_ARGS;
    bpf_stream_vprintk_impl (6, 18) until (7, 0) as bpf_stream_vprintk: COMMON, TRUSTED_ARGS;
    bpf_strlen (6, 17): COMMON;
    bpf_strncasecmp (7, 0): COMMON;
    bpf_strncasestr (6, 19): COMMON;
    bpf_strnchr (6, 17): COMMON;
    bpf_strnlen (6, 17): COMMON;
    bpf_strnstr (6, 17): COMMON;
    bpf_strrchr (6, 17): COMMON;
    bpf_strspn (6, 17): COMMON;
    bpf_strstr (6, 17): COMMON;
    bpf_task_acquire (6, 2): GENERIC, ACQUIRE | RCU | RET_NULL;
    bpf_task_from_pid (6, 2): GENERIC, ACQUIRE | RET_NULL;
    bpf_task_from_vpid (6, 14): GENERIC, ACQUIRE | RET_NULL;
    bpf_task_get_cgroup1 (6, 8): GENERIC, ACQUIRE | RCU | RET_NULL;
    bpf_task_release (6, 2): GENERIC, RELEASE;
    bpf_task_under_cgroup (6, 5): GENERIC, RCU;
    bpf_task_work_schedule_resume (7, 0): COMMON, TRUSTED_ARGS;
    bpf_task_work_schedule_resume_impl (6, 18) until (7, 0) as bpf_task_work_schedule_resume: COMMON, TRUSTED_ARGS;
    bpf_task_work_schedule_signal (7, 0): COMMON, TRUSTED_ARGS;
    bpf_task_work_schedule_signal_impl (6, 18) until (7, 0) as bpf_task_work_schedule_signal: COMMON, TRUSTED_ARGS;
    bpf_throw (6, 7): GENERIC;
    bpf_verify_pkcs7_signature (6, 1): TRACING, SLEEPABLE;
    bpf_wq_init (6, 10): COMMON;
    bpf_wq_set_callback (7, 0): COMMON;
    bpf_wq_set_callback_impl (6, 10) until (7, 0) as bpf_wq_set_callback: COMMON;
    bpf_wq_start (6, 10): COMMON;
    bpf_xdp_ct_alloc (6, 1): TC | XDP, ACQUIRE | RET_NULL;
    bpf_xdp_ct_lookup (5, 18): TC | XDP, ACQUIRE | RET_NULL;
    bpf_xdp_flow_lookup (6, 11): XDP, TRUSTED_ARGS | RET_NULL;
    bpf_xdp_get_xfrm_state (6, 8): XDP, RET_NULL | ACQUIRE;
    bpf_xdp_metadata_rx_hash (6, 3): XDP, TRUSTED_ARGS;
    bpf_xdp_metadata_rx_timestamp (6, 3): XDP, TRUSTED_ARGS;
    bpf_xdp_metadata_rx_vlan_tag (6, 8): XDP, TRUSTED_ARGS;
    bpf_xdp_pull_data (6, 18): XDP;
    bpf_xdp_xfrm_state_release (6, 8): XDP, RELEASE;
    cgroup_rstat_flush (6, 1) until (6, 16) as css_rstat_flush: TRACING, SLEEPABLE;
    cgroup_rstat_updated (6, 1) until (6, 16) as css_rstat_updated: TRACING;
    crash_kexec (6, 1): GENERIC, DESTRUCTIVE;
    css_rstat_flush (6, 16): TRACING, SLEEPABLE;
    css_rstat_updated (6, 16): TRACING;
    cubictcp_acked (5, 13): STRUCT_OPS;
    cubictcp_cong_avoid (5, 13): STRUCT_OPS;
    cubictcp_cwnd_event (5, 13): STRUCT_OPS;
    cubictcp_init (5, 13): STRUCT_OPS;
    cubictcp_recalc_ssthresh (5, 13): STRUCT_OPS;
    cubictcp_state (5, 13): STRUCT_OPS;
    dctcp_cwnd_event (5, 13): STRUCT_OPS;
    dctcp_cwnd_undo (5, 13): STRUCT_OPS;
    dctcp_init (5, 13): STRUCT_OPS;
    dctcp_ssthresh (5, 13): STRUCT_OPS;
    dctcp_state (5, 13): STRUCT_OPS;
    dctcp_update_alpha (5, 13): STRUCT_OPS;
    tcp_cong_avoid_ai (5, 13): STRUCT_OPS;
    tcp_reno_cong_avoid (5, 13): STRUCT_OPS;
    tcp_reno_ssthresh (5, 13): STRUCT_OPS;
    tcp_reno_undo_cwnd (5, 13): STRUCT_OPS;
    tcp_slow_start (5, 13): STRUCT_OPS;
}
