//! What the verifier's words mean, in the spelling of every kernel.

use skep_host::Errno;

use super::{call::Verdict, is_broken_off};

#[track_caller]
fn check(log: &str, expect: Verdict) {
    assert_eq!(Verdict::of(log), expect);
}

fn refused(log: &str) {
    check(log, Verdict::Refused(log.to_owned()));
}

#[test]
fn a_call_that_is_not_there_is_refused() {
    // 5.10
    refused(
        "0: R1=ctx(id=0,off=0,imm=0) R10=fp0\n0: (85) call bpf_loop#181\ninvalid func unknown#181\nprocessed 1 insns",
    );
    refused("0: (85) call bpf_sys_bpf#166\nunknown func bpf_sys_bpf#166\n");
    refused("BPF_CALL uses reserved fields\n");
    // 6.12
    refused(
        "0: R1=ctx() R10=fp0\n0: (85) call bpf_xdp_adjust_head#44\nprogram of this type cannot use helper bpf_xdp_adjust_head#44\n",
    );
    refused(
        "0: (85) call bpf_iter_num_new#1234\ncalling kernel function bpf_iter_num_new is not allowed\n",
    );
}

#[test]
fn explanations_of_newer_kernels_are_no_verdict() {
    // 7.3
    refused(
        "0: (85) call bpf_xdp_adjust_head#44\nprogram of this type cannot use helper bpf_xdp_adjust_head#44\n\
         \n  policy: this program type does not allow the helper\n  hint: Use a helper allowed for this program type\n",
    );
    check(
        "0: (85) call bpf_map_lookup_elem#1\nR1 type=ctx expected=map_ptr\n\n  \
         hint: program of this type cannot use helper with a context\n",
        Verdict::Allowed,
    );
}

#[test]
fn wrong_arguments_show_that_it_may_be_called() {
    check(
        "0: (85) call bpf_map_lookup_elem#1\nR1 type=ctx expected=map_ptr\nprocessed 1 insns",
        Verdict::Allowed,
    );
    check(
        "0: (85) call bpf_skb_load_bytes#26\nR2 !read_ok\n",
        Verdict::Allowed,
    );
    // Of the end of the program, not of the call.
    check("1: (95) exit\nR0 !read_ok\n", Verdict::Allowed);
}

#[test]
fn calls_for_other_hooks_are_told_apart() {
    check(
        "0: (85) call bpf_d_path#147\nhelper call is not allowed in probe\n",
        Verdict::NotHere,
    );
}

#[test]
fn calls_that_sleep_are_told_apart() {
    check(
        "0: (85) call bpf_copy_from_user#148\nhelper call might sleep in a non-sleepable prog\n",
        Verdict::Sleeps,
    );
    check(
        "0: (85) call bpf_copy_from_user#148\nsleepable helper bpf_copy_from_user#148 in non-sleepable prog\n",
        Verdict::Sleeps,
    );
    check(
        "program must be sleepable to call sleepable kfunc bpf_iter_css_new\n",
        Verdict::Sleeps,
    );
}

#[test]
fn what_was_broken_off_is_no_verdict() {
    for errno in [Errno::ENOMEM, Errno::EAGAIN, Errno::ENOSPC, Errno::EMFILE] {
        assert!(is_broken_off(errno), "{errno}");
    }
    for errno in [Errno::EINVAL, Errno::EACCES, Errno::ENOTSUPP, Errno::E2BIG] {
        assert!(!is_broken_off(errno), "{errno}");
    }
}
