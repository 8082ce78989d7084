//! What stands in an attribute's parentheses.
#![no_std]
#![no_main]
use skep_ebpf::prelude::*;

license!("GPL");

#[tp_btf]
fn without_its_target() {}

#[lsm]
fn without_its_hook() -> Result {
    Ok(())
}

#[tracepoint("sys_enter_openat")]
fn without_its_category() {}

#[usdt("python3:line")]
fn without_its_provider() {}

#[uprobe("readline")]
fn without_its_file() {}

#[fentry("fs/open.c:do_sys_open")]
fn with_its_file() {}

#[xdp("eth0")]
fn on_a_device(_: &XdpContext) -> XdpAction {
    XdpAction::PASS
}

#[tcx]
fn in_no_direction(_: &TcContext) -> TcAction {
    TcAction::OK
}

#[tc("ingress")]
fn in_quotes(_: &TcContext) -> TcAction {
    TcAction::OK
}

#[cgroup_sock_addr(connect)]
fn of_no_family(_: &SockAddrContext) -> Access {
    Access::ALLOW
}

#[cgroup_sock_addr(connect4, connect6)]
fn of_two_families(_: &SockAddrContext) -> Access {
    Access::ALLOW
}

#[xdp(sleepable)]
fn that_sleeps(_: &XdpContext) -> XdpAction {
    XdpAction::PASS
}

#[uprobe(sleepable, sleepable)]
fn that_sleeps_twice() {}

#[kprobe("")]
fn on_nothing() {}

#[kprobe("do nanosleep")]
fn with_a_space() {}

#[kprobe("do_unlinkat", "do_rmdir")]
fn on_two() {}

#[kprobe("do_unlinkat" multi)]
fn without_a_comma() {}

#[kprobe(b"do_unlinkat")]
fn on_bytes() {}

#[tracepoint("sched/sched_process_exit", class = sched_process_template)]
fn with_a_bare_class(pid: i32) {}

#[kprobe("vfs_unlink", instead_of = "typed")]
fn in_place_of_a_text() {}

#[kprobe("vfs_unlink", instead_of)]
fn in_place_of_none() {}
