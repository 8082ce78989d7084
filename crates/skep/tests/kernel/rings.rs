//! The ring buffer: order, laps, gaps, and an exact account of what was lost.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use skep::{Program, Record, RingBuffer, boundary::TestRun};
use skep_testing::{Outcome, Stop, Test, ensure, needs_kernel};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::support::{Running, object};

/// `ring.bpf.c`: every third record is four bytes.
pub(crate) const SHORT: u32 = 1;
/// Every other record, the odd ones, is given up.
pub(crate) const DISCARD: u32 = 2;
/// Records of 16 to 80 bytes.
const LENGTHS: u32 = 4;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("rings::records_come_in_order_in_one_batch", order),
        Test::new("rings::a_ring_goes_round_many_times", laps),
        Test::new("rings::records_of_any_length_are_whole", lengths),
        Test::new("rings::discarded_records_are_passed_over", discards),
        Test::new("rings::short_records_are_counted", short),
        Test::new("rings::what_is_submitted_and_lost_adds_up", full),
        Test::new(
            "rings::a_concurrent_producer_loses_nothing_uncounted",
            concurrent,
        ),
        Test::new("rings::waiting_ends_in_time", timeout),
        Test::new("rings::a_record_wakes_the_reader", wake),
        Test::new("rings::a_batch_is_kept_until_it_is_dropped", kept),
    ]
}

#[derive(Debug, Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct Args {
    count: u32,
    mode: u32,
    first: u64,
    pub(crate) submitted: u64,
    pub(crate) lost: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct Numbered {
    pub(crate) number: u64,
    check: u64,
}

/// Has the program make `count` records from the number `first` on.
pub(crate) fn produce(program: &Program, first: u64, count: u32, mode: u32) -> Outcome<Args> {
    let args = Args {
        count,
        mode,
        first,
        ..Args::default()
    };
    let mut out = Args::default();
    let ran = program.test_run(&mut TestRun {
        context_in: args.as_bytes(),
        context_out: out.as_mut_bytes(),
        ..TestRun::default()
    })?;
    ensure(ran.return_value == 7, || format!("{ran:?}"))?;
    Ok(out)
}

/// What has the program make `count` records.
pub(crate) fn args(count: u32) -> Vec<u8> {
    let args = Args {
        count,
        ..Args::default()
    };
    args.as_bytes().to_vec()
}

pub(crate) fn open<T: Record + ?Sized>() -> Outcome<(Running, Arc<Program>, RingBuffer<T>)> {
    needs_kernel(5, 17)?; // bpf_loop
    let running = Running::of(object("ring")?)?;
    let program = Arc::clone(running.loaded.program("produce")?);
    let ring = RingBuffer::new(running.loaded.map("events")?)?;
    Ok((running, program, ring))
}

fn whole(record: &Numbered) -> bool {
    record.check == record.number ^ 0x5555
}

fn order() -> Outcome {
    let (_running, program, mut ring) = open::<Numbered>()?;
    ensure(ring.batch()?.is_empty(), || "records unasked".into())?;
    produce(&program, 100, 50, 0)?;
    ensure(ring.pending() == 50 * 24, || format!("{}", ring.pending()))?;
    let batch = ring.batch()?;
    let numbers: Vec<u64> = batch.iter().map(|record| record.number).collect();
    let right = batch.len() == 50 && numbers == (100..150).collect::<Vec<u64>>();
    ensure(right, || format!("{numbers:?}"))?;
    ensure(batch.iter().all(whole), || "torn records".into())?;
    drop(batch);
    ensure(ring.pending() == 0 && ring.batch()?.is_empty(), || {
        "they are still there".into()
    })
}

fn laps() -> Outcome {
    let (_running, program, mut ring) = open::<Numbered>()?;
    let mut next = 0;
    // 60 × 24 bytes a turn: the ring of 4,096 wraps every third turn, anywhere in a record.
    for turn in 0..300 {
        let made = produce(&program, turn * 60, 60, 0)?;
        ensure(made.lost == 0, || format!("{made:?}"))?;
        for record in &ring.batch()? {
            ensure(record.number == next && whole(record), || {
                format!("{record:?}, not {next}")
            })?;
            next += 1;
        }
    }
    ensure(next == 300 * 60, || format!("{next} records"))
}

fn lengths() -> Outcome {
    let (_running, program, mut ring) = open::<[u8]>()?;
    let mut next = 0_u64;
    for turn in 0..200 {
        produce(&program, turn * 40, 40, LENGTHS)?;
        for record in &ring.batch()? {
            let length = 16 + (next % 9) as usize * 8;
            let number = record.first_chunk().map(|bytes| u64::from_ne_bytes(*bytes));
            let filler = (next ^ 0x5555).to_ne_bytes();
            let right = record.len() == length
                && number == Some(next)
                && record[8..].chunks(8).all(|word| word == filler);
            ensure(right, || format!("record {next}: {record:?}"))?;
            next += 1;
        }
    }
    ensure(next == 200 * 40, || format!("{next} records"))
}

fn discards() -> Outcome {
    let (_running, program, mut ring) = open::<Numbered>()?;
    produce(&program, 0, 40, DISCARD)?;
    let batch = ring.batch()?;
    let numbers: Vec<u64> = batch.iter().map(|record| record.number).collect();
    let right = batch.len() == 20 && numbers.iter().all(|number| number % 2 == 0);
    ensure(right, || format!("{numbers:?}"))?;
    drop(batch);
    // Nothing but discarded records: none to see, and their room is given back.
    for _ in 0..20 {
        produce(&program, 1, 1, DISCARD)?;
    }
    ensure(ring.batch()?.is_empty() && ring.pending() == 0, || {
        format!("{} bytes", ring.pending())
    })
}

fn short() -> Outcome {
    let (_running, program, mut ring) = open::<Numbered>()?;
    produce(&program, 0, 30, SHORT)?;
    let batch = ring.batch()?;
    let seen = batch.iter().count();
    ensure((seen, batch.len(), batch.short()) == (20, 20, 10), || {
        format!("{seen}, {}, {}", batch.len(), batch.short())
    })?;
    ensure(batch.iter().all(|record| record.number % 3 != 0), || {
        "a short one".into()
    })
}

fn full() -> Outcome {
    let (_running, program, mut ring) = open::<Numbered>()?;
    let made = produce(&program, 0, 1_000, 0)?;
    let sums = made.submitted + made.lost == 1_000 && made.lost > 0;
    ensure(sums, || format!("{made:?}"))?;
    let got: Vec<u64> = ring.batch()?.iter().map(|record| record.number).collect();
    let right = got == (0..made.submitted).collect::<Vec<u64>>();
    ensure(right, || format!("{} of {made:?}", got.len()))?;
    // There is room again.
    let more = produce(&program, 5_000, 3, 0)?;
    ensure(more.submitted == 3 && ring.batch()?.len() == 3, || {
        format!("{more:?}")
    })
}

fn concurrent() -> Outcome {
    const TURNS: u64 = 400;
    const EACH: u32 = 100;
    let (_running, program, mut ring) = open::<Numbered>()?;
    let producer = thread::spawn(move || {
        let mut sums = (0, 0);
        for turn in 0..TURNS {
            let made = produce(&program, turn * u64::from(EACH), EACH, DISCARD)?;
            sums = (sums.0 + made.submitted, sums.1 + made.lost);
        }
        Ok::<_, Stop>(sums)
    });
    let (mut seen, mut last) = (0, None);
    let mut read = |ring: &mut RingBuffer<Numbered>| {
        for record in &ring.batch()? {
            let after = last.is_none_or(|last| record.number > last);
            ensure(after && whole(record), || {
                format!("{record:?} after {last:?}")
            })?;
            last = Some(record.number);
            seen += 1;
        }
        Ok::<_, Stop>(())
    };
    while !producer.is_finished() {
        read(&mut ring)?;
    }
    read(&mut ring)?;
    let (submitted, lost) = producer.join().map_err(|_| Stop::fail("it fell"))??;
    let total = TURNS * u64::from(EACH) / 2;
    ensure(seen == submitted, || {
        format!("{seen} seen, {submitted} submitted, {lost} lost")
    })?;
    ensure(submitted + lost == total, || {
        format!("{submitted} + {lost} of {total}")
    })
}

fn timeout() -> Outcome {
    let (_running, program, mut ring) = open::<Numbered>()?;
    let begun = Instant::now();
    let nothing = ring.wait(Some(Duration::from_millis(20)))?.is_none();
    ensure(
        nothing && begun.elapsed() >= Duration::from_millis(20),
        || "it did not wait".into(),
    )?;
    ensure(ring.wait(Some(Duration::ZERO))?.is_none(), || {
        "records".into()
    })?;
    produce(&program, 1, 4, 0)?;
    let batch = ring.wait(Some(Duration::from_secs(10)))?;
    ensure(batch.is_some_and(|batch| batch.len() == 4), || {
        "four".into()
    })
}

fn wake() -> Outcome {
    let (_running, program, mut ring) = open::<Numbered>()?;
    let producer = thread::spawn(move || {
        thread::sleep(Duration::from_millis(50));
        produce(&program, 9, 1, 0)
    });
    let number = ring
        .wait(Some(Duration::from_secs(10)))?
        .and_then(|batch| batch.iter().next().map(|record| record.number));
    producer.join().map_err(|_| Stop::fail("it fell"))??;
    ensure(number == Some(9), || format!("{number:?}"))
}

fn kept() -> Outcome {
    let (_running, program, mut ring) = open::<Numbered>()?;
    produce(&program, 0, 1_000, 0)?;
    let batch = ring.batch()?;
    let held = batch.len();
    // While it is held its records stay as they are, however much is produced.
    let more = produce(&program, 10_000, 100, 0)?;
    ensure(more.submitted == 0 && more.lost == 100, || {
        format!("{more:?}")
    })?;
    let right = batch.iter().map(|record| record.number).eq(0..held as u64);
    ensure(right, || "they changed".into())?;
    drop(batch);
    let more = produce(&program, 20_000, 100, 0)?;
    ensure(more.submitted == 100, || format!("{more:?}"))
}
