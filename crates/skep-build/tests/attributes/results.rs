//! What a program must say.
#![no_std]
#![no_main]
use skep_ebpf::prelude::*;

license!("GPL");

#[xdp]
fn decides_nothing(_: &XdpContext) {}

#[lsm("file_open")]
fn permits_nothing() {}

#[freplace("filter")]
fn replaces_nothing(_: &XdpContext) {}
