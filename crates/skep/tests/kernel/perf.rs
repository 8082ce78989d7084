//! The perf buffer: records that wrap, losses that the kernel counts, every CPU's turn.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use skep::{PerfBuffer, PerfOptions, Program, abi::KernelVersion, boundary::TestRun};
use skep_testing::{Outcome, Stop, Test, ensure, expect_err, host, needs_kernel};
use zerocopy::FromBytes;

use crate::support::{Running, object};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("perf::records_come_in_order", order),
        Test::new("perf::records_that_wrap_are_whole", wrapping),
        Test::new("perf::the_kernels_count_of_losses_is_exact", losses),
        Test::new("perf::every_cpu_has_its_turn", cpus),
        Test::new(
            "perf::a_concurrent_producer_loses_nothing_uncounted",
            concurrent,
        ),
        Test::new("perf::waiting_ends_in_time_and_wakes", waiting),
        Test::new("perf::a_map_too_small_for_the_machine_is_told", small),
    ]
}

/// `struct record` of `perf.bpf.c`.
#[derive(Debug, Clone, Copy, FromBytes)]
#[repr(C)]
pub(crate) struct Numbered {
    pub(crate) number: u64,
    check: u64,
    filler: [u64; 3],
}

impl Numbered {
    fn is_whole(&self) -> bool {
        self.check == self.number ^ 0x5555 && self.filler == [0; 3]
    }
}

/// Has the program make `count` records, 512 at most, on a CPU.
pub(crate) fn produce(program: &Program, cpu: u32, first: u64, count: u64) -> Outcome {
    let context = [count.to_ne_bytes(), first.to_ne_bytes()].concat();
    program.test_run(&mut TestRun {
        context_in: &context,
        flags: skep_abi::TestRunFlags::RUN_ON_CPU,
        cpu,
        ..TestRun::default()
    })?;
    Ok(())
}

/// Rings of one page: 73 records and the begin of one more.
pub(crate) const SMALL: PerfOptions = PerfOptions {
    pages: 1,
    wakeup: 1,
};

pub(crate) fn open(options: PerfOptions) -> Outcome<(Running, Arc<Program>, PerfBuffer<Numbered>)> {
    needs_kernel(5, 10)?; // test runs of raw tracepoints
    let running = Running::of(object("perf")?)?;
    let program = Arc::clone(running.loaded.program("produce")?);
    let buffer = PerfBuffer::new(running.loaded.map("events")?, options)?;
    Ok((running, program, buffer))
}

/// The first CPU that runs.
pub(crate) fn a_cpu() -> Outcome<u32> {
    let cpus = host().online_cpus()?;
    cpus.first().copied().ok_or_else(|| Stop::fail("no CPU"))
}

/// All records that are there.
pub(crate) fn drain(buffer: &mut PerfBuffer<Numbered>) -> Outcome<Vec<u64>> {
    let mut numbers = Vec::new();
    loop {
        let batch = buffer.batch();
        if batch.is_empty() {
            return Ok(numbers);
        }
        for record in batch.iter() {
            ensure(record.is_whole(), || format!("torn: {record:?}"))?;
            numbers.push(record.number);
        }
    }
}

fn order() -> Outcome {
    let (_running, program, mut buffer) = open(PerfOptions::default())?;
    ensure(buffer.batch().is_empty(), || "records unasked".into())?;
    let cpu = a_cpu()?;
    produce(&program, cpu, 100, 300)?;
    let batch = buffer.batch();
    ensure(batch.cpu() == Some(cpu) && batch.lost() == 0, || {
        format!("{batch:?}")
    })?;
    let numbers: Vec<u64> = batch.iter().map(|record| record.number).collect();
    let right = numbers == (100..400).collect::<Vec<u64>>();
    ensure(right, || format!("{numbers:?}"))?;
    let padded = batch.bytes().all(|bytes| (40..48).contains(&bytes.len()));
    ensure(padded, || "lengths".into())?;
    drop(batch);
    ensure(drain(&mut buffer)?.is_empty() && buffer.lost() == 0, || {
        "they are still there".into()
    })
}

fn wrapping() -> Outcome {
    let (_running, program, mut buffer) = open(SMALL)?;
    let cpu = a_cpu()?;
    let mut next = 0;
    for turn in 0..300 {
        // A number that shares no factor with a ring's records: each place wraps in its time.
        produce(&program, cpu, turn * 37, 37)?;
        for number in drain(&mut buffer)? {
            ensure(number == next, || format!("{number}, not {next}"))?;
            next += 1;
        }
    }
    ensure(next == 300 * 37 && buffer.lost() == 0, || {
        format!("{next} records, {} lost", buffer.lost())
    })
}

fn losses() -> Outcome {
    let (running, program, mut buffer) = open(SMALL)?;
    let cpu = a_cpu()?;
    for turn in 0..10 {
        produce(&program, cpu, 1_000 * turn, 200)?;
        let numbers = drain(&mut buffer)?;
        let kept = numbers.len() as u64;
        ensure((1..200).contains(&kept), || format!("{kept} of 200"))?;
        let first = numbers.first().copied().unwrap_or_default();
        ensure(first == 1_000 * turn, || format!("{first} first"))?;
        // It is known before that as well, where the kernel counts it by itself.
        let (counted, refused) = (buffer.count_lost()?, running.number("lost")?);
        let asked = host().info().version >= KernelVersion::new(6, 0);
        ensure(!asked || counted == refused, || {
            format!("{counted} counted, {refused} refused")
        })?;
        // The kernel says what was lost before the next record that fits.
        produce(&program, cpu, 1_000 * turn + 999, 1)?;
        ensure(drain(&mut buffer)? == [1_000 * turn + 999], || {
            "the next one".into()
        })?;
        let (lost, refused) = (buffer.lost(), running.number("lost")?);
        ensure(lost == refused && kept + lost >= 200, || {
            format!("{kept} kept, {lost} lost, {refused} refused")
        })?;
    }
    ensure(buffer.lost() < 2_000, || format!("{}", buffer.lost()))
}

fn cpus() -> Outcome {
    let (_running, program, mut buffer) = open(PerfOptions::default())?;
    let cpus = host().online_cpus()?;
    for cpu in &cpus {
        produce(&program, *cpu, 1_000 * u64::from(*cpu), 10)?;
    }
    let mut seen = Vec::new();
    loop {
        let batch = buffer.batch();
        let Some(cpu) = batch.cpu() else { break };
        let first = 1_000 * u64::from(cpu);
        let numbers: Vec<u64> = batch.iter().map(|record| record.number).collect();
        let right = numbers == (first..first + 10).collect::<Vec<u64>>();
        ensure(right, || format!("cpu {cpu}: {numbers:?}"))?;
        seen.push(cpu);
    }
    seen.sort_unstable();
    ensure(seen == cpus, || format!("{seen:?} of {cpus:?}"))
}

fn concurrent() -> Outcome {
    const TURNS: u64 = 300;
    const EACH: u64 = 50;
    let (running, program, mut buffer) = open(SMALL)?;
    let cpu = a_cpu()?;
    let again = Arc::clone(&program);
    let producer = thread::spawn(move || {
        (0..TURNS).try_for_each(|turn| produce(&again, cpu, turn * EACH, EACH))
    });
    let (mut seen, mut last) = (0, None);
    let mut read = |buffer: &mut PerfBuffer<Numbered>| {
        for number in drain(buffer)? {
            ensure(last.is_none_or(|last| number > last), || {
                format!("{number} after {last:?}")
            })?;
            last = Some(number);
            seen += 1;
        }
        Ok::<_, Stop>(())
    };
    while !producer.is_finished() {
        read(&mut buffer)?;
    }
    producer.join().map_err(|_| Stop::fail("it fell"))??;
    read(&mut buffer)?;
    produce(&program, cpu, TURNS * EACH, 1)?;
    read(&mut buffer)?;
    let (lost, refused) = (buffer.lost(), running.number("lost")?);
    ensure(lost == refused && seen + lost == TURNS * EACH + 1, || {
        format!("{seen} seen, {lost} lost, {refused} refused")
    })
}

fn waiting() -> Outcome {
    let (_running, program, mut buffer) = open(PerfOptions::default())?;
    let begun = Instant::now();
    let nothing = buffer.wait(Some(Duration::from_millis(20)))?.is_none();
    ensure(
        nothing && begun.elapsed() >= Duration::from_millis(20),
        || "it did not wait".into(),
    )?;
    let cpu = a_cpu()?;
    let producer = thread::spawn(move || {
        thread::sleep(Duration::from_millis(50));
        produce(&program, cpu, 9, 1)
    });
    let number = buffer
        .wait(Some(Duration::from_secs(10)))?
        .and_then(|batch| batch.iter().next().map(|record| record.number));
    producer.join().map_err(|_| Stop::fail("it fell"))??;
    ensure(number == Some(9), || format!("{number:?}"))
}

fn small() -> Outcome {
    let highest = host().online_cpus()?.into_iter().max().unwrap_or(0);
    if highest == 0 {
        return Err(Stop::lacks("a second CPU"));
    }
    let mut object = object("perf")?;
    object.map("events")?.max_entries(highest);
    let running = Running::of(object)?;
    let map = running.loaded.map("events")?;
    let error = expect_err("a small map", PerfBuffer::<u8>::new(map, SMALL))?.to_string();
    ensure(
        error.contains(&format!("no entry for CPU {highest}")),
        || error.clone(),
    )
}
