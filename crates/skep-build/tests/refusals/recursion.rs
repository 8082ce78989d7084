//! A function that calls itself, and two that call each other.
use skep_ebpf::prelude::*;

license!("GPL");

#[inline(never)]
fn fibonacci(number: u64) -> u64 {
    match number {
        0 | 1 => number,
        _ => fibonacci(number - 1) + fibonacci(number - 2),
    }
}

#[inline(never)]
fn even(number: u64) -> u64 {
    match number {
        0 => ktime_ns(),
        _ => odd(number - 1) ^ ktime_ns(),
    }
}

#[inline(never)]
fn odd(number: u64) -> u64 {
    match number {
        0 => ktime_ns(),
        _ => even(number - 1) ^ ktime_ns(),
    }
}

#[xdp]
fn count(_: &XdpContext) -> XdpAction {
    match fibonacci(random().into()) + even(random().into()) {
        0 => XdpAction::DROP,
        _ => XdpAction::PASS,
    }
}
