//! The user ring buffer: samples that a program drains, room that comes back, a reader that waits.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use skep::{Program, UserRingBuffer, boundary::TestRun};
use skep_testing::{Outcome, Stop, Test, ensure, expect_err, needs_kernel};

use crate::support::{Running, object};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("user_ring::what_is_sent_is_drained_in_order", order),
        Test::new("user_ring::a_ring_goes_round_many_times", laps),
        Test::new("user_ring::a_dropped_sample_is_not_seen", dropped),
        Test::new(
            "user_ring::an_unfinished_sample_holds_up_the_rest",
            unfinished,
        ),
        Test::new("user_ring::a_full_ring_refuses_and_waits_in_time", full),
        Test::new("user_ring::a_drain_wakes_the_writer", wakes),
        Test::new("user_ring::what_can_never_fit_is_an_error", too_large),
    ]
}

/// Samples of 8 bytes that the ring of 4,096 holds.
const ROOM: u64 = 4096 / 16;

fn open() -> Outcome<(Running, Arc<Program>, UserRingBuffer)> {
    needs_kernel(6, 1)?;
    let running = Running::of(object("user_ring")?)?;
    let program = Arc::clone(running.loaded.program("drain")?);
    let ring = UserRingBuffer::new(running.loaded.map("commands")?)?;
    Ok((running, program, ring))
}

fn drain(program: &Program) -> Outcome<u32> {
    Ok(program.test_run(&mut TestRun::default())?.return_value)
}

fn order() -> Outcome {
    let (running, program, mut ring) = open()?;
    for number in 1..=10_u64 {
        ensure(ring.send(&number)?, || format!("{number}: no room"))?;
    }
    ensure(ring.pending() == 160, || format!("{}", ring.pending()))?;
    let drained = drain(&program)?;
    let account = (running.number("seen")?, running.number("sum")?);
    ensure((drained, account) == (10, (10, 55)), || {
        format!("{drained} drained, {account:?}")
    })?;
    ensure(running.number("last")? == 10, || "another order".into())?;
    ensure(ring.pending() == 0 && drain(&program)? == 0, || {
        "they are still there".into()
    })
}

fn laps() -> Outcome {
    let (running, program, mut ring) = open()?;
    let mut sum = 0;
    // Lengths that share no factor with the ring's: samples wrap anywhere.
    for turn in 0..500_u64 {
        for number in 0..10 {
            let mut sample = vec![0; 8 + (turn as usize * 7 + number as usize) % 90];
            sample[..8].copy_from_slice(&(turn + number).to_ne_bytes());
            ensure(ring.send(&sample[..])?, || format!("turn {turn}: no room"))?;
            sum += turn + number;
        }
        ensure(drain(&program)? == 10, || format!("turn {turn}"))?;
    }
    let account = (running.number("seen")?, running.number("sum")?);
    ensure(account == (5_000, sum), || {
        format!("{account:?}, not {sum}")
    })
}

fn dropped() -> Outcome {
    let (running, program, mut ring) = open()?;
    let room = || Stop::fail("no room");
    drop(ring.reserve(8)?.ok_or_else(room)?);
    ring.reserve(8)?.ok_or_else(room)?.discard();
    let mut sample = ring.reserve(12)?.ok_or_else(room)?;
    sample.write(0, &7_u64.to_ne_bytes())?;
    let error = expect_err("too many bytes", sample.write(8, &[0; 5]))?.to_string();
    ensure(error.contains("5 bytes at 8 don't fit"), || error.clone())?;
    sample.submit();
    drain(&program)?;
    let account = (running.number("seen")?, running.number("last")?);
    ensure(account == (1, 7), || format!("{account:?}"))?;
    ensure(ring.pending() == 0, || "discarded ones stay".into())
}

fn unfinished() -> Outcome {
    let (running, program, mut ring) = open()?;
    ring.send(&1_u64)?;
    let mut sample = ring.reserve(8)?.ok_or_else(|| Stop::fail("no room"))?;
    drain(&program)?;
    ensure(running.number("seen")? == 1, || {
        "a busy one was seen".into()
    })?;
    sample.write(0, &2_u64.to_ne_bytes())?;
    sample.submit();
    drain(&program)?;
    ensure(running.number("last")? == 2, || "it was not seen".into())
}

fn full() -> Outcome {
    let (_running, program, mut ring) = open()?;
    let mut sent = 0_u64;
    while ring.send(&sent)? {
        sent += 1;
    }
    ensure(sent == ROOM, || format!("{sent} fit"))?;
    ensure(ring.reserve(0)?.is_none(), || "room for a header".into())?;
    let begun = Instant::now();
    let wait = Duration::from_millis(30);
    let none = ring.reserve_within(8, Some(wait))?.is_none();
    ensure(none && begun.elapsed() >= wait, || "it did not wait".into())?;
    ensure(drain(&program)? == ROOM as u32, || "all".into())?;
    ensure(ring.reserve(4088)?.is_some(), || "the whole ring".into())
}

fn wakes() -> Outcome {
    let (running, program, mut ring) = open()?;
    while ring.send(&5_u64)? {}
    // So that one drain makes room for a sample of 8 bytes, and not for a larger one.
    running.set("most", &1_u64.to_ne_bytes())?;
    let drainer = thread::spawn(move || {
        for _ in 0..40 {
            thread::sleep(Duration::from_millis(5));
            drain(&program)?;
        }
        Ok::<_, Stop>(())
    });
    let begun = Instant::now();
    let found = ring
        .reserve_within(200, Some(Duration::from_secs(10)))?
        .is_some();
    let waited = begun.elapsed();
    drainer.join().map_err(|_| Stop::fail("it fell"))??;
    ensure(found && waited < Duration::from_secs(5), || {
        format!("{found} after {waited:?}")
    })?;
    // 200 bytes and a header are the room of 13 samples.
    ensure(running.number("seen")? >= 13, || "too early".into())
}

fn too_large() -> Outcome {
    let (running, _program, mut ring) = open()?;
    let error = expect_err("a large sample", ring.reserve(4089))?.to_string();
    ensure(
        error.contains("larger than the ring, which holds 4088"),
        || error.clone(),
    )?;
    let other = running
        .loaded
        .maps()
        .iter()
        .find(|map| map.name() != "commands");
    let other = other.ok_or_else(|| Stop::fail("one map"))?;
    let error = expect_err("an array", UserRingBuffer::new(Arc::clone(other)))?.to_string();
    ensure(error.contains("not user_ringbuf"), || error.clone())
}
