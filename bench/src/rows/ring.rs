//! Ring buffers: one that was filled beforehand, and one that is read while it is written, with
//! the default wake-ups. `ring.c` is the same with libbpf.
//!
//! Readers look at the first word of each record. A concurrent run ends with the last record seen;
//! its figure is for a record that was read, since a reader that lags loses some.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::{
    Result,
    row::{Case, Figures, Goal, How, Line, Row},
};

/// How often the producer's program runs in a concurrent run.
const PRODUCED: u32 = 20;

/// A packet for the programs to ignore.
const PACKET: [u8; 64] = [0; 64];

/// How long a reader waits for a wake-up; a bound, for a producer that has ended.
const WAIT: Duration = Duration::from_millis(1);

pub(crate) fn rows() -> Vec<Row> {
    let row = |name, way: &str, size: &str, goal, what: String| Row {
        name,
        runs: 11,
        how: How::Peer {
            arguments: vec!["ring".into(), way.into(), size.into()],
            object: Some("ring"),
            counted: false,
        },
        lines: vec![Line::new("record", what, "ns", 1.0).goal(goal)],
    };
    let mut rows = Vec::new();
    for (name, size) in [
        ("drain-64", "64"),
        ("drain-256", "256"),
        ("drain-1024", "1024"),
    ] {
        let what = format!("ring: drain, a record of {size} bytes");
        rows.push(row(name, "drain", size, Goal::OfBest(1.0 / 1.3), what));
    }
    for (name, size) in [
        ("concurrent-64", "64"),
        ("concurrent-256", "256"),
        ("concurrent-1024", "1024"),
    ] {
        let what = format!("ring: written and read at once, a record of {size} bytes");
        rows.push(row(name, "concurrent", size, Goal::OfBest(1.05), what));
    }
    rows
}

/// A case in parts: the size of a record, how many a program's run sends, and whether it runs
/// beforehand.
struct Plan {
    size: usize,
    count: u64,
    drain: bool,
}

impl Plan {
    fn of(case: &Case) -> Result<Self> {
        let (size, count) = match case.argument(1)? {
            "64" => (64, 200_000),
            "256" => (256, 60_000),
            "1024" => (1024, 16_000),
            other => return Err(format!("no program sends records of {other} bytes").into()),
        };
        let drain = case.argument(0)? == "drain";
        Ok(Self { size, count, drain })
    }

    /// The name of the program that sends.
    fn program(&self) -> String {
        let kind = if self.drain { "quiet" } else { "waking" };
        format!("{kind}{}", self.size)
    }

    /// A drain: `read` reads all there is and gives count and sum.
    fn drain(&self, read: impl FnOnce() -> Result<(u64, u64)>) -> Result<Figures> {
        let start = Instant::now();
        let (seen, sum) = read()?;
        let took = start.elapsed();
        if (seen, sum) != (self.count, self.count * (self.count - 1) / 2) {
            return Err(format!("{seen} of {} records, sum {sum}", self.count).into());
        }
        Ok(vec![("record", took.as_nanos() as f64 / seen as f64)])
    }

    /// A concurrent run: `run` runs the program once, `read` reads what is there after waiting
    /// for at most [`WAIT`] and gives the count.
    fn concurrent(
        &self,
        run: impl Fn() -> Result<()> + Send,
        mut read: impl FnMut() -> Result<u64>,
    ) -> Result<Figures> {
        let done = &AtomicBool::new(false);
        let start = Instant::now();
        let (mut seen, mut last) = (0, start);
        thread::scope(|scope| {
            scope.spawn(move || {
                for _ in 0..PRODUCED {
                    run().expect("it loaded, so it runs");
                }
                done.store(true, Ordering::Release);
            });
            loop {
                let ended = done.load(Ordering::Acquire);
                match read()? {
                    0 if ended => break,
                    0 => {}
                    read => {
                        seen += read;
                        last = Instant::now();
                    }
                }
            }
            Ok::<_, Box<dyn std::error::Error>>(())
        })?;
        if seen < self.count {
            return Err(format!("only {seen} records were seen").into());
        }
        Ok(vec![(
            "record",
            (last - start).as_nanos() as f64 / seen as f64,
        )])
    }
}

/// The word that each record begins with.
#[cfg(any(feature = "libbpf-rs", feature = "aya"))]
fn word(record: &[u8]) -> u64 {
    let word = record.first_chunk().expect("records are longer");
    u64::from_ne_bytes(*word)
}

#[cfg(feature = "skep")]
pub(crate) fn measure(case: &Case) -> Result<Figures> {
    match Plan::of(case)?.size {
        64 => skep_of::<8>(case),
        256 => skep_of::<32>(case),
        _ => skep_of::<128>(case),
    }
}

#[cfg(feature = "skep")]
fn skep_of<const WORDS: usize>(case: &Case) -> Result<Figures> {
    use skep::{Host, Object, RingBuffer, boundary::TestRun};
    use zerocopy::{FromBytes, Immutable, KnownLayout};

    #[derive(FromBytes, Immutable, KnownLayout)]
    #[repr(C)]
    struct Record<const WORDS: usize> {
        words: [u64; WORDS],
    }

    let plan = Plan::of(case)?;
    let loaded = Object::open(&case.object)?.load(&Host::kernel()?)?;
    let mut ring = RingBuffer::<Record<WORDS>>::new(loaded.map("ring")?)?;
    let program = loaded.program(&plan.program())?;
    let run = || -> Result<()> {
        let mut run = TestRun {
            data_in: &PACKET,
            ..TestRun::default()
        };
        program.test_run(&mut run)?;
        Ok(())
    };
    if plan.drain {
        run()?;
        return plan.drain(|| {
            let (mut seen, mut sum) = (0, 0);
            loop {
                let batch = ring.batch()?;
                if batch.is_empty() {
                    return Ok((seen, sum));
                }
                for record in &batch {
                    seen += 1;
                    sum += record.words[0];
                }
            }
        });
    }
    let mut sum = 0_u64;
    let figures = plan.concurrent(run, || {
        let mut seen = 0;
        if let Some(batch) = ring.wait(Some(WAIT))? {
            for record in &batch {
                seen += 1;
                sum += record.words[0];
            }
        }
        Ok(seen)
    });
    std::hint::black_box(sum);
    figures
}

#[cfg(feature = "libbpf-rs")]
pub(crate) fn measure(case: &Case) -> Result<Figures> {
    use libbpf_rs::{MapCore as _, ObjectBuilder, ProgramInput, RingBufferBuilder};
    use std::cell::Cell;

    let plan = Plan::of(case)?;
    let loaded = ObjectBuilder::default().open_file(&case.object)?.load()?;
    let (seen, sum) = (Cell::new(0), Cell::new(0));
    let map = loaded.maps().find(|map| map.name() == "ring");
    let map = map.ok_or("no ring")?;
    let mut builder = RingBufferBuilder::new();
    builder.add(&map, |record| {
        seen.set(seen.get() + 1);
        sum.set(sum.get() + word(record));
        0
    })?;
    let ring = builder.build()?;
    let name = plan.program();
    let run = || -> Result<()> {
        let program = loaded.progs_mut().find(|program| program.name() == &*name);
        program.ok_or("no such program")?.test_run(ProgramInput {
            data_in: Some(&PACKET),
            ..ProgramInput::default()
        })?;
        Ok(())
    };
    if plan.drain {
        run()?;
        return plan.drain(|| {
            ring.consume()?;
            Ok((seen.get(), sum.get()))
        });
    }
    plan.concurrent(run, || {
        let before = seen.get();
        ring.poll(WAIT)?;
        Ok(seen.get() - before)
    })
}

#[cfg(feature = "aya")]
pub(crate) fn measure(case: &Case) -> Result<Figures> {
    use aya::{
        Ebpf,
        maps::RingBuf,
        programs::{TestRun as _, TestRunOptions, Xdp},
    };
    use std::os::fd::AsRawFd as _;

    let plan = Plan::of(case)?;
    let mut loaded = Ebpf::load_file(&case.object)?;
    let mut ring = RingBuf::try_from(loaded.take_map("ring").ok_or("no ring")?)?;
    let program = loaded.program_mut(&plan.program());
    let program: &mut Xdp = program.ok_or("no such program")?.try_into()?;
    program.load()?;
    let program = &*program;
    let run = || -> Result<()> {
        let mut options = TestRunOptions::new();
        options.data_in = Some(&PACKET);
        program.test_run(options)?;
        Ok(())
    };
    if plan.drain {
        run()?;
        return plan.drain(|| {
            let (mut seen, mut sum) = (0, 0);
            while let Some(record) = ring.next() {
                seen += 1;
                sum += word(&record);
            }
            Ok((seen, sum))
        });
    }
    let mut sum = 0_u64;
    let figures = plan.concurrent(run, || {
        let mut seen = 0;
        while let Some(record) = ring.next() {
            seen += 1;
            sum += word(&record);
        }
        if seen > 0 {
            return Ok(seen);
        }
        let mut poll = libc::pollfd {
            fd: ring.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one live `pollfd`.
        unsafe { libc::poll(&mut poll, 1, WAIT.as_millis() as i32) };
        while let Some(record) = ring.next() {
            seen += 1;
            sum += word(&record);
        }
        Ok(seen)
    });
    std::hint::black_box(sum);
    figures
}
