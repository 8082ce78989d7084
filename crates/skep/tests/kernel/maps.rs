//! Maps by bytes and by type.

use skep::{Error, Update, boundary::Errno};
use skep_testing::{Outcome, Stop, Test, ensure, expect_err};

use crate::{
    loading::{Pair, basics},
    support::{Running, getppid},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("maps::typed_maps_hold_plain_values", typed),
        Test::new("maps::updates_keep_to_their_kind", updates),
        Test::new("maps::per_cpu_values_are_one_a_cpu", per_cpu),
        Test::new("maps::queues_are_popped", queues),
        Test::new("maps::wrong_sizes_and_kinds_are_told", wrong),
        Test::new("maps::types_are_known", types),
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
