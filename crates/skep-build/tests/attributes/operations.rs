//! Structs of operations.
#![no_std]
#![no_main]
use skep_ebpf::prelude::*;

license!("GPL");

#[repr(C)]
struct tcp_congestion_ops {
    name: [u8; 16],
}

#[struct_ops(link)]
static LINKED: tcp_congestion_ops = tcp_congestion_ops { name: *b"linked\0\0\0\0\0\0\0\0\0\0" };

#[struct_ops]
static mut CHANGED: tcp_congestion_ops = tcp_congestion_ops { name: *b"changed\0\0\0\0\0\0\0\0\0" };

#[struct_ops]
fn given(_socket: &mut tcp_congestion_ops) -> u32 {
    7
}
