//! A congestion control, and one without a link.
#![no_std]
#![no_main]
use skep_ebpf::prelude::*;

license!("GPL");

#[map]
static CALLS: Array<u64, 3> = Array::new();

fn count(index: u32) {
    if let Some(calls) = CALLS.get(index) {
        calls.add(1);
    }
}

#[kernel]
struct tcp_sock {
    snd_cwnd: u32,
}

#[struct_ops]
fn begin(_socket: &tcp_sock) {
    count(0);
}

#[struct_ops]
fn grow(_socket: &tcp_sock, _ack: u32, acked: u32) {
    count(1);
    if acked > 0 {
        count(2);
    }
}

#[struct_ops]
fn shrink(socket: &tcp_sock) -> u32 {
    core_load!(socket.snd_cwnd).max(4) / 2
}

#[struct_ops]
fn undo(context: &StructOpsContext) -> u32 {
    match context.argument::<Option<&tcp_sock>>(0) {
        Some(socket) => core_load!(socket.snd_cwnd),
        None => 10,
    }
}

#[allow(non_camel_case_types)]
#[repr(C)]
struct tcp_congestion_ops {
    name: [u8; 16],
    init: Operation,
    cong_avoid: Operation,
    ssthresh: Operation,
    undo_cwnd: Operation,
}

#[struct_ops]
static LINKED: tcp_congestion_ops = tcp_congestion_ops {
    name: *b"skep_rust\0\0\0\0\0\0\0",
    init: begin,
    cong_avoid: grow,
    ssthresh: shrink,
    undo_cwnd: undo,
};

#[struct_ops(without_link)]
static FOR_GOOD: tcp_congestion_ops = tcp_congestion_ops {
    name: *b"skep_rust_2\0\0\0\0\0",
    init: begin,
    cong_avoid: grow,
    ssthresh: shrink,
    undo_cwnd: undo,
};
