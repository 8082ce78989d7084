//! Rings: the same programs write to them on both hosts, and the readers of `skep` read them.

mod many;
mod perf;
mod user;

use std::{collections::BTreeSet, ops::ControlFlow, sync::Arc, time::Duration};

use skep::{Map, RingBuffer};
use skep_abi::{MapType, ProgramType, TestRunFlags};
use skep_btf::{Builder, FunctionLinkage, IntEncoding};
use skep_host::{
    Access, BtfLoad, Host, HostKind, LogLevel, MapCreate, ProgramBtf, ProgramFd, ProgramLoad,
    TestRun,
};
use skep_isa::{RawInsn, assemble};
use skep_testing::{Outcome, Stop, Test};

use crate::support::{Record, agree, name};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("rings::elements_and_mappings_answer_alike", || agree(rules)),
        Test::new("rings::records_are_alike", || agree(records)),
        Test::new("rings::a_full_ring_answers_alike", || agree(full)),
        Test::new("rings::wake_ups_are_alike", || agree(wake_ups)),
        Test::new("rings::dynptrs_are_alike", || agree(dynptrs)),
        Test::new("rings::user_rings_are_alike", || agree(user::user_rings)),
        Test::new("rings::bad_user_samples_answer_alike", || {
            agree(user::bad_samples)
        }),
        Test::new("rings::perf_records_are_alike", || agree(perf::perf)),
        Test::new("rings::perf_wake_ups_are_alike", || {
            agree(perf::perf_wake_ups)
        }),
        Test::new("rings::perf_arrays_answer_alike", || {
            agree(perf::perf_arrays)
        }),
        Test::new("rings::old_records_are_overwritten", many::overwriting),
        Test::new("rings::runs_give_records_back", many::given_back),
        Test::new("rings::many_write_and_one_waits", many::many),
        Test::new("rings::many_send_and_one_waits", many::many_events),
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
        (16_u64, 0_u64, "call 199"),
        (16, 0, "call 200"),
        (16, 1, "call 199"),
        (4096, 0, "call 199"),
        (1 << 24, 0, "call 199"),
        (1, 0, "call 199"),
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
            {commit}
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
