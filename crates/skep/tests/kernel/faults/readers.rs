//! Readers that stop and come again: what they did not take stays, and what found no room is counted
//! to the last record.

use skep::{PerfBuffer, RingBuffer};
use skep_testing::{Outcome, Test, ensure};

use crate::{
    perf::{self, SMALL, a_cpu},
    rings::{self, Numbered},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("faults::a_rings_reader_stops_and_another_goes_on", ring),
        Test::new(
            "faults::a_perf_buffers_reader_stops_and_comes_again",
            buffer,
        ),
    ]
}

/// The next numbers in a ring; each is taken once.
fn take(ring: &mut RingBuffer<Numbered>, most: usize) -> Outcome<Vec<u64>> {
    let mut numbers = Vec::new();
    ring.consume(|record| {
        numbers.push(record.number);
        match numbers.len() < most {
            true => std::ops::ControlFlow::Continue(()),
            false => std::ops::ControlFlow::Break(()),
        }
    })?;
    Ok(numbers)
}

fn ring() -> Outcome {
    let (running, program, mut first) = rings::open::<Numbered>()?;
    let (mut submitted, mut lost, mut seen) = (0, 0, Vec::new());
    rings::produce(&program, 0, 100, 0)?;
    seen.extend(take(&mut first, 40)?);
    drop(first);
    // Nobody reads: the ring fills, and each record that finds no room is told to its program.
    for turn in 0..5 {
        let made = rings::produce(&program, 100 + turn * 100, 100, 0)?;
        submitted += made.submitted;
        lost += made.lost;
    }
    ensure(lost > 0 && submitted + lost == 500, || {
        format!("{submitted} + {lost}")
    })?;
    let mut second = RingBuffer::<Numbered>::new(running.loaded.map("events")?)?;
    seen.extend(take(&mut second, usize::MAX)?);
    let whole = 100 + submitted;
    ensure(seen == (0..whole).collect::<Vec<u64>>(), || {
        format!("{} of {whole}: {seen:?}", seen.len())
    })?;
    let made = rings::produce(&program, 1_000, 5, 0)?;
    let next = take(&mut second, usize::MAX)?;
    ensure(
        made.submitted == 5 && next == [1_000, 1_001, 1_002, 1_003, 1_004],
        || format!("{made:?}: {next:?}"),
    )
}

fn buffer() -> Outcome {
    let (running, program, mut first) = perf::open(SMALL)?;
    let cpu = a_cpu()?;
    perf::produce(&program, cpu, 0, 30)?;
    let mut seen = perf::drain(&mut first)?;
    ensure(seen.len() == 30 && first.lost() == 0, || {
        format!("{seen:?}")
    })?;
    drop(first);
    // The rings go with their reader: a program is told so for each record.
    perf::produce(&program, cpu, 30, 100)?;
    let untaken = running.number("lost")?;
    ensure(untaken == 100, || format!("{untaken} of 100 refused"))?;
    let mut second = PerfBuffer::new(running.loaded.map("events")?, SMALL)?;
    for turn in 0..3 {
        perf::produce(&program, cpu, 1_000 * turn, 300)?;
    }
    // A reader that does not read: the kernel says how many it left out, before the next record.
    seen = perf::drain(&mut second)?;
    perf::produce(&program, cpu, 9_000, 1)?;
    seen.extend(perf::drain(&mut second)?);
    let (taken, lost) = (seen.len() as u64, second.lost());
    ensure(lost > 0 && taken + lost == 901, || {
        format!("{taken} taken, {lost} lost of 901")
    })?;
    ensure(seen.last() == Some(&9_000), || format!("{seen:?}"))?;
    // The program is told of these as well, or not, by kernel; never of more.
    let told = running.number("lost")? - untaken;
    ensure(told == lost, || format!("{told} told, {lost} lost"))
}
