//! Loops: by closures, and by what ends them for the verifier.
use core::ops::ControlFlow;

use skep_ebpf::prelude::*;

license!("GPL");

#[map]
static NUMBERS: Array<u64, 16> = Array::new();

#[global]
static WRONG: u64 = 0;

#[global]
static SUM: u64 = 0;

fn check(place: u32, right: bool) {
    if !right {
        WRONG.fetch_or(1 << place);
    }
}

#[xdp]
fn test(_: &XdpContext) -> Result<XdpAction> {
    let mut sum = 0_u64;
    check(
        0,
        repeat(100_000, |round| sum += u64::from(round)) == Ok(100_000),
    );
    SUM.store(sum);
    let mut last = 0;
    let stopped = repeat(1000, |round| {
        last = round;
        if round == 41 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    check(1, stopped == Ok(42) && last == 41);
    check(2, repeat(1 << 24, |_| ()) == Err(Error::E2BIG));
    let called = NUMBERS.for_each(|&index, number| number.store(u64::from(index) * 2))?;
    check(3, called == 16);
    let mut inner = 0_u64;
    let called = NUMBERS.for_each(|_, number| {
        // A loop in a loop.
        let _ = repeat(3, |_| inner += number.load());
        if number.load() == 10 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    check(4, called == 6 && inner == (2 + 4 + 6 + 8 + 10) * 3);
    Ok(XdpAction::PASS)
}

#[xdp]
fn open_ended(_: &XdpContext) -> XdpAction {
    let mut rounds = 0_u64;
    while can_loop() && rounds < 5000 {
        rounds += 1;
        SUM.add(1);
    }
    XdpAction::PASS
}
