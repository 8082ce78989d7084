//! `tests/c/usdt.bpf.c` in Rust: a program for each static probe of `usdt_points.c`, which keeps
//! what its arguments are, under the same names.
#![no_std]
#![no_main]
use core::sync::atomic::{AtomicI64, Ordering::Relaxed};

use skep_ebpf::prelude::*;

license!("GPL");

const MOST: usize = 12;

#[repr(C)]
struct Seen {
    hits: AtomicI64,
    cookie: AtomicI64,
    count: AtomicI64,
    /// Of the argument after the last.
    error: AtomicI64,
    values: [AtomicI64; MOST],
    sizes: [AtomicI64; MOST],
}

fn put(place: &AtomicI64, value: i64) {
    // SAFETY: a number, in one store.
    unsafe { place.as_ptr().write_volatile(value) }
}

fn number<T>(result: Result<T>, number: impl FnOnce(T) -> i64) -> i64 {
    result.map_or_else(|error| error.number().into(), number)
}

#[inline(always)]
fn see(context: &UsdtContext, seen: &Seen) {
    let count = context.argument_count();
    put(&seen.cookie, context.cookie() as i64);
    put(&seen.count, number(count, |count| count as i64));
    macro_rules! each {
        ($($at:literal)*) => {$(
            put(&seen.values[$at], context.argument($at).unwrap_or(0));
            put(&seen.sizes[$at], number(context.argument_size($at), |size| size as i64));
        )*};
    }
    each!(0 1 2 3 4 5 6 7 8 9 10 11);
    let behind = context.argument::<i64>(count.unwrap_or(0));
    put(&seen.error, number(behind, |_| 0));
    seen.hits.fetch_add(1, Relaxed);
}

macro_rules! points {
    ($($program:ident $seen:ident;)*) => {$(
        #[allow(non_upper_case_globals)]
        #[unsafe(no_mangle)]
        static $seen: Seen = Seen {
            hits: AtomicI64::new(0),
            cookie: AtomicI64::new(0),
            count: AtomicI64::new(0),
            error: AtomicI64::new(0),
            values: [const { AtomicI64::new(0) }; MOST],
            sizes: [const { AtomicI64::new(0) }; MOST],
        };

        #[usdt]
        fn $program(context: &UsdtContext) {
            see(context, &$seen);
        }
    )*};
}

points! {
    on_page_end seen_page_end;
    on_registers seen_registers;
    on_more_registers seen_more_registers;
    on_memory seen_memory;
    on_indexed seen_indexed;
    on_code seen_code;
    on_fixed seen_fixed;
    on_address seen_address;
    on_constants seen_constants;
    on_none seen_none;
    on_watched seen_watched;
    on_many seen_many;
}

#[allow(non_upper_case_globals)]
#[unsafe(no_mangle)]
static typed_first: AtomicI64 = AtomicI64::new(0);
#[allow(non_upper_case_globals)]
#[unsafe(no_mangle)]
static typed_second: AtomicI64 = AtomicI64::new(0);
#[allow(non_upper_case_globals)]
#[unsafe(no_mangle)]
static typed_third: AtomicI64 = AtomicI64::new(0);

#[usdt]
fn typed(first: u8, second: i32, third: i64) {
    put(&typed_first, first.into());
    put(&typed_second, second.into());
    put(&typed_third, third);
}
