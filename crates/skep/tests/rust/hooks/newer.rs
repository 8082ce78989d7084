//! Packets at hooks whose sections libbpf knows since 1.2 and 1.3.
#![no_std]
#![no_main]
use skep_ebpf::prelude::*;

license!("GPL");

#[tc(ingress)]
fn inwards(context: &TcContext) -> TcAction {
    match context.len() {
        0 => TcAction::SHOT,
        _ => TcAction::OK,
    }
}

#[tcx(egress)]
fn out(context: &TcContext) -> TcAction {
    match context.protocol() {
        0 => TcAction::SHOT,
        _ => TcAction::NEXT,
    }
}

#[netkit(primary)]
fn pair(_: &TcContext) -> TcAction {
    TcAction::OK
}

#[kernel]
struct nf_hook_state {
    pf: u8,
}

#[kernel]
struct sk_buff {
    len: u32,
}

#[netfilter]
fn hooked(context: &NetfilterContext) -> NetfilterVerdict {
    let (state, packet): (&nf_hook_state, &sk_buff) = (context.state(), context.skb());
    if core_load!(state.pf) == 2 && core_load!(packet.len) > 60_000 {
        return NetfilterVerdict::DROP;
    }
    NetfilterVerdict::ACCEPT
}
