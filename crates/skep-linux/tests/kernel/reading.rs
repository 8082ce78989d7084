//! Mapped memory with records in it: ring buffers and perf buffers; iterators; the trace pipe.

use std::{
    fs, io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use rustix::fs::{MemfdFlags, SealFlags};

use skep_abi::{AttachType, MapType, ProgramType};
use skep_btf::{Btf, KindTag};
use skep_host::{
    Access, AttachPoint, Errno, Host, IterTarget, MapFd, PerfOutput, ProgramFd, TestRun,
};
use skep_testing::{Outcome, Stop, Test, ensure, needs_kernel};

use crate::{
    harness::host,
    programs::{load, load_with, map},
};

pub(crate) fn trials() -> Vec<Test> {
    vec![
        Test::new("reading::ring_buffer_records_arrive", ring_buffer),
        Test::new("reading::perf_buffer_records_arrive", perf_buffer),
        Test::new("reading::perf_rings_are_powers_of_two", perf_pages),
        Test::new("reading::a_poller_waits_and_wakes", poller),
        Test::new("reading::iterators_walk_over_shared_buffers", buffers).of_hook("iter/dmabuf"),
        Test::new("reading::task_iterators_walk_one_process", iterator)
            .of_hook("iter (one process)"),
        Test::new("reading::printk_lines_are_in_the_pipe", trace_pipe),
    ]
}

/// Runs a packet program once.
fn run(program: &ProgramFd) -> Result<u32, Stop> {
    let packet = [0; 64];
    let outcome = host().prog_test_run(
        program,
        &mut TestRun {
            data_in: &packet,
            ..TestRun::default()
        },
    )?;
    Ok(outcome.return_value)
}

/// A program that sends the number `number` into a ring buffer.
fn ring_sender(ring: &MapFd, number: u32) -> Result<ProgramFd, Stop> {
    let text = format!(
        "*(u64 *)(r10 -8) = {number}
        r1 = map[fd:{}]
        r2 = r10
        r2 += -8
        r3 = 8
        r4 = 0
        call 130
        exit",
        ring.raw()
    );
    load(ProgramType::Xdp, None, &text)
}

fn ring_buffer() -> Outcome {
    needs_kernel(5, 8)?;
    let page = host().page_size();
    let ring = map(MapType::Ringbuf, 0, 0, page as u32)?;
    let program = ring_sender(&ring, 4711)?;
    let consumer = host().map_memory(&ring, 0, page, Access::ReadWrite)?;
    // The producer's position, then the data twice, so that no record is ever split.
    let producer = host().map_memory(&ring, page as u64, page * 3, Access::Read)?;
    let (mut position, mut seen) = (0u64, 0);
    // More rounds than the ring holds: it wraps.
    for _ in 0..1000 {
        ensure(run(&program)? == 0, || "the record was not taken".into())?;
        let end = producer.long_words()[0].acquire();
        while position < end {
            let at = page + (position as usize & (page - 1));
            let header = producer.words()[at / 4].acquire();
            ensure(header == 8, || format!("header {header:#x}"))?;
            let bytes = producer.committed(at + 8..at + 16);
            ensure(bytes == 4711u64.to_ne_bytes(), || format!("{bytes:?}"))?;
            position += 16;
            seen += 1;
            consumer.writable().unwrap_or_default()[0].store(position, Ordering::Release);
        }
    }
    ensure(seen == 1000, || format!("{seen} records"))
}

fn perf_sender(array: &MapFd) -> Result<ProgramFd, Stop> {
    let text = format!(
        "*(u64 *)(r10 -8) = 815
        r2 = map[fd:{}]
        r3 = 4294967295 ll
        r4 = r10
        r4 += -8
        r5 = 8
        call 25
        exit",
        array.raw()
    );
    load(ProgramType::Xdp, None, &text)
}

fn perf_buffer() -> Outcome {
    let cpus = host().online_cpus()?;
    let array = map(
        MapType::PerfEventArray,
        4,
        4,
        host().possible_cpus()? as u32,
    )?;
    let mut outputs: Vec<PerfOutput> = Vec::new();
    for &cpu in &cpus {
        let output = host().perf_output(cpu, 1, 1)?;
        host().map_update_elem(
            &array,
            &cpu.to_ne_bytes(),
            &output.event.raw().to_ne_bytes(),
            0,
        )?;
        outputs.push(output);
    }
    let program = perf_sender(&array)?;
    for _ in 0..10 {
        ensure(run(&program)? == 0, || "the record was not taken".into())?;
    }
    let page = host().page_size();
    let mut records = 0;
    for output in &outputs {
        ensure(output.memory.len() == 2 * page, || {
            format!("{} bytes", output.memory.len())
        })?;
        // perf_event_mmap_page.data_head is the word at byte 1024, data_tail the one after it.
        let head = output.memory.long_words()[128].acquire() as usize;
        let mut at = 0;
        while at < head {
            let bytes = output.memory.committed(page + at..page + at + 8);
            let kind = u32::from_ne_bytes(bytes[..4].try_into().expect("4 bytes"));
            let size = u16::from_ne_bytes(bytes[6..].try_into().expect("2 bytes")) as usize;
            // PERF_RECORD_SAMPLE: a length, then the raw bytes.
            ensure(kind == 9 && size >= 20, || {
                format!("record {kind} of {size} bytes")
            })?;
            let raw = output.memory.committed(page + at + 12..page + at + 20);
            ensure(raw == 815u64.to_ne_bytes(), || format!("{raw:?}"))?;
            at += size;
            records += 1;
        }
        output.memory.writable().unwrap_or_default()[129].store(head as u64, Ordering::Release);
    }
    ensure(records == 10, || format!("{records} records"))
}

fn perf_pages() -> Outcome {
    let refused = host().perf_output(0, 3, 1);
    ensure(
        matches!(refused, Err(skep_host::Error::Request { .. })),
        || format!("{refused:?}"),
    )
}

fn poller() -> Outcome {
    needs_kernel(5, 8)?;
    let ring = map(MapType::Ringbuf, 0, 0, host().page_size() as u32)?;
    let other = map(MapType::Ringbuf, 0, 0, host().page_size() as u32)?;
    let mut poller = host().poller()?;
    poller.add(ring.descriptor(), 7)?;
    poller.add(other.descriptor(), 8)?;
    let mut ready = vec![99];
    let start = Instant::now();
    poller.wait(Some(Duration::from_millis(30)), &mut ready)?;
    ensure(
        ready.is_empty() && start.elapsed() >= Duration::from_millis(30),
        || format!("{ready:?} after {:?}", start.elapsed()),
    )?;
    run(&ring_sender(&ring, 1)?)?;
    poller.wait(Some(Duration::from_secs(5)), &mut ready)?;
    ensure(ready == [7], || format!("{ready:?}"))?;
    ensure(poller.raw().is_some(), || "no descriptor".into())
}

/// The type id of a function of the kernel.
pub(crate) fn function(name: &str) -> Result<u32, Stop> {
    let btf = Btf::parse_trusted(host().btf(None)?, None)?;
    match btf.find(name, KindTag::Function) {
        Some(id) => Ok(id.0),
        None => Err(Stop::Fail(format!(
            "the kernel's BTF has no function `{name}`"
        ))),
    }
}

/// Loads an iterator that writes one byte for each thing of a kind.
fn iterator_over(kind: &str) -> Result<ProgramFd, Stop> {
    let target = function(&format!("bpf_iter_{kind}"))?;
    // The context: bpf_iter_meta, whose first member is the seq_file, then the thing.
    let text = "
        r2 = *(u64 *)(r1 +8)
        if r2 == 0 goto out
        r1 = *(u64 *)(r1 +0)
        r1 = *(u64 *)(r1 +0)
        *(u8 *)(r10 -1) = 116
        r2 = r10
        r2 += -1
        r3 = 1
        call 127
        out:
        r0 = 0
        exit";
    load_with(ProgramType::Tracing, text, |request| {
        request.expected_attach_type = Some(AttachType::TraceIter);
        request.attach_btf_id = target;
    })
}

pub(crate) fn task_iterator() -> Result<ProgramFd, Stop> {
    iterator_over("task")
}

/// How many things it walks over.
fn walk(program: &ProgramFd, target: IterTarget<'_>) -> Result<usize, Stop> {
    let point = AttachPoint::Iterator(target);
    let attachment = host().attach("walking", program, ProgramType::Tracing, &point)?;
    let link = attachment
        .link_fd()
        .ok_or_else(|| Stop::Fail("no link".into()))?;
    let iterator = host().iter_create(link)?;
    let mut total = 0;
    let mut buffer = [0; 64];
    loop {
        match host().read(iterator.descriptor(), &mut buffer)? {
            0 => return Ok(total),
            got => {
                ensure(buffer[..got].iter().all(|&b| b == b't'), || {
                    "other bytes".into()
                })?;
                total += got;
            }
        }
    }
}

/// A buffer that devices could share, made of a page of this process's.
fn shared_buffer() -> Result<OwnedFd, Stop> {
    /// `struct udmabuf_create`.
    #[repr(C)]
    struct Create {
        memfd: u32,
        flags: u32,
        offset: u64,
        size: u64,
    }
    /// `UDMABUF_CREATE`.
    const CREATE: libc::c_ulong = 0x4018_7542;
    let maker = fs::File::open("/dev/udmabuf");
    let maker = maker.map_err(|_| Stop::lacks("CONFIG_UDMABUF"))?;
    let memory = rustix::fs::memfd_create("skep", MemfdFlags::ALLOW_SEALING)?;
    let size = host().page_size() as u64;
    rustix::fs::ftruncate(&memory, size)?;
    rustix::fs::fcntl_add_seals(&memory, SealFlags::SHRINK)?;
    let request = Create {
        memfd: memory.as_raw_fd().cast_unsigned(),
        flags: 0,
        offset: 0,
        size,
    };
    #[expect(unsafe_code, reason = "a request that only the device knows")]
    // SAFETY: the kernel reads the structure, which outlives the call, and gives a descriptor of its
    // own or -1.
    let buffer = unsafe {
        match libc::ioctl(maker.as_raw_fd(), CREATE, &raw const request) {
            -1 => return Err(io::Error::last_os_error().into()),
            descriptor => OwnedFd::from_raw_fd(descriptor),
        }
    };
    Ok(buffer)
}

fn buffers() -> Outcome {
    needs_kernel(6, 16)?;
    let program = iterator_over("dmabuf")?;
    let before = walk(&program, IterTarget::All)?;
    let _buffers = [shared_buffer()?, shared_buffer()?];
    let now = walk(&program, IterTarget::All)?;
    ensure(now == before + 2, || format!("{before}, then {now}"))
}

fn iterator() -> Outcome {
    needs_kernel(6, 1)?;
    let program = task_iterator()?;
    let read = |target| walk(&program, target);
    let threads = std::fs::read_dir("/proc/self/task")?.count();
    let own = read(IterTarget::Process(std::process::id()))?;
    ensure(own == threads, || format!("{own} tasks, {threads} threads"))?;
    let one = read(IterTarget::Thread(std::process::id()))?;
    ensure(one == 1, || format!("{one} tasks"))?;
    let all = read(IterTarget::All)?;
    ensure(all > own, || format!("{all} tasks in all"))
}

fn trace_pipe() -> Outcome {
    let pipe = host().trace_pipe()?;
    let mut buffer = [0; 4096];
    // Lines of others may be there; what matters is that an empty pipe does not block.
    let emptied = loop {
        match host().read(&pipe, &mut buffer) {
            Ok(0) => break Errno::EAGAIN,
            Ok(_) => {}
            Err(error) => break error.errno().unwrap_or(Errno::EIO),
        }
    };
    ensure(emptied == Errno::EAGAIN, || format!("{emptied}"))?;
    let mark = format!("s{:06}", std::process::id() % 1_000_000);
    let word = u64::from_le_bytes(format!("{mark}\0").as_bytes().try_into().expect("8 bytes"));
    let text = format!(
        "r1 = {word} ll
        *(u64 *)(r10 -8) = r1
        r1 = r10
        r1 += -8
        r2 = 8
        call 6
        exit"
    );
    let program = load(ProgramType::Xdp, None, &text)?;
    let mut seen = String::new();
    // Some kernels (6.1 and 6.12 as they are cared for now) turn the event behind it on from a work
    // queue, some time after a program that prints was loaded: until then its lines are lost.
    skep_testing::eventually("the line", || {
        let printed = run(&program)?;
        ensure(printed as usize == mark.len(), || {
            format!("{} printed", printed as i32)
        })?;
        if let Ok(got) = host().read(&pipe, &mut buffer) {
            seen.push_str(&String::from_utf8_lossy(&buffer[..got]));
        }
        Ok(seen.contains(&mark))
    })
}
