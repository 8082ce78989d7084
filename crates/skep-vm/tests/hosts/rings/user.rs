//! Rings that users write and programs drain.

use std::sync::Arc;

use skep::UserRingBuffer;
use skep_abi::MapType;
use skep_host::{Access, Host};
use skep_testing::{Outcome, Stop};

use super::{fire, program, ready, ring, shared};
use crate::support::Record;

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

pub(super) fn user_rings(host: &dyn Host, record: &mut Record) -> Outcome {
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

pub(super) fn bad_samples(host: &dyn Host, record: &mut Record) -> Outcome {
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
