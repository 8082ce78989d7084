//! Hash maps against a model, and under several threads. Small and without system calls, so that
//! Miri can run them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{
        AtomicBool, AtomicU64,
        Ordering::{Relaxed, SeqCst},
    },
};

use proptest::prelude::*;
use skep_abi::{MapCreateFlags, MapType};
use skep_host::Errno;

use super::{
    EXIST, Kind, NOEXIST, Shape,
    hash::Hash,
    slab::{Slab, Values},
    table::{self, Table},
};
use crate::memory::View;

fn hash(map_type: MapType, entries: u32, flags: MapCreateFlags) -> Hash {
    let mut shape = Shape::test(map_type, 8, 16, entries);
    shape.flags = flags;
    Hash::new(shape).expect("memory")
}

fn set(map: &dyn Kind, key: u64, value: [u64; 2], flags: u64) -> Result<(), Errno> {
    let mut key = key.to_ne_bytes();
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&value[0].to_ne_bytes());
    bytes[8..].copy_from_slice(&value[1].to_ne_bytes());
    map.update(0, View::of(&mut key), View::of(&mut bytes), flags)
}

fn value(map: &dyn Kind, key: u64) -> Option<[u64; 2]> {
    let mut bytes = [0; 16];
    match map.user_lookup(&key.to_ne_bytes(), &mut bytes, 0) {
        Ok(()) => {
            let half = |at: usize| u64::from_ne_bytes(*bytes[at..].first_chunk().expect("16"));
            Some([half(0), half(8)])
        }
        Err(_) => None,
    }
}

fn keys(map: &dyn Kind) -> BTreeSet<u64> {
    let mut keys = BTreeSet::new();
    let mut at: Option<[u8; 8]> = None;
    let mut next = [0; 8];
    while map
        .user_next_key(at.as_ref().map(|key| &key[..]), &mut next)
        .is_ok()
    {
        assert!(keys.insert(u64::from_ne_bytes(next)), "a key comes twice");
        at = Some(next);
    }
    keys
}

#[derive(Debug, Clone)]
enum Step {
    Set(u64, u64, u64),
    Delete(u64),
    Take(u64),
    Look(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..12_u64;
    prop_oneof![
        (key.clone(), any::<u64>(), 0..3_u64).prop_map(|(k, v, f)| Step::Set(k, v, f)),
        key.clone().prop_map(Step::Delete),
        key.clone().prop_map(Step::Take),
        key.prop_map(Step::Look),
    ]
}

/// What a hash map of these entries answers.
fn model_set(
    model: &mut BTreeMap<u64, u64>,
    entries: usize,
    step: (u64, u64, u64),
) -> Result<(), Errno> {
    let (key, value, flags) = step;
    match model.contains_key(&key) {
        true if flags == NOEXIST => return Err(Errno::EEXIST),
        false if flags == EXIST => return Err(Errno::ENOENT),
        false if model.len() == entries => return Err(Errno::E2BIG),
        _ => model.insert(key, value),
    };
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 256 }) })]

    #[test]
    fn a_hash_map_is_a_map(steps in prop::collection::vec(step(), 1..60), grows in any::<bool>()) {
        let flags = if grows { MapCreateFlags::NO_PREALLOC } else { MapCreateFlags::empty() };
        let map = hash(MapType::Hash, 5, flags);
        let mut model = BTreeMap::new();
        for step in steps {
            match step {
                Step::Set(key, v, flags) => prop_assert_eq!(
                    set(&map, key, [v, !v], flags),
                    model_set(&mut model, 5, (key, v, flags))
                ),
                Step::Delete(key) => prop_assert_eq!(
                    map.user_delete(&key.to_ne_bytes()),
                    model.remove(&key).map(|_| ()).ok_or(Errno::ENOENT)
                ),
                Step::Take(key) => {
                    let mut bytes = [0; 16];
                    let taken = map.user_take(&key.to_ne_bytes(), &mut bytes, 0);
                    let expected = model.remove(&key);
                    prop_assert_eq!(taken, expected.map(|_| ()).ok_or(Errno::ENOENT));
                    if let Some(v) = expected {
                        prop_assert_eq!(&bytes[..8], &v.to_ne_bytes());
                    }
                }
                Step::Look(key) => prop_assert_eq!(
                    value(&map, key),
                    model.get(&key).map(|v| [*v, !*v])
                ),
            }
            prop_assert_eq!(keys(&map), model.keys().copied().collect::<BTreeSet<_>>());
        }
    }

    #[test]
    fn keys_of_every_length_are_told_apart(
        len in 1..40_usize,
        all in prop::collection::btree_set(prop::collection::vec(0..3_u8, 40), 1..20),
    ) {
        let map = Hash::new(Shape::test(MapType::Hash, len as u32, 1, 64)).expect("memory");
        let cut: BTreeSet<&[u8]> = all.iter().map(|key| &key[..len]).collect();
        for (number, key) in cut.iter().enumerate() {
            map.user_update(key, &[number as u8], NOEXIST).expect("a new key");
        }
        for (number, key) in cut.iter().enumerate() {
            let mut value = [0];
            map.user_lookup(key, &mut value, 0).expect("is there");
            prop_assert_eq!(value[0], number as u8);
        }
    }
}

/// Threads that insert, look up and delete: no key is lost, no value is of two updates, and the
/// map is full at its size, not before.
#[test]
fn threads_on_one_hash_map() {
    let rounds = if cfg!(miri) { 40 } else { 20_000 };
    for flags in [MapCreateFlags::empty(), MapCreateFlags::NO_PREALLOC] {
        // A few more than are ever there at once: an insertion never fails.
        let map = hash(MapType::Hash, 3 * 4 + 1, flags);
        set(&map, 999, [7, !7], 0).expect("room");
        let done = AtomicBool::new(false);
        let seen = AtomicU64::new(0);
        std::thread::scope(|scope| {
            let writers: Vec<_> = (0..3_u64)
                .map(|thread| {
                    let map = &map;
                    scope.spawn(move || {
                        for round in 0..rounds {
                            let key = |slot| thread * 100 + (round + slot) % 7;
                            for slot in 0..4 {
                                set(map, key(slot), [round, !round], NOEXIST).expect("room for it");
                            }
                            set(map, 999, [round, !round], EXIST).expect("always there");
                            for slot in 0..4 {
                                assert_eq!(value(map, key(slot)), Some([round, !round]));
                                map.user_delete(&key(slot).to_ne_bytes()).expect("is there");
                            }
                        }
                    })
                })
                .collect();
            let (map, done, seen) = (&map, &done, &seen);
            scope.spawn(move || {
                while !done.load(Relaxed) {
                    let [a, b] = value(map, 999).expect("it is always there");
                    assert_eq!(a, !b, "half of two values");
                    let mut key = 999_u64.to_ne_bytes();
                    assert!(map.lookup(0, View::of(&mut key)).is_some());
                    seen.fetch_add(1, Relaxed);
                    if cfg!(miri) {
                        std::thread::yield_now();
                    }
                }
            });
            for writer in writers {
                writer.join().expect("no panic");
            }
            done.store(true, Relaxed);
        });
        assert_eq!(keys(&map), BTreeSet::from([999]));
        for key in 0..12 {
            set(&map, key, [0, !0], NOEXIST).expect("nothing leaked");
        }
        assert_eq!(set(&map, 12, [0, 0], 0), Err(Errno::E2BIG));
    }
}

#[test]
fn an_lru_map_evicts_what_was_not_used() {
    let map = hash(MapType::LruHash, 8, MapCreateFlags::empty());
    for key in 0..8 {
        set(&map, key, [key, !key], 0).expect("room");
    }
    let keys_there_are = if cfg!(miri) { 20 } else { 100 };
    for key in 8..keys_there_are {
        let mut hot = 0_u64.to_ne_bytes();
        assert!(
            map.lookup(0, View::of(&mut hot)).is_some(),
            "used all the time"
        );
        set(&map, key, [key, !key], 0).expect("evicts");
        assert_eq!(keys(&map).len(), 8);
        assert_eq!(value(&map, key), Some([key, !key]));
    }
}

#[test]
fn threads_on_one_lru_map() {
    let rounds = if cfg!(miri) { 60 } else { 30_000 };
    for flags in [MapCreateFlags::empty(), MapCreateFlags::NO_COMMON_LRU] {
        let map = hash(MapType::LruHash, 16, flags);
        std::thread::scope(|scope| {
            for thread in 0..3_u64 {
                let map = &map;
                scope.spawn(move || {
                    for round in 0..rounds {
                        let key = (round * 7 + thread * 13) % 50;
                        set(map, key, [round, !round], 0).expect("evicts");
                        if let Some([a, b]) = value(map, (key + 3) % 50) {
                            assert_eq!(a, !b);
                        }
                        if round % 5 == 0 {
                            let _ = map.user_delete(&key.to_ne_bytes());
                        }
                    }
                });
            }
        });
        let left = keys(&map);
        assert!(left.len() <= 16, "{left:?}");
        for key in left {
            map.user_delete(&key.to_ne_bytes()).expect("is there");
        }
        assert!(keys(&map).is_empty());
    }
}

#[test]
fn values_of_each_cpu() {
    let map = hash(MapType::PercpuHash, 4, MapCreateFlags::empty());
    set(&map, 1, [5, 6], 0).expect("room");
    let mut all = [1_u8; 32];
    map.user_lookup(&1_u64.to_ne_bytes(), &mut all, 0)
        .expect("there");
    assert_eq!(
        all[..16],
        [[5, 0, 0, 0, 0, 0, 0, 0], [6, 0, 0, 0, 0, 0, 0, 0]].concat()
    );
    assert_eq!(all[16..], [0; 16], "a program sets only its own CPU's");
    let one = super::F_CPU | 1 << 32;
    map.user_update(&1_u64.to_ne_bytes(), &[9; 16], one)
        .expect("one CPU");
    map.user_lookup(&1_u64.to_ne_bytes(), &mut all[..16], one)
        .expect("there");
    assert_eq!(all[..16], [9; 16]);
    let mut key = 1_u64.to_ne_bytes();
    let place = map.lookup(1, View::of(&mut key)).expect("there");
    assert_eq!(place.u8_at(0), Some(9));
    let range = map.region(place.address() + 15).expect("a value's");
    assert_eq!((range.start, range.len), (place.address(), 16));
}

/// Two CPUs write, a number of rounds each, to keys that another thread changes meanwhile, round after
/// round until they are done. A key that is not there is no fault.
fn beside_writers(
    write: impl Fn(u32, u64) -> Result<(), Errno> + Sync,
    change: impl Fn(u64) + Sync,
) {
    let rounds: u64 = if cfg!(miri) { 60 } else { 30_000 };
    let done = AtomicBool::new(false);
    let (write, change, done) = (&write, &change, &done);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..2_u32)
            .map(|cpu| {
                scope.spawn(move || {
                    for round in 0..rounds {
                        let outcome = write(cpu, round);
                        assert!(matches!(outcome, Ok(()) | Err(Errno::ENOENT)));
                    }
                })
            })
            .collect();
        scope.spawn(move || {
            let mut round = 0_u64;
            while !done.load(Relaxed) {
                round += 1;
                change(round);
                if cfg!(miri) {
                    std::thread::yield_now();
                }
            }
        });
        for writer in writers {
            writer.join().expect("no panic");
        }
        done.store(true, Relaxed);
    });
}

/// CPUs write their own values without the bucket's lock, while elements go from key to key.
#[test]
fn cpus_write_beside_each_other() {
    for map_type in [MapType::PercpuHash, MapType::LruPercpuHash] {
        let map = hash(map_type, 8, MapCreateFlags::empty());
        let write = |cpu, round: u64| {
            // Half of a value says whose it is.
            let number = round % 5;
            let mut key = number.to_ne_bytes();
            let mut bytes = [number.to_ne_bytes(), round.to_ne_bytes()].concat();
            map.update(cpu, View::of(&mut key), View::of(&mut bytes), EXIST)
        };
        beside_writers(write, |round| {
            let key = (round % 5).to_ne_bytes();
            let same = [key, 0_u64.to_ne_bytes()].concat();
            let every = same.repeat(2);
            map.user_update(&key, &every, 0).expect("room");
            let mut all = [0; 32];
            map.user_lookup(&key, &mut all, 0)
                .expect("nobody else deletes");
            for value in all.chunks(16) {
                assert_eq!(value[..8], key, "a value of another key");
            }
            map.user_delete(&key).expect("is there");
        });
    }
}

/// Words of a plain map are written in place by several CPUs, while others take the keys out,
/// put them in and replace them.
#[test]
fn words_are_written_in_place() {
    for map_type in [MapType::Hash, MapType::LruHash] {
        // Keys come and go, so elements do from key to key; half of a value says whose it is.
        let map = Hash::new(Shape::test(map_type, 8, 8, 5)).expect("memory");
        let value = |key: u64, round: u64| (key << 32 | round).to_ne_bytes();
        let write = |cpu, round: u64| {
            let number = round % 5;
            let (mut key, mut new) = (number.to_ne_bytes(), value(number, round));
            let (key, new) = (View::of(&mut key), View::of(&mut new));
            match round % 3 {
                0 => map.update(cpu, key, new, EXIST),
                _ => map.update_unseen(cpu, key, new, EXIST),
            }
        };
        beside_writers(write, |round| {
            let number = round % 5;
            let key = number.to_ne_bytes();
            map.user_update(&key, &value(number, 0), 0).expect("room");
            let mut found = [0; 8];
            map.user_lookup(&key, &mut found, 0)
                .expect("nobody else deletes");
            assert_eq!(u64::from_ne_bytes(found) >> 32, number, "of another key");
            match round % 2 {
                0 => map.user_delete(&key).expect("is there"),
                _ => {
                    map.user_take(&key, &mut found, 0).expect("is there");
                    assert_eq!(u64::from_ne_bytes(found) >> 32, number, "of another key");
                }
            }
        });
        assert!(keys(&map).is_empty());
    }
}

/// Who takes elements out waits for who writes in place; the first time that ends the bias.
#[test]
fn nobody_takes_out_what_is_being_written() {
    let shape = Shape::test(MapType::Hash, 8, 8, 4);
    let slab = Slab::new(&shape, table::HEADER, 4, Values::Words, true).expect("memory");
    let table = Table::new(&shape, slab, true).expect("memory");
    let mut bytes = [7; 8];
    let key = table.key(View::of(&mut bytes));
    let element = table.slab.element(0).expect("the first");
    table.set_key(element, key);
    table.hold(key.hash).expect("a bucket").link(element);
    for _ in 0..2 {
        let (writes, alone) = (AtomicBool::new(false), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !writes.load(SeqCst) {
                    std::thread::yield_now();
                }
                let bucket = table.hold(key.hash).expect("a bucket");
                bucket.alone();
                alone.store(true, SeqCst);
            });
            let wrote = table.write_in_place(1, key, |_| {
                writes.store(true, SeqCst);
                for _ in 0..if cfg!(miri) { 100 } else { 10_000 } {
                    assert!(!alone.load(SeqCst), "somebody has it, too");
                    std::thread::yield_now();
                }
            });
            assert!(wrote, "it is there");
        });
        assert!(alone.into_inner());
        let mut bytes = [8; 8];
        let other = table.key(View::of(&mut bytes));
        assert!(!table.write_in_place(1, other, |_| unreachable!("no such key")));
        let held = table.hold(key.hash);
        assert!(!table.write_in_place(1, key, |_| unreachable!("it is held")));
        drop(held);
    }
}

/// What a run wrote in place is what others find, whatever the value's size.
#[test]
#[cfg_attr(
    miri,
    ignore = "it stops at atomic accesses of one place in several sizes"
)]
fn words_of_every_size_are_written_whole() {
    for size in 1..=9_usize {
        let map = Hash::new(Shape::test(MapType::Hash, 4, size as u32, 4)).expect("memory");
        let mut key = [7; 4];
        for fill in 1..4_u8 {
            let mut value = vec![fill; size];
            map.update_unseen(0, View::of(&mut key), View::of(&mut value), 0)
                .expect("room");
            let mut found = vec![0; size];
            map.user_lookup(&key, &mut found, 0).expect("is there");
            assert_eq!(found, [fill].repeat(size));
            let place = map.lookup(1, View::of(&mut key)).expect("is there");
            let range = map.region(place.address()).expect("a value's");
            assert_eq!((range.start, range.len), (place.address(), size as u64));
            assert_eq!(map.region(place.address() + size as u64), None);
        }
    }
}

#[test]
fn a_region_is_one_value() {
    for flags in [MapCreateFlags::empty(), MapCreateFlags::NO_PREALLOC] {
        let map = hash(MapType::Hash, 300, flags);
        for key in 0..300 {
            set(&map, key, [key, 0], 0).expect("room");
        }
        for key in 0..300_u64 {
            let mut bytes = key.to_ne_bytes();
            let place = map.lookup(0, View::of(&mut bytes)).expect("there");
            let range = map.region(place.address()).expect("a value's");
            assert_eq!((range.start, range.len), (place.address(), 16));
            assert_eq!(map.region(place.address() + 15), Some(range));
            assert_eq!(
                map.region(place.address() - 1),
                None,
                "the key is not the program's"
            );
        }
    }
}

/// A prefix of up to 16 bits, as a key of a trie.
fn prefix(bits: u32, data: u16) -> Vec<u8> {
    [&bits.to_ne_bytes()[..], &data.to_be_bytes()].concat()
}

fn covers(prefix: (u32, u16), key: (u32, u16)) -> bool {
    let mask = (0xffff_0000_u32 >> prefix.0) as u16;
    prefix.0 <= key.0 && (prefix.1 ^ key.1) & mask == 0
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 256 }) })]

    #[test]
    fn a_trie_finds_the_longest_prefix(
        steps in prop::collection::vec((0..3_u8, 0..17_u32, prop::sample::select(vec![0_u16, 1, 0x8000, 0xa000, 0xa5a5, 0xffff, 0xfffe])), 1..80),
    ) {
        let map = super::lpm::Trie::new(Shape::test(MapType::LpmTrie, 6, 2, 6)).expect("memory");
        let mut model: BTreeMap<(u32, u16), u16> = BTreeMap::new();
        for (number, (what, bits, data)) in steps.into_iter().enumerate() {
            let masked = data & (0xffff_0000_u32 >> bits) as u16;
            let key = prefix(bits, data);
            match what {
                0 => {
                    let full = model.len() == 6 && !model.contains_key(&(bits, masked));
                    let expected = if full { Err(Errno::ENOSPC) } else { Ok(()) };
                    prop_assert_eq!(map.user_update(&key, &(number as u16).to_ne_bytes(), 0), expected);
                    if !full {
                        model.insert((bits, masked), number as u16);
                    }
                }
                1 => {
                    let expected = model.remove(&(bits, masked)).map(|_| ()).ok_or(Errno::ENOENT);
                    prop_assert_eq!(map.user_delete(&key), expected);
                }
                _ => {
                    let mut value = [0; 2];
                    let found = map.user_lookup(&key, &mut value, 0).ok();
                    let best = model.iter().filter(|(p, _)| covers(**p, (bits, data))).max_by_key(|(p, _)| p.0);
                    prop_assert_eq!(found.map(|()| u16::from_ne_bytes(value)), best.map(|(_, v)| *v));
                }
            }
            let mut seen = Vec::new();
            let mut at: Option<[u8; 6]> = None;
            let mut next = [0; 6];
            while map.user_next_key(at.as_ref().map(|key| &key[..]), &mut next).is_ok() {
                let (bits, data) = (
                    u32::from_ne_bytes(*next.first_chunk().expect("6")),
                    u16::from_be_bytes([next[4], next[5]]),
                );
                seen.push((bits, data & (0xffff_0000_u32 >> bits) as u16));
                at = Some(next);
            }
            for (place, short) in seen.iter().enumerate() {
                prop_assert!(!seen[place + 1..].iter().any(|long| covers(*short, *long)), "longer ones come first");
            }
            seen.sort_unstable();
            prop_assert_eq!(seen, model.keys().copied().collect::<Vec<_>>());
        }
    }
}

#[test]
fn batches_are_whole_buckets() {
    let map = hash(MapType::Hash, 64, MapCreateFlags::empty());
    for key in 0..64 {
        set(&map, key, [key, !key], 0).expect("room");
    }
    for room in [1, 2, 7, 64] {
        let (mut seen, mut position, mut room) = (Vec::new(), 0, room);
        loop {
            let (mut keys, mut values) = (vec![0; 8 * room as usize], vec![0; 16 * room as usize]);
            let mut batch = super::Batch {
                position,
                keys: &mut keys,
                values: &mut values,
                value_size: 16,
                room,
                flags: 0,
                take: room == 64,
                count: 0,
                end: false,
            };
            let answer = map.user_batch(&mut batch).expect("a hash map has batches");
            let (count, end) = (batch.count as usize, batch.end);
            position = batch.position;
            if answer == Err(Errno::ENOSPC) {
                assert_eq!(count, 0);
                room += 1;
                continue;
            }
            answer.expect("a batch");
            for (key, value) in keys.chunks(8).zip(values.chunks(16)).take(count) {
                assert_eq!(key, &value[..8]);
                seen.push(u64::from_ne_bytes(*key.first_chunk().expect("8")));
            }
            if end {
                break;
            }
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..64).collect::<Vec<_>>());
    }
    assert!(keys(&map).is_empty(), "the last batch took them out");
}

/// Prefixes come and go below one that is always there: readers find that or a longer one.
#[test]
fn threads_on_one_trie() {
    let rounds = if cfg!(miri) { 30 } else { 20_000 };
    let map = super::lpm::Trie::new(Shape::test(MapType::LpmTrie, 6, 2, 100)).expect("memory");
    map.user_update(&prefix(4, 0xa000), &[9; 2], 0)
        .expect("room");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..2_u16)
            .map(|thread| {
                let map = &map;
                scope.spawn(move || {
                    for round in 0..rounds {
                        let data = 0xa000 | thread << 8 | (round % 7) as u16;
                        for bits in [8, 12, 16, 14] {
                            let _ = map.user_update(&prefix(bits, data), &[thread as u8; 2], 0);
                        }
                        for bits in [12, 8, 16, 14] {
                            let _ = map.user_delete(&prefix(bits, data));
                        }
                    }
                })
            })
            .collect();
        let (map, done) = (&map, &done);
        scope.spawn(move || {
            while !done.load(Relaxed) {
                for data in [0xa001_u16, 0xa103, 0xafff] {
                    let mut value = [0; 2];
                    map.user_lookup(&prefix(16, data), &mut value, 0)
                        .expect("it is covered");
                    assert!(
                        value[0] == value[1] && matches!(value[0], 0 | 1 | 9),
                        "{value:?}"
                    );
                    let mut key = prefix(16, data);
                    assert!(map.lookup(0, View::of(&mut key)).is_some());
                }
                if cfg!(miri) {
                    std::thread::yield_now();
                }
            }
        });
        for writer in writers {
            writer.join().expect("no panic");
        }
        done.store(true, Relaxed);
    });
    let mut next = [0; 6];
    map.user_next_key(None, &mut next).expect("one is left");
    assert_eq!(next[..4], 4_u32.to_ne_bytes());
    assert_eq!(
        map.user_next_key(Some(&next.clone()), &mut next),
        Err(Errno::ENOENT)
    );
}

/// What is pushed by several threads comes out once.
#[test]
fn threads_on_one_queue() {
    let rounds = if cfg!(miri) { 30_u32 } else { 10_000 };
    for map_type in [MapType::Queue, MapType::Stack] {
        let map = super::queue::Queue::new(Shape::test(map_type, 0, 4, 8)).expect("memory");
        let (map, taken) = (&map, std::sync::Mutex::new(BTreeSet::new()));
        std::thread::scope(|scope| {
            for thread in 0..2_u32 {
                scope.spawn(move || {
                    for round in 0..rounds {
                        let value = (thread << 16 | round).to_ne_bytes();
                        while map.user_update(&[], &value, 0) == Err(Errno::E2BIG) {
                            std::thread::yield_now();
                        }
                    }
                });
                let taken = &taken;
                scope.spawn(move || {
                    for _ in 0..rounds {
                        let mut value = [0; 4];
                        while map.user_take(&[], &mut value, 0) == Err(Errno::ENOENT) {
                            std::thread::yield_now();
                        }
                        let new = taken
                            .lock()
                            .expect("no panic")
                            .insert(u32::from_ne_bytes(value));
                        assert!(new, "it came twice");
                    }
                });
            }
        });
        assert_eq!(
            taken.into_inner().expect("no panic").len(),
            2 * rounds as usize
        );
    }
}
