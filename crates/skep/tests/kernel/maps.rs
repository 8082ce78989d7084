//! Maps by bytes and by type.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use skep::{
    Error, Map, MapSpec, Update,
    abi::{MapCreateFlags, MapType},
    boundary::{Errno, MapBatch},
};
use skep_testing::{Outcome, Stop, Test, ensure, expect_err};

use crate::{
    loading::{Pair, basics},
    support::{Running, getppid, host},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("maps::typed_maps_hold_plain_values", typed),
        Test::new("maps::updates_keep_to_their_kind", updates),
        Test::new("maps::per_cpu_values_are_one_a_cpu", per_cpu),
        Test::new("maps::queues_are_popped", queues),
        Test::new("maps::wrong_sizes_and_kinds_are_told", wrong),
        Test::new("maps::one_that_is_too_large_is_told_how_large", too_large),
        Test::new("maps::types_are_known", types),
        Test::new("maps::walks_see_every_entry_once", walks),
        Test::new("maps::a_drained_map_is_empty", drains),
        Test::new("maps::large_values_are_walked", large),
        Test::new("maps::a_bucket_larger_than_a_batch_is_walked", crowded),
        Test::new("maps::a_batch_says_where_it_stopped", partial),
        Test::new("maps::what_stays_is_seen_while_others_change", changing),
    ]
}

fn typed() -> Outcome {
    let running = Running::of(basics()?)?;
    let map = running.loaded.map("table")?;
    let table = map.typed::<u32, Pair>()?;
    ensure(table.get(&1)?.is_none(), || "an entry unasked".into())?;
    for key in 0..10 {
        let pair = Pair {
            calls: u64::from(key) * 3,
            ..Pair::default()
        };
        table.set(&key, &pair, Update::Any)?;
    }
    let mut found: Vec<(u32, Pair)> = table.iter().collect::<Result<_, _>>()?;
    found.sort_by_key(|(key, _)| *key);
    let right = found.len() == 10
        && found
            .iter()
            .all(|(key, pair)| pair.calls == u64::from(*key) * 3);
    ensure(right, || format!("{found:?}"))?;
    ensure(table.remove(&4)? && !table.remove(&4)?, || {
        "removing".into()
    })?;
    ensure(map.keys().count() == 9, || "nine keys".into())
}

fn too_large() -> Outcome {
    let spec = MapSpec::new(MapType::Hash, "vast", 4, 8, u32::MAX);
    let error = expect_err("4 billion entries", Map::create(host(), &spec))?;
    let cause = error.cause().map(ToString::to_string).unwrap_or_default();
    let fix = error.fix().unwrap_or_default();
    let ours = cause.contains("4294967295 entries with keys of 4 and values of 8 bytes")
        && fix.contains("--map-size vast=");
    // Some kernels say it themselves.
    ensure(ours || cause.starts_with("the kernel says: "), || {
        format!("{error}; {cause}; {fix}")
    })
}

fn updates() -> Outcome {
    let running = Running::of(basics()?)?;
    let map = running.loaded.map("table")?;
    let table = map.typed::<u32, Pair>()?;
    let errno = |error: Error| match error {
        Error::Host(error) => error.errno(),
        _ => None,
    };
    let absent = expect_err("absent", table.set(&1, &Pair::default(), Update::Existing))?;
    ensure(errno(absent) == Some(Errno::ENOENT), || "not ENOENT".into())?;
    table.set(&1, &Pair::default(), Update::New)?;
    let present = expect_err("present", table.set(&1, &Pair::default(), Update::New))?;
    ensure(errno(present) == Some(Errno::EEXIST), || {
        "not EEXIST".into()
    })
}

fn per_cpu() -> Outcome {
    let running = Running::of(basics()?)?;
    let map = running.loaded.map("per_cpu")?;
    let counts = map.per_cpu::<u32, u32>()?;
    let cpus = skep_testing::host().possible_cpus()?;
    let start: Vec<u32> = (0..cpus as u32).map(|cpu| cpu * 1_000).collect();
    counts.set(&1, &start, Update::Any)?;
    ensure(counts.get(&1)?.as_ref() == Some(&start), || "as set".into())?;
    let links = running.loaded.attach_all()?;
    (0..5).for_each(|_| getppid());
    drop(links);
    let now = counts.get(&1)?.unwrap_or_default();
    let more: u32 = now.iter().sum::<u32>() - start.iter().sum::<u32>();
    ensure(now.len() == cpus && more == 5, || format!("{now:?}"))?;
    let all: Vec<(u32, Vec<u32>)> = counts.iter().collect::<Result<_, _>>()?;
    let right = all.len() == 2 && all.iter().all(|(key, v)| v.len() == cpus && *key < 2);
    ensure(right, || format!("{all:?}"))
}

fn queues() -> Outcome {
    let running = Running::of(basics()?)?;
    let map = running.loaded.map("queue")?;
    for number in 1..=3_u64 {
        map.update(&[], &number.to_ne_bytes(), Update::Any)?;
    }
    for number in 1..=3_u64 {
        let value = map.pop()?;
        let right = value.as_deref() == Some(&number.to_ne_bytes()[..]);
        ensure(right, || format!("{value:?}"))?;
    }
    ensure(map.pop()?.is_none(), || "more than was put in".into())
}

fn wrong() -> Outcome {
    let running = Running::of(basics()?)?;
    let check = |what: &str, error: Option<Error>, part: &str| {
        let text = error.map(|error| error.to_string()).unwrap_or_default();
        ensure(text.contains(part), || format!("{what}: {text}"))
    };
    let (table, per_cpu) = (running.loaded.map("table")?, running.loaded.map("per_cpu")?);
    let key = table.lookup(&[0; 8]).err();
    check(
        "a long key",
        key,
        "`table`: the key is 8 bytes, and the map's is 4",
    )?;
    let value = table.update(&[0; 4], &[0; 4], Update::Any).err();
    check("a short value", value, "the value is 4 bytes")?;
    check(
        "sizes",
        table.typed::<u32, u8>().err(),
        "the value is 1 bytes",
    )?;
    check("kind", per_cpu.typed::<u32, u32>().err(), "use `per_cpu`")?;
    check("kind", table.per_cpu::<u32, Pair>().err(), "use `typed`")?;
    let few = per_cpu.per_cpu::<u32, u32>()?;
    check(
        "few",
        few.set(&0, &[], Update::Any).err(),
        "the value is 0 bytes",
    )?;
    let ring = skep::RingBuffer::<[u8]>::new(table).err();
    check("a ring", ring, "not ringbuf")
}

fn types() -> Outcome {
    let running = Running::of(basics()?)?;
    let map = running.loaded.map("table")?;
    let types = map.types().ok_or_else(|| Stop::fail("no types"))?;
    let value = types.btf.type_by_id(types.value)?.name();
    let key = types.btf.type_by_id(types.key)?.name();
    ensure((key, value) == ("__u32", "pair"), || {
        format!("{key}, {value}")
    })?;
    // The kernel has them too, so that other tools can print the map.
    let info = map.info()?;
    ensure(info.btf_id != 0 && info.value_type != 0, || {
        format!("{info:?}")
    })
}

fn many(kind: MapType, count: u32) -> Outcome<Map> {
    let flags = match kind {
        MapType::LpmTrie => MapCreateFlags::NO_PREALLOC,
        _ => MapCreateFlags::empty(),
    };
    let spec = MapSpec::new(kind, "many", 4, 8, count).flags(flags);
    Ok(Map::create(host(), &spec)?)
}

fn walks() -> Outcome {
    // More than a batch, and none that a batch divides.
    const COUNT: u32 = 5_003;
    for kind in [MapType::Hash, MapType::LruHash, MapType::Array] {
        let room = if kind == MapType::LruHash {
            4 * COUNT
        } else {
            COUNT
        };
        let map = many(kind, room)?;
        let table = map.typed::<u32, u64>()?;
        let keys: Vec<u32> = (0..COUNT).collect();
        let values: Vec<u64> = keys.iter().map(|key| u64::from(*key) * 3).collect();
        table.set_many(&keys, &values, Update::Any)?;
        let mut found: Vec<(u32, u64)> = table.iter().collect::<Result<_, _>>()?;
        found.retain(|(key, _)| *key < COUNT);
        found.sort_unstable();
        let right = found.iter().copied().eq(keys.iter().copied().zip(values));
        ensure(right, || format!("{kind}: {} entries", found.len()))?;
        let mut keys: Vec<u32> = map
            .keys()
            .map(|key| key.map(|key| key.try_into().map_or(0, u32::from_ne_bytes)))
            .collect::<Result<_, _>>()?;
        keys.retain(|key| *key < COUNT);
        keys.sort_unstable();
        ensure(keys.iter().copied().eq(0..COUNT), || {
            format!("{kind}: keys")
        })?;
    }
    Ok(())
}

fn drains() -> Outcome {
    let map = many(MapType::Hash, 5_000)?;
    let table = map.typed::<u32, u64>()?;
    let keys: Vec<u32> = (0..3_000).collect();
    table.set_many(&keys, &vec![1; 3_000], Update::New)?;
    let sum: u64 = table
        .drain()
        .map(|entry| entry.map(|(_, value)| value))
        .sum::<Result<_, _>>()?;
    ensure(sum == 3_000 && table.iter().next().is_none(), || {
        format!("{sum}, and more are left")
    })?;
    let error = expect_err(
        "an array",
        many(MapType::Array, 4)?.drain().next().map(drop),
    )?;
    ensure(error.to_string().contains("MAP_"), || error.to_string())
}

/// Values so large that a batch holds few of them.
fn large() -> Outcome {
    let map = Map::create(host(), &MapSpec::new(MapType::Hash, "large", 4, 4_000, 600))?;
    let keys: Vec<u32> = (0..600).collect();
    let values = vec![7_u8; 600 * 4_000];
    map.update_batch(
        zerocopy::IntoBytes::as_bytes(&keys[..]),
        &values,
        Update::Any,
    )?;
    let mut walk = map.walk();
    let mut seen = 0;
    while let Some((_, value)) = walk.next()? {
        ensure(value.iter().all(|byte| *byte == 7), || "torn".into())?;
        seen += 1;
    }
    ensure(seen == 600, || format!("{seen}"))
}

/// Where the kernel's hash maps put a key of 4 bytes when their seed is 0: Bob Jenkins' lookup3.
fn bucket(key: u32, buckets: u32) -> u32 {
    let start = 0xdead_beef_u32.wrapping_add(4);
    let (mut a, mut b, mut c) = (start.wrapping_add(key), start, start);
    for (round, left) in [14, 11, 25, 16, 4, 14, 24].into_iter().enumerate() {
        let (to, from) = match round % 3 {
            0 => (&mut c, b),
            1 => (&mut a, c),
            _ => (&mut b, a),
        };
        *to = (*to ^ from).wrapping_sub(from.rotate_left(left));
    }
    c & (buckets - 1)
}

fn crowded() -> Outcome {
    // A batch holds 16 such values at first, and one bucket has 40.
    const SIZE: u32 = 32 * 1024;
    let spec = MapSpec::new(MapType::Hash, "crowded", 4, SIZE, 64).flags(MapCreateFlags::ZERO_SEED);
    let map = Map::create(host(), &spec)?;
    let keys: Vec<u32> = (0..).filter(|key| bucket(*key, 64) == 5).take(40).collect();
    for key in &keys {
        map.update(
            &key.to_ne_bytes(),
            &vec![*key as u8; SIZE as usize],
            Update::Any,
        )?;
    }
    let mut walk = map.walk();
    let mut seen = Vec::new();
    while let Some((key, value)) = walk.next()? {
        let key = key.try_into().map_or(0, u32::from_ne_bytes);
        ensure(value.iter().all(|byte| *byte == key as u8), || {
            format!("{key}: torn")
        })?;
        seen.push(key);
    }
    seen.sort_unstable();
    ensure(seen == keys, || format!("{seen:?}, not {keys:?}"))?;
    // They are in one bucket indeed: too small a batch gets none of them.
    let (mut next, mut found, mut values) = ([0; 4], [0; 4 * 39], vec![0; 39 * SIZE as usize]);
    let batch = &mut MapBatch {
        position: None,
        next_position: &mut next,
        keys: &mut found,
        values: &mut values,
        count: 39,
        element_flags: 0,
    };
    let error = expect_err(
        "39 of 40",
        host().boundary().map_lookup_batch(map.fd(), batch),
    )?;
    ensure(error.errno() == Some(Errno::ENOSPC), || error.to_string())
}

fn partial() -> Outcome {
    let map = many(MapType::Hash, 10)?;
    let table = map.typed::<u32, u64>()?;
    // The eleventh finds no room, though per-CPU free lists may hold a few more.
    let keys: Vec<u32> = (0..1_000).collect();
    let error = expect_err(
        "a full map",
        table.set_many(&keys, &vec![0; 1_000], Update::Any),
    )?;
    let Error::Entry { index, error } = error else {
        return Err(Stop::fail(format!("{error}")));
    };
    let there = map.keys().count();
    ensure(
        error.errno() == Some(Errno::E2BIG) && there == index && index >= 10,
        || format!("entry {index} of {there}: {error}"),
    )?;
    // One by one: the kernel's batches know no such condition before 7.x.
    let error = expect_err(
        "keys there",
        table.set_many(&[500, 3, 501], &[0; 3], Update::New),
    )?;
    ensure(matches!(error, Error::Entry { .. }), || error.to_string())?;
    // Keys that are not there are passed over.
    let removed = table.remove_many(&[0, 700, 1, 701, 702, 2])?;
    ensure(removed == 3 && map.keys().count() == there - 3, || {
        format!("{removed} removed")
    })?;
    let error = expect_err("half a key", map.delete_batch(&[0; 6]))?.to_string();
    ensure(error.contains("no multiple of 4"), || error.clone())
}

fn changing() -> Outcome {
    let map = Arc::new(many(MapType::Hash, 4_096)?);
    let table = map.typed::<u32, u64>()?;
    let fixed: Vec<u32> = (0..1_000).collect();
    table.set_many(&fixed, &vec![1; 1_000], Update::Any)?;
    let stop = Arc::new(AtomicBool::new(false));
    let writer = {
        let (map, stop) = (Arc::clone(&map), Arc::clone(&stop));
        std::thread::spawn(move || -> Result<(), Error> {
            let table = map.typed::<u32, u64>()?;
            let mut key = 0;
            while !stop.load(Ordering::Relaxed) {
                key = (key + 1) % 2_000;
                table.set(&(10_000 + key), &2, Update::Any)?;
                table.remove(&(10_000 + (key + 1_000) % 2_000))?;
            }
            Ok(())
        })
    };
    let walked = (0..50).try_for_each(|_| {
        let mut seen: Vec<u32> = Vec::new();
        for entry in table.iter() {
            let (key, value) = entry?;
            ensure(value == if key < 1_000 { 1 } else { 2 }, || {
                format!("{key}: {value}")
            })?;
            seen.push(key);
        }
        seen.retain(|key| *key < 1_000);
        seen.sort_unstable();
        ensure(seen == fixed, || {
            format!("{} of the fixed ones", seen.len())
        })
    });
    stop.store(true, Ordering::Relaxed);
    writer.join().map_err(|_| Stop::fail("it fell"))??;
    walked
}
