//! Timers that sample tasks, and stacks of user space.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use skep::{
    AttachOptions, Link, RingBuffer,
    boundary::{AttachPoint, PerfEvent, PerfScope},
};
use skep_testing::{Outcome, PATIENCE, Stop, ensure, expect_err};
use skep_vm::{Clock, Config, Traced, Vm};

use crate::support::{Machine, failed, helper, run};

#[repr(C)]
#[derive(Debug, Clone, zerocopy::FromBytes, zerocopy::Immutable, zerocopy::KnownLayout)]
struct Seen {
    pid: u32,
    tid: u32,
    period: u64,
    counted: u64,
    kernel: i64,
    bytes: i64,
    ip: u64,
    stack: [u64; 16],
}

impl Seen {
    fn frames(&self) -> &[u64] {
        &self.stack[..(self.bytes.max(0) as usize / 8).min(16)]
    }
}

fn machine(clock: &Clock) -> Outcome<Machine> {
    let mut config = Config::default();
    config.clock = clock.clone();
    config.cpus = 2;
    let vm = Vm::with(config).map_err(|errno| Stop::fail(errno.to_string()))?;
    Machine::on(vm, "samples")
}

fn events(machine: &Machine) -> Outcome<Vec<Seen>> {
    let mut ring = RingBuffer::<Seen>::new(machine.loaded.map("events")?)?;
    let mut all = Vec::new();
    loop {
        let batch = ring.batch()?;
        if batch.is_empty() {
            let lost = machine.global("lost")?;
            ensure(lost == 0, || format!("{lost} lost"))?;
            return Ok(all);
        }
        all.extend(batch.iter().cloned());
    }
}

/// Attaches the timer to all CPUs, so many times a second.
fn sample(machine: &Machine, frequency: u64) -> Outcome<Link> {
    let options = AttachOptions {
        frequency: Some(frequency),
        ..AttachOptions::default()
    };
    Ok(machine.loaded.program("sample")?.attach_with(&options)?)
}

/// `busy.c` spinning, and where its functions are: `inner`, `outer`, `calls`, `main`.
fn spinning(machine: &Machine) -> Outcome<(Spinning, [u64; 4])> {
    let mut command = Command::new(helper("busy")?);
    command.arg("spin").stdout(Stdio::piped());
    let mut spinning = Spinning(machine.command(command)?);
    spinning.0.resume().map_err(failed)?;
    let output = spinning.0.stdio().stdout;
    let mut line = String::new();
    BufReader::new(output.ok_or_else(|| Stop::fail("no pipe"))?).read_line(&mut line)?;
    let words = line.split_whitespace();
    let places: Vec<u64> = words
        .filter_map(|word| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok())
        .collect();
    let places = places.try_into();
    Ok((spinning, places.map_err(|_| Stop::fail(line))?))
}

/// It ends with the test.
struct Spinning(Traced);

impl Drop for Spinning {
    fn drop(&mut self) {
        let _ = self.0.signal(9);
        self.0.wait_all();
    }
}

/// Whether calls lead from `main`, the last of these functions, to the first.
fn leads(frames: &[u64], functions: &[u64]) -> bool {
    /// None of them has more bytes.
    const LONGEST: u64 = 1024;
    frames.len() >= functions.len()
        && frames.iter().zip(functions).all(|(frame, start)| {
            let end = functions.iter().filter(|other| *other > start).min();
            let end = end.map_or(start + LONGEST, |end| *end.min(&(start + LONGEST)));
            (*start..end).contains(frame)
        })
}

#[test]
fn a_manual_clock_gives_a_sample_a_tick() {
    run(|| {
        let clock = Clock::manual(Duration::from_secs(100));
        let machine = machine(&clock)?;
        let (spinning, [inner, outer, _, main]) = spinning(&machine)?;
        let link = sample(&machine, 10)?;
        clock.advance(Duration::from_millis(99));
        let none = events(&machine)?;
        ensure(none.is_empty(), || format!("{none:?}"))?;
        clock.advance(Duration::from_millis(901));
        let seen = events(&machine)?;
        ensure(seen.len() == 10, || {
            format!("{} samples, {:?}", seen.len(), spinning.0.counts())
        })?;
        for (index, one) in (1..).zip(&seen) {
            let right = one.pid == spinning.0.id()
                && one.period == 100_000_000
                && one.counted == index * one.period
                && one.kernel <= 0
                && one.frames().first() == Some(&one.ip);
            ensure(right, || format!("{one:x?}"))?;
        }
        let in_inner = seen
            .iter()
            .filter(|one| leads(one.frames(), &[inner, outer, main]));
        ensure(in_inner.count() >= 5, || format!("{seen:x?}"))?;
        drop(link);
        clock.advance(Duration::from_secs(5));
        let after = events(&machine)?;
        ensure(after.is_empty(), || format!("{after:?}"))
    });
}

#[test]
fn real_clocks_sample_who_runs() {
    run(|| {
        let machine = machine(&Clock::real())?;
        let (spinning, [inner, outer, _, main]) = spinning(&machine)?;
        let _link = sample(&machine, 199)?;
        let end = Instant::now() + PATIENCE;
        let mut seen = Vec::new();
        while seen.len() < 20 && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
            seen.extend(events(&machine)?);
        }
        ensure(seen.len() >= 20, || format!("{:?}", spinning.0.counts()))?;
        ensure(
            seen.iter().all(|one| one.period == 1_000_000_000 / 199),
            || format!("{seen:x?}"),
        )?;
        let deep = seen
            .iter()
            .filter(|one| leads(one.frames(), &[inner, outer, main]))
            .count();
        ensure(deep > seen.len() / 2, || {
            format!("{deep} of {}", seen.len())
        })
    });
}

#[test]
fn waits_are_not_cut_short() {
    run(|| {
        let machine = machine(&Clock::real())?;
        let _link = sample(&machine, 4000)?;
        let mut command = Command::new(helper("busy")?);
        command.arg("waits");
        let traced = machine.trace(command)?;
        let status = traced.wait().map_err(failed)?;
        let (seen, counts) = (events(&machine)?, traced.counts());
        ensure(status.code() == Some(0), || {
            format!("{status}, {} samples, {counts:?}", seen.len())
        })?;
        let threads: BTreeSet<u32> = seen.iter().map(|one| one.tid).collect();
        ensure(threads.len() > 1, || format!("{threads:?}, {counts:?}"))
    });
}

#[test]
fn only_the_chosen_process_and_cpu_are_sampled() {
    run(|| {
        let clock = Clock::manual(Duration::from_secs(1));
        let machine = machine(&clock)?;
        let (first, second) = (spinning(&machine)?.0, spinning(&machine)?.0);
        let program = machine.loaded.program("sample")?;
        let event = PerfEvent::Software {
            config: 1,
            period: 50_000_000,
        };
        let point = |scope| AttachPoint::PerfEvent {
            event,
            scope,
            cookie: None,
        };
        let links: Vec<Link> = [
            PerfScope::Process(second.0.id()),
            PerfScope::Cpu(0),
            PerfScope::Cpu(1),
        ]
        .into_iter()
        .map(|scope| program.attach_to(&point(scope)))
        .collect::<Result<_, _>>()?;
        clock.advance(Duration::from_millis(500));
        let seen = events(&machine)?;
        let of = |spinning: &Spinning| seen.iter().filter(|one| one.pid == spinning.0.id()).count();
        ensure((of(&first), of(&second)) == (10, 20), || {
            format!("{}, {}", of(&first), of(&second))
        })?;
        drop(links);
        Ok(())
    });
}

#[test]
fn calls_are_followed_by_frame_pointers() {
    run(|| {
        let machine = machine(&Clock::real())?;
        let _link = machine.loaded.program("call")?.attach()?;
        let (_spinning, [_, _, calls, main]) = spinning(&machine)?;
        let seen = events(&machine)?;
        let right = seen.iter().any(|one| leads(one.frames(), &[calls, main]));
        ensure(right, || format!("{seen:x?}, {calls:x}, {main:x}"))
    });
}

#[test]
fn what_can_not_be_sampled_is_said() {
    run(|| {
        let machine = machine(&Clock::real())?;
        let program = machine.loaded.program("sample")?;
        let software = |config, period| PerfEvent::Software { config, period };
        for (event, scope, part) in [
            (software(2, 1), PerfScope::Cpu(0), "page faults"),
            (software(0, 99_999), PerfScope::Cpu(0), "100 µs"),
            (software(0, 0), PerfScope::Cpu(0), "100 µs"),
            (
                PerfEvent::CpuClock { frequency: 0 },
                PerfScope::Cpu(0),
                "100 µs",
            ),
            (
                PerfEvent::CpuClock { frequency: 99 },
                PerfScope::Cpu(2),
                "CPU that the vm has",
            ),
            (
                PerfEvent::Hardware {
                    config: 0,
                    period: 1000,
                },
                PerfScope::Cpu(0),
                "perf event",
            ),
        ] {
            let point = AttachPoint::PerfEvent {
                event,
                scope,
                cookie: None,
            };
            let error = expect_err(&format!("{event}"), program.attach_to(&point))?;
            let cause = error
                .cause()
                .map(|cause| format!("{cause} {}", cause.fix()));
            ensure(
                cause.as_ref().is_some_and(|text| text.contains(part)),
                || format!("{event}: {error}: {cause:?}"),
            )?;
        }
        Ok(())
    });
}
