//! Perf event arrays, and buffers on them.

use std::{ops::ControlFlow, sync::Arc};

use skep::{Map, PerfBuffer, PerfOptions};
use skep_abi::MapType;
use skep_host::{Host, MapCreate};
use skep_testing::Outcome;

use super::{fire, program, ready, shared};
use crate::support::{Record, name};

pub(super) fn perf_array(host: &Arc<dyn Host>) -> Outcome<Arc<Map>> {
    let entries = host.possible_cpus()? as u32;
    let name = name("perf");
    let request = MapCreate::new(MapType::PerfEventArray, &name, 4, 4, entries);
    let fd = host.map_create(&request)?;
    Ok(Arc::new(Map::from_fd(Arc::clone(host), fd)?))
}

/// Sends bytes of the argument.
pub(super) fn sending(size: u32, flags: u64) -> String {
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

pub(super) const CURRENT: u64 = 0xffff_ffff;

pub(super) fn perf(host: &dyn Host, record: &mut Record) -> Outcome {
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

pub(super) fn perf_wake_ups(host: &dyn Host, record: &mut Record) -> Outcome {
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

pub(super) fn perf_arrays(host: &dyn Host, record: &mut Record) -> Outcome {
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
