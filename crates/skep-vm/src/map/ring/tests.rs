//! Positions, headers and wake-ups of rings, and several producers at once.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use super::*;
use crate::map::signal::Listener;

fn shape(map_type: MapType, size: u32, flags: MapCreateFlags) -> Shape {
    Shape {
        flags,
        ..Shape::test(map_type, 0, 0, size)
    }
}

fn ring(size: u32) -> Ring {
    Ring::new(&shape(MapType::Ringbuf, size, MapCreateFlags::empty())).expect("a ring")
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Listener for Count {
    fn woken(&self) {
        self.0.fetch_add(1, SeqCst);
    }
}

fn put(ring: &Ring, bytes: &[u8], flags: RingbufFlags) -> bool {
    let Some(record) = ring.reserve(bytes.len() as u64) else {
        return false;
    };
    record.write(bytes);
    ring.commit(record.address(), false, flags);
    true
}

/// Reads as a reader in user space does: headers, then one position store.
fn take(ring: &Ring) -> Vec<Vec<u8>> {
    let mut position = ring.pages.consumer().load(Acquire);
    let mut records = Vec::new();
    while position != ring.pages.producer().load(Acquire) {
        let header = ring.header_at(position);
        if header & BUSY != 0 {
            break;
        }
        if header & DISCARD == 0 {
            let bytes = ring.pages.data(position + HEADER, u64::from(header));
            records.push(bytes.expect("a whole record").to_vec());
        }
        position += stride(header);
    }
    ring.pages.consumer().store(position, Release);
    records
}

#[test]
fn it_is_never_quite_full() {
    let ring = ring(4096);
    assert!(ring.reserve(4096 - 8).is_none(), "all of it");
    let largest = ring.reserve(4096 - 16).expect("all but 8 bytes");
    ring.commit(largest.address(), false, RingbufFlags::empty());
    assert!(ring.reserve(0).is_none());
    assert_eq!(take(&ring).len(), 1);
    assert!(ring.reserve(0).is_some());
}

#[test]
fn a_busy_record_holds_up_those_behind_it() {
    let ring = ring(4096);
    let first = ring.reserve(8).expect("room");
    assert!(put(&ring, b"second", RingbufFlags::empty()));
    assert!(take(&ring).is_empty());
    ring.commit(first.address(), true, RingbufFlags::empty());
    assert_eq!(take(&ring), [b"second"]);
}

#[test]
fn records_wrap_in_one_piece() {
    let ring = ring(4096);
    for round in 0..64_u8 {
        let record = [round; 1000];
        assert!(put(&ring, &record, RingbufFlags::empty()));
        assert_eq!(take(&ring), [record]);
    }
}

#[test]
fn the_reader_is_woken_when_it_has_caught_up() {
    let ring = ring(4096);
    let count = Arc::new(Count::default());
    let listener: Arc<dyn Listener> = count.clone();
    ring.signal.listen(&listener);
    let woken = |flags| {
        let before = count.0.load(SeqCst);
        put(&ring, b"record", flags);
        count.0.load(SeqCst) - before
    };
    assert_eq!(woken(RingbufFlags::empty()), 1);
    assert_eq!(woken(RingbufFlags::empty()), 0, "the first is not read");
    assert_eq!(woken(RingbufFlags::FORCE_WAKEUP), 1);
    take(&ring);
    assert_eq!(woken(RingbufFlags::NO_WAKEUP), 0);
    take(&ring);
    assert_eq!(woken(RingbufFlags::empty()), 1);
}

#[test]
fn the_oldest_are_overwritten() {
    let shape = shape(MapType::Ringbuf, 4096, MapCreateFlags::RB_OVERWRITE);
    let ring = Ring::new(&shape).expect("a ring");
    for n in 0..20_u64 {
        assert!(put(&ring, &[n as u8; 504], RingbufFlags::empty()));
    }
    // Seven records of 512 bytes and less than an eighth fit.
    assert_eq!(ring.query(4), 13 * 512);
    assert_eq!(ring.query(0), 7 * 512);
    let held = ring.reserve(504).expect("room");
    for _ in 0..6 {
        assert!(put(&ring, &[0; 504], RingbufFlags::empty()));
    }
    assert!(ring.reserve(504).is_none(), "one that is busy stays");
    ring.commit(held.address(), false, RingbufFlags::empty());
    assert!(ring.reserve(504).is_some());
}

#[test]
fn users_write_the_consumers_page_only() {
    let ring = ring(8192);
    let map = |offset: usize, len, access| ring.mappable(offset as u64, len, access).map(View::len);
    assert_eq!(map(0, PAGE, Access::ReadWrite), Ok(PAGE));
    assert_eq!(map(0, 2 * PAGE, Access::ReadWrite), Err(Errno::EPERM));
    assert_eq!(map(PAGE, PAGE, Access::ReadWrite), Err(Errno::EPERM));
    assert_eq!(
        map(PAGE, PAGE + 2 * 8192, Access::Read),
        Ok(PAGE + 2 * 8192)
    );
    assert_eq!(
        map(PAGE, 2 * PAGE + 2 * 8192, Access::Read),
        Err(Errno::EINVAL)
    );
}

#[test]
fn several_producers_and_one_reader() {
    const PRODUCERS: u64 = 4;
    const RECORDS: u64 = if cfg!(miri) { 50 } else { 20_000 };
    let ring = ring(8192);
    let done = AtomicBool::new(false);
    let (lost, got) = thread::scope(|scope| {
        let producers: Vec<_> = (0..PRODUCERS)
            .map(|producer| {
                let ring = &ring;
                scope.spawn(move || {
                    let mut lost = 0_u64;
                    for n in 0..RECORDS {
                        let bytes = [producer.to_ne_bytes(), n.to_ne_bytes()].concat();
                        let Some(record) = ring.reserve(16) else {
                            lost += 1;
                            continue;
                        };
                        record.write(&bytes);
                        let flags = RingbufFlags::empty();
                        ring.commit(record.address(), n % 7 == 0, flags);
                    }
                    lost
                })
            })
            .collect();
        let reader = scope.spawn(|| {
            let mut got = Vec::new();
            while !done.load(SeqCst) {
                got.extend(take(&ring));
            }
            got.extend(take(&ring));
            got
        });
        let lost: u64 = producers
            .into_iter()
            .map(|producer| producer.join().expect("no panic"))
            .sum();
        done.store(true, SeqCst);
        (lost, reader.join().expect("no panic"))
    });
    let mut last = BTreeMap::new();
    for record in &got {
        let word = |at: usize| {
            let bytes = record.get(at..at + 8).expect("16 bytes");
            u64::from_ne_bytes(bytes.try_into().expect("8 bytes"))
        };
        let (producer, n) = (word(0), word(8));
        assert_ne!(n % 7, 0, "discarded");
        let before = last.insert(producer, n);
        assert!(before.is_none_or(|before| before < n), "in order");
    }
    let kept: u64 = PRODUCERS * (0..RECORDS).filter(|n| n % 7 != 0).count() as u64;
    assert!(got.len() as u64 <= kept && got.len() as u64 + lost >= kept);
}

fn user_ring(size: u32) -> UserRing {
    let shape = shape(MapType::UserRingbuf, size, MapCreateFlags::empty());
    UserRing::new(&shape).expect("a ring")
}

/// Writes a header at the producer's position and moves it by `step`.
fn advertise(ring: &UserRing, header: u32, step: u64) {
    let position = ring.pages.producer().load(Acquire);
    let place = ring.pages.data(position, HEADER).expect("inside");
    place.set_u32(0, header);
    ring.pages.producer().store(position + step, Release);
}

#[test]
fn samples_of_users_are_checked() {
    let drained = |header, step| {
        let ring = user_ring(4096);
        advertise(&ring, header, step);
        let mut drain = ring.drain(0).expect("nobody else");
        let found = drain.next();
        found.map(|sample| sample.map(|sample| sample.bytes.len()))
    };
    assert_eq!(drained(8, 16), Ok(Some(8)));
    assert_eq!(drained(9, 24), Ok(Some(9)));
    assert_eq!(drained(8, 12), Err(Errno::EINVAL), "not aligned");
    assert_eq!(drained(9, 16), Err(Errno::EINVAL), "beyond the position");
    assert_eq!(drained(4096, 8192), Err(Errno::E2BIG));
    assert_eq!(drained(8 | BUSY, 16), Ok(None));
    assert_eq!(drained(8 | DISCARD, 16), Ok(None));
    assert_eq!(drained(u32::MAX, 8_u64.wrapping_neg()), Err(Errno::E2BIG));
    let ring = user_ring(4096);
    let _first = ring.drain(0).expect("nobody else");
    assert_eq!(ring.drain(0).map(|_| ()), Err(Errno::EBUSY));
    assert_eq!(ring.drain(4).map(|_| ()), Err(Errno::EINVAL));
}
