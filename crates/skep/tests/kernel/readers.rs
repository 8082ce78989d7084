//! Readers together, by closures, under signals and in tasks.

use std::{
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Signal, getpid, kill_process};
use skep::{
    Consumed, Map, PerfBuffer, PerfOptions, Polled, Readers, RingBuffer, UserRingBuffer,
    boundary::TestRun,
};
use skep_testing::{Outcome, Stop, Test, ensure, needs_kernel};

use crate::{
    perf, rings,
    support::{Running, host, object},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("readers::a_closure_that_stops_leaves_the_rest", stops),
        Test::new("readers::a_closure_that_panics_leaves_the_rest", panics),
        Test::new("readers::a_second_reader_goes_on_from_the_first", second),
        Test::new("readers::perf_records_are_left_too", perf_stops),
        Test::new("readers::a_busy_ring_starves_none", fair),
        Test::new("readers::a_handler_stops_them_all", stopped),
        Test::new("readers::records_behind_given_up_ones_are_seen", behind),
        Test::new("readers::polling_waits_and_wakes", waits),
        Test::new("readers::signals_end_no_wait", signals),
        Test::new("readers::they_cross_threads", threads),
        #[cfg(feature = "tokio")]
        Test::new("readers::a_task_awaits_a_ring", tasks::ring),
        #[cfg(feature = "tokio")]
        Test::new("readers::a_task_awaits_a_perf_buffer", tasks::perf),
        #[cfg(feature = "tokio")]
        Test::new("readers::a_task_awaits_several", tasks::several),
        #[cfg(feature = "tokio")]
        Test::new("readers::a_task_misses_no_wakeup", tasks::wakeups),
    ]
}

fn until(last: u64) -> impl FnMut(&rings::Numbered) -> ControlFlow<()> {
    move |record| match record.number == last {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    }
}

fn stops() -> Outcome {
    let (_running, program, mut ring) = rings::open::<rings::Numbered>()?;
    rings::produce(&program, 0, 100, 0)?;
    let consumed = ring.consume(until(29))?;
    let wanted = Consumed {
        records: 30,
        short: 0,
        stopped: true,
    };
    ensure(consumed == wanted, || format!("{consumed:?}"))?;
    ensure(ring.pending() == 70 * 24, || format!("{}", ring.pending()))?;
    let first = ring.batch()?.iter().next().map(|record| record.number);
    ensure(first == Some(30), || format!("{first:?} is next"))?;
    // That batch was dropped, and with it all its records consumed.
    rings::produce(&program, 0, 9, rings::SHORT)?;
    let consumed = ring.consume(|_| ControlFlow::Continue(()))?;
    let right = (consumed.records, consumed.short, consumed.stopped) == (6, 3, false);
    ensure(right && ring.pending() == 0, || format!("{consumed:?}"))
}

/// More is given up than one batch holds: nothing tells of the record behind it.
fn behind() -> Outcome {
    needs_kernel(5, 17)?; // bpf_loop
    let mut object = object("ring")?;
    object.map("events")?.max_entries(1 << 18);
    let running = Running::of(object)?;
    let program = running.loaded.program("produce")?;
    for _ in 0..3000 {
        rings::produce(program, 1, 1, rings::DISCARD)?;
    }
    rings::produce(program, 2, 1, rings::DISCARD)?;
    let ring = RingBuffer::<rings::Numbered>::new(running.loaded.map("events")?)?;
    ensure(ring.pending() > 64 * 1024, || format!("{}", ring.pending()))?;
    let mut readers = Readers::new(host())?;
    readers.ring(ring, |_| ControlFlow::Continue(()))?;
    let polled = readers.poll(Some(Duration::ZERO))?;
    ensure(polled.records == 1, || format!("{polled:?}"))
}

fn panics() -> Outcome {
    let (_running, program, mut ring) = rings::open::<rings::Numbered>()?;
    rings::produce(&program, 0, 10, 0)?;
    let fell = catch_unwind(AssertUnwindSafe(|| {
        ring.consume(|record| {
            // Not by `panic!`, whose hook would print.
            if record.number == 3 {
                std::panic::resume_unwind(Box::new(()));
            }
            ControlFlow::Continue(())
        })
    }));
    ensure(fell.is_err(), || "it did not fall".into())?;
    let rest: Vec<u64> = ring.batch()?.iter().map(|record| record.number).collect();
    ensure(rest == [4, 5, 6, 7, 8, 9], || format!("{rest:?}"))
}

fn second() -> Outcome {
    let (running, program, mut ring) = rings::open::<rings::Numbered>()?;
    rings::produce(&program, 0, 10, 0)?;
    ring.consume(until(3))?;
    drop(ring);
    let mut ring = RingBuffer::<rings::Numbered>::new(running.loaded.map("events")?)?;
    rings::produce(&program, 10, 2, 0)?;
    let rest: Vec<u64> = ring.batch()?.iter().map(|record| record.number).collect();
    ensure(rest == (4..12).collect::<Vec<u64>>(), || {
        format!("{rest:?}")
    })?;
    // And two at once neither fall out nor see what the other has consumed.
    let mut other = RingBuffer::<rings::Numbered>::new(running.loaded.map("events")?)?;
    rings::produce(&program, 20, 5, 0)?;
    ensure(
        other.batch()?.len() == 5 && ring.batch()?.is_empty(),
        || "seen twice".into(),
    )
}

fn perf_stops() -> Outcome {
    let (running, program, mut buffer) = perf::open(perf::SMALL)?;
    let cpu = perf::a_cpu()?;
    // Overfull: the count of what was lost comes with the next record that fits.
    perf::produce(&program, cpu, 0, 200)?;
    let mut numbers = Vec::new();
    let mut take = |most: usize, buffer: &mut PerfBuffer<perf::Numbered>| {
        let mut taken = 0;
        buffer.consume(|_, bytes| {
            numbers.extend(
                bytes
                    .first_chunk()
                    .map(|number| u64::from_ne_bytes(*number)),
            );
            taken += 1;
            match taken == most {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })
    };
    let consumed = take(20, &mut buffer);
    ensure(consumed.records == 20 && consumed.stopped, || {
        format!("{consumed:?}")
    })?;
    perf::produce(&program, cpu, 1_000, 1)?;
    let rest = take(usize::MAX, &mut buffer);
    ensure(!rest.stopped && rest.records > 20, || format!("{rest:?}"))?;
    take(usize::MAX, &mut buffer);
    let in_order = numbers.iter().is_sorted() && numbers.last() == Some(&1_000);
    ensure(in_order, || format!("{numbers:?}"))?;
    let sum = numbers.len() as u64 + buffer.lost();
    let on_cpu: Vec<_> = buffer
        .lost_per_cpu()
        .filter(|(_, lost)| *lost > 0)
        .collect();
    ensure(sum == 201 && on_cpu == [(cpu, buffer.lost())], || {
        format!("{} and {on_cpu:?}", numbers.len())
    })?;
    ensure(running.number("lost")? == buffer.lost(), || {
        "other counts".into()
    })?;
    ensure(buffer.skipped_cpus().is_empty(), || "skipped CPUs".into())
}

fn fair() -> Outcome {
    let (_one, busy, busy_ring) = rings::open::<rings::Numbered>()?;
    let (_two, quiet, quiet_ring) = rings::open::<rings::Numbered>()?;
    let (_three, on_cpu, buffer) = perf::open(PerfOptions::default())?;
    let (first, second, third) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let mut readers = Readers::new(host())?;
    fn count(counter: &AtomicU64) -> ControlFlow<()> {
        counter.fetch_add(1, Ordering::Relaxed);
        ControlFlow::Continue(())
    }
    let numbers = (
        readers.ring(busy_ring, |_| count(&first))?,
        readers.ring(quiet_ring, |_| count(&second))?,
        readers.perf(buffer, |_, _| count(&third))?,
    );
    ensure(numbers == (0, 1, 2), || format!("{numbers:?}"))?;
    let counts = || [&first, &second, &third].map(|counter| counter.load(Ordering::Relaxed));
    for turn in 1..=20 {
        // The busy one is full before each turn; the others have a record.
        rings::produce(&busy, 0, 200, 0)?;
        rings::produce(&quiet, 0, 1, 0)?;
        perf::produce(&on_cpu, perf::a_cpu()?, 0, 1)?;
        readers.poll(Some(Duration::ZERO))?;
        let now = counts();
        ensure(now[1] == turn && now[2] == turn && now[0] > turn, || {
            format!("{now:?} in turn {turn}")
        })?;
    }
    while readers.poll(Some(Duration::ZERO))?.records > 0 {}
    ensure(counts()[1..] == [20, 20], || format!("{:?}", counts()))
}

fn stopped() -> Outcome {
    let (_one, first, ring) = rings::open::<rings::Numbered>()?;
    let (_two, second, other) = rings::open::<rings::Numbered>()?;
    rings::produce(&first, 0, 10, 0)?;
    rings::produce(&second, 0, 10, 0)?;
    let map = Arc::clone(other.map());
    let mut readers = Readers::new(host())?;
    readers.ring(ring, until(4))?;
    readers.ring(other, |_| ControlFlow::Continue(()))?;
    let polled = readers.poll(None)?;
    let wanted = Polled {
        records: 5,
        short: 0,
        stopped: Some(0),
    };
    ensure(polled == wanted, || format!("{polled:?}"))?;
    // The other one has its turn first, now, and then the rest of the first.
    let polled = readers.poll(None)?;
    ensure(polled.records == 15 && polled.stopped.is_none(), || {
        format!("{polled:?}")
    })?;
    drop(readers);
    let ring = RingBuffer::<rings::Numbered>::new(map)?;
    ensure(ring.pending() == 0, || format!("{}", ring.pending()))
}

fn waits() -> Outcome {
    let (_running, program, ring) = rings::open::<rings::Numbered>()?;
    let mut readers = Readers::new(host())?;
    readers.ring(ring, |_| ControlFlow::Continue(()))?;
    let begun = Instant::now();
    let polled = readers.poll(Some(Duration::from_millis(30)))?;
    let waited = begun.elapsed() >= Duration::from_millis(30);
    ensure(polled == Polled::default() && waited, || {
        format!("{polled:?}")
    })?;
    let producer = thread::spawn(move || {
        thread::sleep(Duration::from_millis(30));
        rings::produce(&program, 0, 3, 0)
    });
    let mut records = 0;
    while records < 3 {
        let polled = readers.poll(Some(Duration::from_secs(10)))?;
        ensure(polled.records > 0, || "it slept through".into())?;
        records += polled.records;
    }
    producer
        .join()
        .map_err(|_| Stop::fail("it fell"))?
        .map(drop)
}

fn signals() -> Outcome {
    let (_running, program, mut ring) = rings::open::<rings::Numbered>()?;
    let came = Arc::new(AtomicBool::new(false));
    let handler = signal_hook::flag::register(signal_hook::consts::SIGUSR1, Arc::clone(&came))?;
    let sender = thread::spawn(|| {
        for _ in 0..5 {
            thread::sleep(Duration::from_millis(10));
            let _ = kill_process(getpid(), Signal::USR1);
        }
    });
    let begun = Instant::now();
    let nothing = ring.wait(Some(Duration::from_millis(150)))?.is_none();
    let waited = begun.elapsed();
    sender.join().map_err(|_| Stop::fail("it fell"))?;
    let right = nothing && waited >= Duration::from_millis(150) && came.load(Ordering::Relaxed);
    signal_hook::low_level::unregister(handler);
    ensure(right, || format!("it ended after {waited:?}"))?;
    rings::produce(&program, 0, 1, 0)?;
    ensure(ring.wait(None)?.is_some(), || "nothing".into())
}

fn threads() -> Outcome {
    fn is_send<T: Send>() {}
    fn is_sync<T: Sync>() {}
    is_send::<RingBuffer<[u8]>>();
    is_send::<PerfBuffer<u64>>();
    is_send::<UserRingBuffer>();
    is_send::<Readers<'static>>();
    is_send::<Map>();
    is_sync::<Map>();
    is_send::<skep::MapMemory>();
    is_sync::<skep::MapMemory>();
    is_send::<skep::Walk<'static>>();
    is_send::<skep::Loaded>();
    is_sync::<skep::Loaded>();
    is_send::<skep::Host>();
    is_sync::<skep::Host>();
    is_send::<skep::Link>();
    is_sync::<skep::Program>();
    let (_running, program, mut ring) = rings::open::<rings::Numbered>()?;
    let reader = thread::spawn(move || {
        let batch = ring.wait(Some(Duration::from_secs(10)))?;
        Ok::<_, skep::Error>(batch.map_or(0, |batch| batch.len()))
    });
    program.test_run(&mut TestRun {
        context_in: &rings::args(5),
        ..TestRun::default()
    })?;
    let seen = reader.join().map_err(|_| Stop::fail("it fell"))??;
    ensure((1..=5).contains(&seen), || format!("{seen}"))
}

#[cfg(feature = "tokio")]
mod tasks {
    use std::future::Future;

    use skep::{AsyncPerfBuffer, AsyncReaders, AsyncRingBuffer};
    use tokio::{runtime, time::timeout};

    use super::*;

    fn run(body: impl Future<Output = Outcome>) -> Outcome {
        let runtime = runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()?;
        runtime.block_on(async {
            match timeout(Duration::from_secs(20), body).await {
                Ok(outcome) => outcome,
                Err(_) => Err(Stop::fail("it waits for ever")),
            }
        })
    }

    pub(super) fn ring() -> Outcome {
        let (_running, program, ring) = rings::open::<rings::Numbered>()?;
        run(async {
            let mut ring = AsyncRingBuffer::new(ring)?;
            let none = timeout(Duration::from_millis(20), ring.next_batch())
                .await
                .is_err();
            ensure(none, || "records unasked".into())?;
            rings::produce(&program, 7, 3, 0)?;
            let batch = ring.next_batch().await?;
            let numbers: Vec<u64> = batch.iter().map(|record| record.number).collect();
            ensure(numbers == [7, 8, 9], || format!("{numbers:?}"))?;
            drop(batch);
            ensure(ring.get_ref().pending() == 0, || "they are kept".into())
        })
    }

    pub(super) fn perf() -> Outcome {
        let (_running, program, buffer) = perf::open(PerfOptions::default())?;
        run(async {
            let mut buffer = AsyncPerfBuffer::new(buffer)?;
            let none = timeout(Duration::from_millis(20), buffer.next_batch())
                .await
                .is_err();
            ensure(none, || "records unasked".into())?;
            for cpu in skep_testing::host().online_cpus()? {
                perf::produce(&program, cpu, 10, 3)?;
                let batch = buffer.next_batch().await?;
                let numbers: Vec<u64> = batch.iter().map(|record| record.number).collect();
                ensure(numbers == [10, 11, 12] && batch.cpu() == Some(cpu), || {
                    format!("{numbers:?} of {batch:?}")
                })?;
            }
            Ok(())
        })
    }

    pub(super) fn several() -> Outcome {
        let (_one, program, ring) = rings::open::<rings::Numbered>()?;
        let (_two, on_cpu, buffer) = perf::open(PerfOptions::default())?;
        let mut readers = Readers::new(host())?;
        readers.ring(ring, |_| ControlFlow::Continue(()))?;
        readers.perf(buffer, |_, _| ControlFlow::Continue(()))?;
        run(async {
            let mut readers = AsyncReaders::new(readers)?;
            for _ in 0..20 {
                rings::produce(&program, 0, 2, 0)?;
                let polled = readers.poll().await?;
                ensure(polled.records == 2, || format!("{polled:?}"))?;
                perf::produce(&on_cpu, perf::a_cpu()?, 0, 3)?;
                let polled = readers.poll().await?;
                ensure(polled.records == 3, || format!("{polled:?}"))?;
            }
            let none = timeout(Duration::from_millis(20), readers.poll()).await;
            ensure(none.is_err(), || "records unasked".into())
        })
    }

    /// A producer that fills the ring at any time: if a wake-up were missed, none would follow.
    pub(super) fn wakeups() -> Outcome {
        const TURNS: u64 = 2_000;
        let (_running, program, ring) = rings::open::<rings::Numbered>()?;
        let producer = thread::spawn(move || {
            let mut submitted = 0;
            for turn in 0..TURNS {
                submitted += rings::produce(&program, turn, 1 + (turn % 3) as u32, 0)?.submitted;
            }
            // The last one ends it.
            while rings::produce(&program, u64::MAX, 1, 0)?.submitted == 0 {}
            Ok::<_, Stop>(submitted)
        });
        let mut seen = 0;
        let read = run(async {
            let mut ring = AsyncRingBuffer::new(ring)?;
            loop {
                for record in &ring.next_batch().await? {
                    if record.number == u64::MAX {
                        return Ok(());
                    }
                    seen += 1;
                }
            }
        });
        let submitted = producer.join().map_err(|_| Stop::fail("it fell"))??;
        read?;
        ensure(seen == submitted, || format!("{seen} of {submitted}"))
    }
}
