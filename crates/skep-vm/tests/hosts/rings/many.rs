//! Rings that keep the newest, records that runs give back, and several who write at once.

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use skep::{Map, PerfBuffer, PerfOptions, RingBuffer};
use skep_abi::{MapCreateFlags, MapType, TestRunFlags};
use skep_host::{Access, Errno, Host, HostKind, MapCreate, ProgramFd, TestRun};
use skep_testing::{Outcome, Stop, ensure};
use skep_vm::{Config, Vm};

use super::perf::{CURRENT, perf_array, sending};
use super::{SUBMIT, fire, program, query, reserving, ring, shared};

/// Kernels have it since 6.19: there nothing is shown before.
pub(super) fn overwriting() -> Outcome {
    let host = shared(skep_testing::host());
    if host.info().kind == HostKind::Kernel {
        skep_testing::needs_kernel(6, 19)?;
    }
    let mut request = MapCreate::new(MapType::Ringbuf, "over", 0, 0, 4096);
    request.flags = MapCreateFlags::RB_OVERWRITE;
    let fd = host.map_create(&request)?;
    let map = Arc::new(Map::from_fd(Arc::clone(&host), fd)?);
    let submit = program(&*host, &map, &reserving(504, SUBMIT, 0))?;
    let asking = program(&*host, &map, query())?;
    for n in 0..20 {
        ensure(fire(&*host, &submit, n)? == 0, || format!("record {n}"))?;
    }
    let answers = (0..5).map(|what| fire(&*host, &asking, what));
    let answers: Vec<_> = answers.collect::<Result<_, _>>()?;
    let expected = [7 * 512, 4096, 0, 20 * 512, 13 * 512];
    ensure(answers == expected, || format!("{answers:?}"))?;
    let memory = host.map_memory(map.fd(), host.page_size() as u64, 8192, Access::Read)?;
    let oldest = 512 + (13 * 512 % 4096) / 8 + 1;
    let first = memory
        .long_words()
        .get(oldest)
        .map(skep_host::LongWord::acquire);
    ensure(first == Some(13), || format!("{first:?}"))?;
    request.map_type = MapType::UserRingbuf;
    let refused = host.map_create(&request);
    ensure(crate::support::is(&refused, Errno::EINVAL), || {
        format!("{refused:?}")
    })
}

/// The kernel refuses such programs when they are loaded, and so does the machine; unless it checks
/// them while they run, and takes the records back when they end.
pub(super) fn given_back() -> Outcome {
    let host = shared(skep_testing::host());
    let map = ring(&host, MapType::Ringbuf, 4096)?;
    let leak = "r1 = map[fd:FD]\n r2 = 8\n r3 = 0\n call 131\n r0 = 0\n exit";
    let refused = program(&*host, &map, leak);
    ensure(refused.is_err(), || "a record is lost".into())?;
    if host.info().kind == HostKind::Kernel {
        return Ok(());
    }
    let checked = Vm::with(Config::checked()).map_err(|errno| Stop::fail(errno.to_string()))?;
    let host: Arc<dyn Host> = Arc::new(checked);
    let map = ring(&host, MapType::Ringbuf, 4096)?;
    let mut reader = RingBuffer::<[u8]>::new(Arc::clone(&map))?;
    let leak = program(&*host, &map, leak)?;
    ensure(fire(&*host, &leak, 0).is_err(), || {
        "a record is lost".into()
    })?;
    let twice = "
        r1 = map[fd:FD]
        r2 = 8
        r3 = 0
        call 131
        r6 = r0
        r1 = r6
        r2 = 0
        call 132
        r1 = r6
        r2 = 0
        call 132
        r0 = 0
        exit";
    let twice = program(&*host, &map, twice)?;
    ensure(fire(&*host, &twice, 0).is_err(), || {
        "submitted twice".into()
    })?;
    let after = "
        r1 = map[fd:FD]
        r2 = 8
        r3 = 0
        call 131
        r6 = r0
        r1 = r6
        r2 = 0
        call 132
        *(u64 *)(r6 + 0) = 1
        r0 = 0
        exit";
    let after = program(&*host, &map, after)?;
    ensure(fire(&*host, &after, 0).is_err(), || {
        "written after it was given away".into()
    })?;
    let submit = program(&*host, &map, &reserving(8, SUBMIT, 0))?;
    fire(&*host, &submit, 5)?;
    let mut seen = 0;
    reader.consume(|_| {
        seen += 1;
        ControlFlow::Continue(())
    })?;
    ensure(seen == 3, || format!("{seen} records"))
}

/// Fires a program from several threads, each on a CPU of its own; answers how often it said 0.
fn storm(host: &Arc<dyn Host>, one: &ProgramFd, times: u64) -> Outcome<u64> {
    let cpus = host.online_cpus()?;
    let fire_on = |thread: usize| -> Outcome<u64> {
        let cpu = cpus.get(thread % cpus.len()).copied().unwrap_or_default();
        let mut kept = 0;
        for n in 0..times {
            let context = (n << 8 | thread as u64).to_ne_bytes();
            let mut run = TestRun {
                context_in: &context,
                flags: TestRunFlags::RUN_ON_CPU,
                cpu,
                ..TestRun::default()
            };
            kept += u64::from(host.prog_test_run(one, &mut run)?.return_value == 0);
        }
        Ok(kept)
    };
    std::thread::scope(|scope| {
        let fire_on = &fire_on;
        let threads: Vec<_> = (0..4).map(|n| scope.spawn(move || fire_on(n))).collect();
        let kept = threads.into_iter().map(|thread| match thread.join() {
            Ok(kept) => kept,
            Err(_) => Err(Stop::Fail("a thread panicked".into())),
        });
        kept.sum()
    })
}

/// The last number of each thread, which only grows.
#[derive(Default)]
struct Order([Option<u64>; 4]);

impl Order {
    fn next(&mut self, number: u64) -> bool {
        let last = &mut self.0[(number & 3) as usize];
        let before = last.replace(number >> 8);
        before.is_none_or(|before| before < number >> 8)
    }
}

/// Nothing is lost that the program was not told of, and waiting ends.
pub(super) fn many() -> Outcome {
    let host = shared(skep_testing::host());
    let map = ring(&host, MapType::Ringbuf, 4096)?;
    let mut reader = RingBuffer::<u64>::new(Arc::clone(&map))?;
    let submit = program(&*host, &map, &reserving(24, SUBMIT, 0))?;
    let last = program(&*host, &map, &reserving(8, SUBMIT, 0))?;
    let (kept, read) = std::thread::scope(|scope| {
        let reading = scope.spawn(move || -> Outcome<u64> {
            let (mut read, mut order) = (0, Order::default());
            while let Some(batch) = reader.wait(Some(skep_testing::PATIENCE))? {
                for number in &batch {
                    if *number == u64::MAX {
                        return Ok(read);
                    }
                    read += 1;
                    ensure(order.next(*number), || format!("{number} out of order"))?;
                }
            }
            Err(Stop::Fail(format!("it never ended, after {read}")))
        });
        let kept = storm(&host, &submit, 3000);
        // There may be no room for the end yet.
        while fire(&*host, &last, u64::MAX)? != 0 {
            std::thread::yield_now();
        }
        let read = reading
            .join()
            .map_err(|_| Stop::Fail("it panicked".into()))?;
        Ok::<_, Stop>((kept?, read?))
    })?;
    ensure(kept == read, || format!("{kept} written, {read} read"))
}

/// The same for perf events: what is lost, the reader is told.
pub(super) fn many_events() -> Outcome {
    let host = shared(skep_testing::host());
    let map = perf_array(&host)?;
    let options = PerfOptions {
        pages: 1,
        wakeup: 1,
    };
    let mut reader = PerfBuffer::<u64>::new(Arc::clone(&map), options)?;
    let send = program(&*host, &map, &sending(8, CURRENT))?;
    let done = std::sync::atomic::AtomicBool::new(false);
    let (kept, read) = std::thread::scope(|scope| {
        let (reader, ended) = (&mut reader, &done);
        let reading = scope.spawn(move || -> Outcome<u64> {
            let (mut read, mut order) = (0, Order::default());
            loop {
                let last = ended.load(std::sync::atomic::Ordering::SeqCst);
                let found = reader.wait(Some(Duration::from_millis(20)))?;
                let Some(batch) = found else {
                    if last {
                        return Ok(read);
                    }
                    continue;
                };
                for number in batch.iter() {
                    read += 1;
                    ensure(order.next(number), || format!("{number} out of order"))?;
                }
            }
        });
        let kept = storm(&host, &send, 3000);
        done.store(true, std::sync::atomic::Ordering::SeqCst);
        let read = reading
            .join()
            .map_err(|_| Stop::Fail("it panicked".into()))?;
        Ok::<_, Stop>((kept?, read?))
    })?;
    let lost = reader.lost();
    ensure(kept == read, || format!("{kept} written, {read} read"))?;
    ensure(kept + lost <= 12_000, || {
        format!("{kept} written, {lost} lost")
    })
}
