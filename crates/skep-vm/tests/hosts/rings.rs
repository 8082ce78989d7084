//! Rings: the same programs write to them on both hosts, and the readers of `skep` read them.

use std::{collections::BTreeSet, ops::ControlFlow, sync::Arc, time::Duration};

use skep::{Map, PerfBuffer, PerfOptions, RingBuffer, UserRingBuffer};
use skep_abi::{MapCreateFlags, MapType, ProgramType, TestRunFlags};
use skep_btf::{Builder, FunctionLinkage, IntEncoding};
use skep_host::{
    Access, BtfLoad, Errno, Host, HostKind, LogLevel, MapCreate, ProgramBtf, ProgramFd,
    ProgramLoad, TestRun,
};
use skep_isa::{RawInsn, assemble};
use skep_testing::{Outcome, Stop, Test, ensure};

use crate::support::{Record, agree, name};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("rings::elements_and_mappings_answer_alike", || agree(rules)),
        Test::new("rings::records_are_alike", || agree(records)),
        Test::new("rings::a_full_ring_answers_alike", || agree(full)),
        Test::new("rings::wake_ups_are_alike", || agree(wake_ups)),
        Test::new("rings::dynptrs_are_alike", || agree(dynptrs)),
        Test::new("rings::user_rings_are_alike", || agree(user_rings)),
        Test::new("rings::bad_user_samples_answer_alike", || {
            agree(bad_samples)
        }),
        Test::new("rings::perf_records_are_alike", || agree(perf)),
        Test::new("rings::perf_wake_ups_are_alike", || agree(perf_wake_ups)),
        Test::new("rings::perf_arrays_answer_alike", || agree(perf_arrays)),
        Test::new("rings::old_records_are_overwritten", overwriting),
        Test::new("rings::runs_give_records_back", given_back),
        Test::new("rings::many_write_and_one_waits", many),
        Test::new("rings::many_send_and_one_waits", many_events),
    ]
}

/// A host that maps can share.
pub(crate) fn shared(host: &dyn Host) -> Arc<dyn Host> {
    match host.info().kind {
        HostKind::Vm => Arc::new(crate::support::machine().clone()),
        _ => Arc::clone(crate::support::linux()) as _,
    }
}

fn ring(host: &Arc<dyn Host>, map_type: MapType, size: u32) -> Outcome<Arc<Map>> {
    let fd = host.map_create(&MapCreate::new(map_type, &name("ring"), 0, 0, size))?;
    Ok(Arc::new(Map::from_fd(Arc::clone(host), fd)?))
}

/// A program for a map whose descriptor is `FD` in the text.
pub(crate) fn program(host: &dyn Host, map: &Map, text: &str) -> Outcome<ProgramFd> {
    program_of(host, &text.replace("FD", &map.fd().raw().to_string()))
}

/// A program of a text. The kernel takes callbacks only with records of functions.
pub(crate) fn program_of(host: &dyn Host, text: &str) -> Outcome<ProgramFd> {
    let mut records = Vec::new();
    let mut types = Builder::new();
    let mut btf = None;
    if text.contains("subprog[") && host.info().kind == HostKind::Kernel {
        let int = types.int("int", 4, IntEncoding::SIGNED);
        let prototype = types.prototype(int, &[]);
        for start in functions(&assemble(text)?) {
            let name = format!("f{start}");
            let function = types.function(&name, prototype, FunctionLinkage::Static);
            records.extend(start.to_ne_bytes());
            records.extend(function.0.to_ne_bytes());
        }
        btf = Some(host.btf_load(&BtfLoad {
            object: "functions",
            bytes: &types.build()?,
            log_level: LogLevel::OnFailure,
            token: None,
        })?);
    }
    let (code, name) = (crate::support::code(text)?, name("prog"));
    let mut request = ProgramLoad::new(ProgramType::RawTracepoint, &name, &code);
    request.license = "GPL";
    request.btf = btf.as_ref().map(|btf| ProgramBtf {
        func_info: &records,
        func_info_record_size: 8,
        ..ProgramBtf::new(btf)
    });
    match host.prog_load(&request) {
        Ok(loaded) => Ok(loaded.fd),
        Err(error) => {
            let log = error.log().unwrap_or_default();
            Err(Stop::Fail(format!(
                "{error}; cause: {:?}\n{log}",
                error.cause()
            )))
        }
    }
}

/// Where functions of a program begin.
fn functions(slots: &[RawInsn]) -> BTreeSet<u32> {
    let named = slots.iter().enumerate().filter_map(|(index, slot)| {
        let is_call = slot.opcode == 0x85 && slot.src == 1;
        let is_address = slot.opcode == 0x18 && slot.src == 4;
        (is_call || is_address).then(|| (index as i32 + 1 + slot.imm) as u32)
    });
    named.chain([0]).collect()
}

/// Runs a program on CPU 0 with one argument.
pub(crate) fn fire(host: &dyn Host, program: &ProgramFd, argument: u64) -> Outcome<i32> {
    let context = argument.to_ne_bytes();
    let mut run = TestRun {
        context_in: &context,
        flags: TestRunFlags::RUN_ON_CPU,
        ..TestRun::default()
    };
    Ok(host
        .prog_test_run(program, &mut run)?
        .return_value
        .cast_signed())
}

/// Reserves a record whose first word is the argument, and commits it with a helper.
fn reserving(size: u32, helper: u32, flags: u32) -> String {
    format!(
        "r6 = *(u64 *)(r1 + 0)
        r1 = map[fd:FD]
        r2 = {size}
        r3 = 0
        call 131
        if r0 == 0 goto full
        *(u64 *)(r0 + 0) = r6
        r1 = r0
        r2 = {flags}
        call {helper}
        r0 = 0
        exit
    full:
        r0 = 1
        exit"
    )
}

const SUBMIT: u32 = 132;
const DISCARD: u32 = 133;

/// Copies the argument out as a record.
fn output(size: u32, flags: u64) -> String {
    format!(
        "r6 = *(u64 *)(r1 + 0)
        *(u64 *)(r10 - 8) = r6
        *(u64 *)(r10 - 16) = r6
        r1 = map[fd:FD]
        r2 = r10
        r2 += -16
        r3 = {size}
        r4 = {flags} ll
        call 130
        exit"
    )
}

/// Asks the ring.
fn query() -> &'static str {
    "r2 = *(u64 *)(r1 + 0)
    r1 = map[fd:FD]
    call 134
    exit"
}

fn rules(host: &dyn Host, record: &mut Record) -> Outcome {
    let host = &*shared(host);
    let page = host.page_size();
    for map_type in [MapType::Ringbuf, MapType::UserRingbuf] {
        for (key, value, size) in [
            (0, 0, 0),
            (0, 0, 1),
            (0, 0, 12288),
            (4, 0, 4096),
            (0, 4, 4096),
        ] {
            let made = host.map_create(&MapCreate::new(map_type, &name("ring"), key, value, size));
            record.done(format!("{map_type} {key} {value} {size}"), &made);
        }
        let map = host.map_create(&MapCreate::new(map_type, &name("ring"), 0, 0, 8192))?;
        record.answer("lookup", &host.map_lookup_elem(&map, &[], &mut [], 0));
        record.answer("update", &host.map_update_elem(&map, &[], &[], 0));
        record.answer("delete", &host.map_delete_elem(&map, &[]));
        record.answer("next", &host.map_get_next_key(&map, None, &mut []));
        for access in [Access::Read, Access::ReadWrite] {
            for (offset, len) in [
                (0, 1),
                (0, page),
                (0, 2 * page),
                (page, page),
                (page, page + 8192),
                (page, page + 2 * 8192),
                (page, 2 * page + 2 * 8192),
                (2 * page, page),
                (6 * page, page),
                (1, page),
                (0, 0),
            ] {
                let mapped = host.map_memory(&map, offset as u64, len, access);
                record.done(format!("{map_type} map {offset} {len} {access:?}"), &mapped);
            }
        }
        let consumer = host.map_memory(&map, 0, page, Access::Read)?;
        record.answer("freeze", &host.map_freeze(&map));
        record.done("frozen", &host.map_memory(&map, 0, page, Access::ReadWrite));
        record.fact("length", consumer.len());
    }
    Ok(())
}

/// What the ring has, as its reader sees it.
fn drain(reader: &mut RingBuffer, record: &mut Record) -> Outcome {
    let mut seen = Vec::new();
    let consumed = reader.consume(|bytes| {
        seen.push((bytes.len(), bytes.get(..8).map(<[u8]>::to_vec)));
        ControlFlow::Continue(())
    })?;
    record.fact("records", seen);
    record.fact("consumed", (consumed.records, consumed.short));
    Ok(())
}

fn positions(host: &dyn Host, asking: &ProgramFd, record: &mut Record) -> Outcome {
    for what in [0, 1, 2, 3, 4, 9, 1 << 32] {
        let answer = fire(host, asking, what)?;
        record.fact(format!("query {what}"), answer);
    }
    Ok(())
}

fn records(host: &dyn Host, record: &mut Record) -> Outcome {
    let host = shared(host);
    let map = ring(&host, MapType::Ringbuf, 4096)?;
    let mut reader = RingBuffer::<[u8]>::new(Arc::clone(&map))?;
    let asking = program(&*host, &map, query())?;
    let submit = program(&*host, &map, &reserving(24, SUBMIT, 0))?;
    let odd = program(&*host, &map, &reserving(13, SUBMIT, 0))?;
    let discard = program(&*host, &map, &reserving(24, DISCARD, 0))?;
    let copy = program(&*host, &map, &output(9, 0))?;
    let empty = program(&*host, &map, &output(0, 0))?;
    let flags = program(&*host, &map, &output(8, 4))?;
    let large = program(&*host, &map, &reserving(4088, SUBMIT, 0))?;
    for round in 0..40 {
        let programs = [&submit, &odd, &discard, &copy, &empty, &flags, &large];
        for (number, one) in programs.into_iter().enumerate() {
            let answer = fire(&*host, one, round * 16 + number as u64)?;
            record.fact(format!("round {round} program {number}"), answer);
        }
        positions(&*host, &asking, record)?;
        if round == 0 {
            let memory = host.map_memory(map.fd(), host.page_size() as u64, 8192, Access::Read)?;
            let words = memory.long_words().iter().skip(512).take(32);
            let words: Vec<_> = words.map(|word| format!("{:#x}", word.acquire())).collect();
            record.fact("memory", words);
        }
        drain(&mut reader, record)?;
    }
    Ok(())
}

fn full(host: &dyn Host, record: &mut Record) -> Outcome {
    let host = shared(host);
    let map = ring(&host, MapType::Ringbuf, 4096)?;
    let mut reader = RingBuffer::<[u8]>::new(Arc::clone(&map))?;
    let asking = program(&*host, &map, query())?;
    let submit = program(&*host, &map, &reserving(496, SUBMIT, 0))?;
    let copy = program(&*host, &map, &output(16, 0))?;
    let discard = program(&*host, &map, &reserving(8, DISCARD, 0))?;
    for round in 0..3 {
        for n in 0..12 {
            record.fact(format!("submit {n}"), fire(&*host, &submit, n)?);
        }
        for n in 0..30 {
            record.fact(format!("discard {n}"), fire(&*host, &discard, n)?);
            record.fact(format!("output {n}"), fire(&*host, &copy, n)?);
        }
        positions(&*host, &asking, record)?;
        record.fact(format!("pending {round}"), reader.pending());
        drain(&mut reader, record)?;
    }
    Ok(())
}

/// What a poller reports. A kernel's wake-up may come from another CPU, a little later.
fn ready(poller: &mut dyn skep_host::Poller) -> Outcome<Vec<u64>> {
    let mut tokens = Vec::new();
    poller.wait(Some(Duration::from_millis(30)), &mut tokens)?;
    Ok(tokens)
}

fn wake_ups(host: &dyn Host, record: &mut Record) -> Outcome {
    let host = shared(host);
    let map = ring(&host, MapType::Ringbuf, 4096)?;
    let mut reader = RingBuffer::<[u8]>::new(Arc::clone(&map))?;
    let mut poller = host.poller()?;
    poller.add(map.fd().descriptor(), 7)?;
    record.answer("add again", &poller.add(map.fd().descriptor(), 8));
    record.fact("nothing", ready(&mut *poller)?);
    for (flags, what) in [(0, "plain"), (1, "none"), (2, "forced"), (3, "both")] {
        let submit = program(&*host, &map, &reserving(8, SUBMIT, flags))?;
        let discard = program(&*host, &map, &reserving(8, DISCARD, flags))?;
        for (helper, one) in [("submit", submit), ("discard", discard)] {
            for n in 0..3 {
                fire(&*host, &one, n)?;
                let key = format!("{what} {helper} {n}");
                record.fact(key.clone(), ready(&mut *poller)?);
                record.fact(key, ready(&mut *poller)?);
            }
            drain(&mut reader, record)?;
            record.fact("drained", ready(&mut *poller)?);
        }
    }
    // What was there before anybody waited is reported.
    let quiet = program(&*host, &map, &reserving(8, SUBMIT, 1))?;
    fire(&*host, &quiet, 0)?;
    let mut later = host.poller()?;
    later.add(map.fd().descriptor(), 9)?;
    record.fact("later", ready(&mut *later)?);
    record.fact("earlier", ready(&mut *poller)?);
    Ok(())
}

fn dynptrs(host: &dyn Host, record: &mut Record) -> Outcome {
    let host = shared(host);
    let map = ring(&host, MapType::Ringbuf, 4096)?;
    let mut reader = RingBuffer::<[u8]>::new(Arc::clone(&map))?;
    for (size, flags, commit) in [
        (16_u64, 0_u64, 199),
        (16, 0, 200),
        (16, 1, 199),
        (4096, 0, 199),
        (1 << 24, 0, 199),
        (1, 0, 199),
    ] {
        let text = format!(
            "r6 = *(u64 *)(r1 + 0)
            *(u64 *)(r10 - 8) = r6
            r1 = map[fd:FD]
            r2 = {size}
            r3 = {flags}
            r4 = r10
            r4 += -24
            call 198
            r7 = r0
            r1 = r10
            r1 += -24
            r2 = 0
            r3 = r10
            r3 += -8
            r4 = 8
            r5 = 0
            call 202
            r8 = r0
            r1 = r10
            r1 += -24
            r2 = 0
            call {commit}
            r0 = r7
            r0 *= 1000
            r0 += r8
            exit"
        );
        let one = program(&*host, &map, &text)?;
        let answer = fire(&*host, &one, 0x1122_3344_5566_7788)?;
        record.fact(format!("{size} {flags} {commit}"), answer);
        drain(&mut reader, record)?;
    }
    Ok(())
}

/// Drains a user ring: the callback adds up the samples' first bytes in the frame of its caller,
/// and stops at a byte of 255. Answers what the drain does, or the sum for an argument of 1.
fn draining(flags: u32) -> String {
    format!(
        "r6 = *(u64 *)(r1 + 0)
        *(u64 *)(r10 - 8) = 0
        r1 = map[fd:FD]
        r2 = subprog[sample]
        r3 = r10
        r3 += -8
        r4 = {flags}
        call 209
        if r6 == 0 goto done
        r0 = *(u64 *)(r10 - 8)
    done:
        exit
    sample:
        r6 = r1
        r7 = r2
        *(u8 *)(r10 - 8) = 0
        r1 = r10
        r1 += -8
        r2 = 1
        r3 = r6
        r4 = 0
        r5 = 0
        call 201
        r1 = *(u8 *)(r10 - 8)
        r2 = *(u64 *)(r7 + 0)
        r2 += r1
        *(u64 *)(r7 + 0) = r2
        r0 = 0
        if r1 != 255 goto more
        r0 = 1
    more:
        exit"
    )
}

fn user_rings(host: &dyn Host, record: &mut Record) -> Outcome {
    let host = shared(host);
    let map = ring(&host, MapType::UserRingbuf, 4096)?;
    let mut writer = UserRingBuffer::new(Arc::clone(&map))?;
    let drain = program(&*host, &map, &draining(0))?;
    let quiet = program(&*host, &map, &draining(1))?;
    let forced = program(&*host, &map, &draining(2))?;
    let refused = program(&*host, &map, &draining(4))?;
    let mut poller = host.poller()?;
    poller.add_writable(map.fd().descriptor(), 5)?;
    record.fact("room", ready(&mut *poller)?);
    record.fact("once", ready(&mut *poller)?);
    record.fact("unknown flags", fire(&*host, &refused, 0)?);
    for (what, one) in [("plain", &drain), ("quiet", &quiet), ("forced", &forced)] {
        record.fact(format!("{what}: nothing"), fire(&*host, one, 0)?);
        record.fact("woken", ready(&mut *poller)?);
        for argument in [0, 1] {
            for n in 1..=5_u8 {
                let mut sample = match writer.reserve(usize::from(n) * 3)? {
                    Some(sample) => sample,
                    None => return Err(Stop::Fail("no room".into())),
                };
                sample.write(0, &[n])?;
                match n {
                    4 => sample.discard(),
                    _ => sample.submit(),
                }
            }
            record.fact("pending", writer.pending());
            record.fact(format!("{what} {argument}"), fire(&*host, one, argument)?);
            record.fact("pending", writer.pending());
            record.fact("woken", ready(&mut *poller)?);
        }
    }
    // A callback that breaks off leaves the rest.
    for byte in [1_u8, 255, 2, 3] {
        record.fact("send", writer.send(&[byte])?);
    }
    record.fact("breaks off", fire(&*host, &drain, 0)?);
    record.fact("pending", writer.pending());
    record.fact("the rest", fire(&*host, &drain, 1)?);
    // Full, and around the end.
    for round in 0..5 {
        let mut sent = 0;
        while writer.send(&[1_u8; 300])? {
            sent += 1;
        }
        record.fact(format!("sent {round}"), sent);
        record.fact("drained", fire(&*host, &drain, 0)?);
        record.fact("room", ready(&mut *poller)?);
    }
    Ok(())
}

fn bad_samples(host: &dyn Host, record: &mut Record) -> Outcome {
    const BUSY: u32 = 1 << 31;
    const GIVEN_UP: u32 = 1 << 30;
    let host = shared(host);
    for (header, step) in [
        (8, 16),
        (9, 16),
        (9, 24),
        (8, 12),
        (8, 20),
        (4088, 4096),
        (4089, 8192),
        (8192, 16384),
        (8 | BUSY, 16),
        (8 | GIVEN_UP, 16),
        (8 | BUSY | GIVEN_UP, 16),
        (9 | GIVEN_UP, 16),
        (0, 8),
        (u32::MAX >> 2, 8_u64.wrapping_neg()),
        (8, 8_u64.wrapping_neg()),
        (8, 1 << 63),
    ] {
        let map = ring(&host, MapType::UserRingbuf, 4096)?;
        let page = host.page_size();
        let memory = host.map_memory(map.fd(), page as u64, page + 4096, Access::ReadWrite)?;
        let words = memory.writable().ok_or(Stop::Fail("not writable".into()))?;
        let at = |index: usize| words.get(index).ok_or(Stop::Fail("no word".into()));
        at(page / 8)?.store(u64::from(header), std::sync::atomic::Ordering::SeqCst);
        at(0)?.store(step, std::sync::atomic::Ordering::SeqCst);
        let drain = program(&*host, &map, &draining(0))?;
        let key = format!("{header:#x} {step:#x}");
        record.fact(key.clone(), fire(&*host, &drain, 0)?);
        record.fact(key.clone(), fire(&*host, &drain, 0)?);
        let consumer = host.map_memory(map.fd(), 0, page, Access::Read)?;
        let position = consumer
            .long_words()
            .first()
            .map(skep_host::LongWord::acquire);
        record.fact(key, position);
    }
    Ok(())
}

fn perf_array(host: &Arc<dyn Host>) -> Outcome<Arc<Map>> {
    let entries = host.possible_cpus()? as u32;
    let name = name("perf");
    let request = MapCreate::new(MapType::PerfEventArray, &name, 4, 4, entries);
    let fd = host.map_create(&request)?;
    Ok(Arc::new(Map::from_fd(Arc::clone(host), fd)?))
}

/// Sends bytes of the argument.
fn sending(size: u32, flags: u64) -> String {
    let mut stack = String::new();
    for slot in 1..=size.div_ceil(8).max(1) {
        stack.push_str(&format!("*(u64 *)(r10 - {}) = r6\n", slot * 8));
    }
    let from = size.div_ceil(8).max(1) * 8;
    format!(
        "r7 = r1
        r6 = *(u64 *)(r1 + 0)
        {stack}
        r1 = r7
        r2 = map[fd:FD]
        r3 = {flags} ll
        r4 = r10
        r4 += -{from}
        r5 = {size}
        call 25
        exit"
    )
}

const CURRENT: u64 = 0xffff_ffff;

fn perf(host: &dyn Host, record: &mut Record) -> Outcome {
    let host = shared(host);
    let map = perf_array(&host)?;
    let options = PerfOptions {
        pages: 1,
        wakeup: 1,
    };
    let none = program(&*host, &map, &sending(8, CURRENT))?;
    record.fact("nobody reads", fire(&*host, &none, 1)?);
    let mut reader = PerfBuffer::<u64>::new(Arc::clone(&map), options)?;
    let sizes = [1, 4, 5, 8, 12, 13, 64, 256, 500];
    let programs: Vec<_> = sizes
        .iter()
        .map(|size| program(&*host, &map, &sending(*size, CURRENT)))
        .collect::<Result<_, _>>()?;
    for round in 0..30_u64 {
        for (size, one) in sizes.iter().zip(&programs) {
            let answer = fire(&*host, one, 0x0101_0101_0101_0101 * round)?;
            record.fact(format!("round {round} size {size}"), answer);
        }
        // Every third round nobody reads.
        if round % 3 != 0 {
            continue;
        }
        let mut seen = Vec::new();
        let consumed = reader.consume(|cpu, bytes| {
            seen.push((cpu, bytes.len(), bytes.first().copied()));
            ControlFlow::Continue(())
        });
        record.fact("records", seen);
        record.fact("consumed", consumed.records);
        record.fact("lost", reader.lost());
    }
    Ok(())
}

fn perf_wake_ups(host: &dyn Host, record: &mut Record) -> Outcome {
    let host = shared(host);
    for wakeup in [0, 1, 3] {
        let map = perf_array(&host)?;
        let output = host.perf_output(0, 2, wakeup)?;
        let key = 0_u32.to_ne_bytes();
        let value = output.event.raw().to_ne_bytes();
        host.map_update_elem(map.fd(), &key, &value, 0)?;
        let control: Vec<_> = output
            .memory
            .long_words()
            .iter()
            .skip(128)
            .take(4)
            .collect();
        let control: Vec<_> = control.iter().map(|word| word.acquire()).collect();
        record.fact("control", control);
        let mut poller = host.poller()?;
        poller.add(&output.event, 3)?;
        record.fact("nothing", ready(&mut *poller)?);
        let send = program(&*host, &map, &sending(500, CURRENT))?;
        for n in 0..18 {
            record.fact(format!("{wakeup} send {n}"), fire(&*host, &send, n)?);
            record.fact(format!("{wakeup} woken {n}"), ready(&mut *poller)?);
        }
    }
    Ok(())
}

fn perf_arrays(host: &dyn Host, record: &mut Record) -> Outcome {
    let host = shared(host);
    for (key, value, entries) in [(4, 8, 1), (8, 4, 1), (4, 4, 0), (4, 2, 1)] {
        let name = name("perf");
        let request = MapCreate::new(MapType::PerfEventArray, &name, key, value, entries);
        record.done(
            format!("{key} {value} {entries}"),
            &host.map_create(&request),
        );
    }
    let map = perf_array(&host)?;
    let entries = map.max_entries();
    let output = host.perf_output(0, 1, 1)?;
    let event = output.event.raw().to_ne_bytes();
    let set = |index: u32, value: [u8; 4], flags| {
        host.map_update_elem(map.fd(), &index.to_ne_bytes(), &value, flags)
    };
    record.answer("bad", &set(0, (-1_i32).to_ne_bytes(), 0));
    record.answer("a map", &set(0, map.fd().raw().to_ne_bytes(), 0));
    for flags in [1, 2, 3, 4, 8] {
        record.answer(format!("flags {flags}"), &set(0, event, flags));
    }
    record.answer("beyond", &set(entries, event, 0));
    record.answer("set", &set(0, event, 0));
    record.answer("again", &set(0, event, 0));
    let lookup = host.map_lookup_elem(map.fd(), &[0; 4], &mut [0; 4], 0);
    record.answer("lookup", &lookup);
    record.answer("next", &host.map_get_next_key(map.fd(), None, &mut [0; 4]));
    for (what, flags) in [
        ("current", CURRENT),
        ("index", 0),
        ("beyond", 1 << 20),
        ("flags", 1 << 32),
    ] {
        let send = program(&*host, &map, &sending(8, flags))?;
        record.fact(format!("send {what}"), fire(&*host, &send, 0)?);
        let text = format!("r1 = map[fd:FD]\n r2 = {flags} ll\n call 22\n exit");
        let read = program(&*host, &map, &text)?;
        record.fact(format!("read {what}"), fire(&*host, &read, 0)?);
        for size in [24, 16] {
            let text = format!(
                "r1 = map[fd:FD]
                r2 = {flags} ll
                r3 = r10
                r3 += -32
                r4 = {size}
                call 55
                exit"
            );
            let read = program(&*host, &map, &text)?;
            record.fact(format!("read value {what} {size}"), fire(&*host, &read, 0)?);
        }
    }
    record.answer("delete", &host.map_delete_elem(map.fd(), &[0; 4]));
    record.answer("delete again", &host.map_delete_elem(map.fd(), &[0; 4]));
    record.answer(
        "delete beyond",
        &host.map_delete_elem(map.fd(), &entries.to_ne_bytes()),
    );
    Ok(())
}

/// Kernels have it since 6.19: there nothing is shown before.
fn overwriting() -> Outcome {
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

/// The kernel refuses such programs when they are loaded; the machine ends them when they end.
fn given_back() -> Outcome {
    let host = shared(skep_testing::host());
    if host.info().kind == HostKind::Kernel {
        return Ok(());
    }
    let map = ring(&host, MapType::Ringbuf, 4096)?;
    let mut reader = RingBuffer::<[u8]>::new(Arc::clone(&map))?;
    let text = "r1 = map[fd:FD]\n r2 = 8\n r3 = 0\n call 131\n r0 = 0\n exit";
    let leak = program(&*host, &map, text)?;
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
fn many() -> Outcome {
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
fn many_events() -> Outcome {
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
