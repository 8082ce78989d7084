//! Functions that are chosen when the program runs.
use skep_ebpf::prelude::*;

license!("GPL");

static CHOICES: [fn(u64) -> u64; 2] = [first, second];

#[inline(never)]
fn first(number: u64) -> u64 {
    number ^ ktime_ns()
}

#[inline(never)]
fn second(number: u64) -> u64 {
    number + ktime_ns()
}

#[xdp]
fn choose(_: &XdpContext) -> XdpAction {
    let choice = CHOICES[(random() % 2) as usize];
    match choice(7) {
        0 => XdpAction::DROP,
        _ => XdpAction::PASS,
    }
}
