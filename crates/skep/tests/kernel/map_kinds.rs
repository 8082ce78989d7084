//! Views of the kinds of maps that are more than a table.

use std::{
    fs::File,
    net::{IpAddr, Ipv4Addr, UdpSocket},
};

use skep::{
    Error, LpmKey, Map, MapSpec, Update,
    abi::{MapCreateFlags, MapType},
    boundary::Errno,
};
use skep_testing::{Cgroup, Outcome, Stop, Test, ensure, expect_err, needs_kernel};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::support::{Running, getppid, host, object};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("map_kinds::queues_and_stacks_push_pop_and_peek", queues),
        Test::new("map_kinds::a_bloom_filter_has_what_was_put_in", bloom),
        Test::new("map_kinds::the_longest_prefix_wins", lpm),
        Test::new("map_kinds::maps_hold_maps", inner),
        Test::new("map_kinds::slots_hold_sockets_and_cgroups", files),
        Test::new("map_kinds::locked_values_are_whole", locked),
        Test::new("map_kinds::storage_belongs_to_its_owner", storage),
        Test::new("map_kinds::mapped_arrays_are_shared", mapped),
        Test::new("map_kinds::globals_live", globals),
        Test::new("map_kinds::a_stack_is_read_by_its_id", stack),
        Test::new("map_kinds::frozen_maps_take_no_writes", frozen),
        Test::new("map_kinds::maps_are_opened_by_id", by_id),
        Test::new("map_kinds::one_cpus_value_is_read_alone", one_cpu),
        Test::new("map_kinds::the_wrong_view_names_the_right_one", wrong_views),
    ]
}

fn make(spec: &MapSpec<'_>) -> Outcome<Map> {
    Ok(Map::create(host(), spec)?)
}

fn kinds() -> Outcome<Running> {
    needs_kernel(6, 2)?; // cgroup storage
    Running::of(object("kinds")?)
}

fn errno(error: &Error) -> Option<Errno> {
    match error {
        Error::Host(error) => error.errno(),
        _ => None,
    }
}

fn queues() -> Outcome {
    let map = make(&MapSpec::new(MapType::Queue, "queue", 0, 4, 3))?;
    let queue = map.queue::<u32>()?;
    ensure(queue.peek()?.is_none() && queue.pop()?.is_none(), || {
        "not empty".into()
    })?;
    for number in 1..=3 {
        queue.push(&number)?;
    }
    let full = expect_err("a fourth", queue.push(&4))?;
    ensure(errno(&full) == Some(Errno::E2BIG), || full.to_string())?;
    queue.push_over_oldest(&4)?;
    let got = (
        queue.peek()?,
        queue.pop()?,
        queue.pop()?,
        queue.pop()?,
        queue.pop()?,
    );
    ensure(got == (Some(2), Some(2), Some(3), Some(4), None), || {
        format!("{got:?}")
    })?;
    let map = make(&MapSpec::new(MapType::Stack, "stack", 0, 4, 3))?;
    let stack = map.queue::<u32>()?;
    stack.push(&1)?;
    stack.push(&2)?;
    let got = (stack.pop()?, stack.pop()?);
    ensure(got == (Some(2), Some(1)), || format!("{got:?}"))
}

fn bloom() -> Outcome {
    needs_kernel(5, 16)?;
    let map = make(&MapSpec::new(MapType::BloomFilter, "bloom", 0, 8, 1000).extra(3))?;
    let bloom = map.bloom::<u64>()?;
    (0..100).try_for_each(|number| bloom.insert(&number))?;
    for number in 0..100 {
        ensure(bloom.contains(&number)?, || format!("{number} is not in"))?;
    }
    let mut wrong = 0;
    for number in 1_000..2_000 {
        wrong += u32::from(bloom.contains(&number)?);
    }
    ensure(wrong < 100, || format!("{wrong} of 1000 are in"))
}

fn lpm() -> Outcome {
    let spec = MapSpec::new(MapType::LpmTrie, "nets", 8, 4, 16).flags(MapCreateFlags::NO_PREALLOC);
    let map = make(&spec)?;
    let nets = map.typed::<LpmKey<4>, u32>()?;
    let ip = |text: &str| text.parse::<Ipv4Addr>().unwrap_or(Ipv4Addr::UNSPECIFIED);
    for (address, len, number) in [("10.0.0.0", 8, 1), ("10.1.0.0", 16, 2), ("0.0.0.0", 0, 3)] {
        nets.set(&LpmKey::from((ip(address), len)), &number, Update::New)?;
    }
    for (address, number) in [("10.1.2.3", 2), ("10.2.3.4", 1), ("192.0.2.1", 3)] {
        let found = nets.get(&LpmKey::from(ip(address)))?;
        ensure(found == Some(number), || format!("{address}: {found:?}"))?;
    }
    let all: Vec<(LpmKey<4>, u32)> = nets.iter().collect::<Result<_, _>>()?;
    let prefixes: u32 = all.iter().map(|(key, _)| key.prefix_len()).sum();
    ensure((all.len(), prefixes) == (3, 24), || format!("{all:?}"))?;
    ensure(
        LpmKey::<16>::from_ip(IpAddr::V4(ip("::")), 0).is_none(),
        || "an IPv4 address in 16 bytes".into(),
    )
}

fn inner() -> Outcome {
    let array = MapSpec::new(MapType::Array, "inner", 4, 8, 2);
    let (first, second) = (make(&array)?, make(&array)?);
    let spec = MapSpec::new(MapType::HashOfMaps, "outer", 4, 4, 4).inner(&first);
    let outer = make(&spec)?;
    let slots = outer.slots::<u32>()?;
    slots.set_map(&1, &first, Update::New)?;
    slots.set_map(&2, &second, Update::New)?;
    second.typed::<u32, u64>()?.set(&0, &77, Update::Any)?;
    drop(second);
    let found = slots.inner(&2)?.ok_or_else(|| Stop::fail("no inner map"))?;
    let value = found.typed::<u32, u64>()?.get(&0)?;
    ensure(value == Some(77) && slots.inner(&3)?.is_none(), || {
        format!("{value:?}")
    })?;
    let ids: Vec<u32> = outer
        .entries()
        .map(|entry| entry.map(|(_, id)| id.try_into().map_or(0, u32::from_ne_bytes)))
        .collect::<Result<_, _>>()?;
    ensure(ids.contains(&found.info()?.id) && ids.len() == 2, || {
        format!("{ids:?}")
    })?;
    ensure(slots.remove(&1)? && !slots.remove(&1)?, || {
        "removing".into()
    })?;
    let other = make(&MapSpec::new(MapType::Array, "other", 4, 4, 2))?;
    let error = expect_err("another shape", slots.set_map(&3, &other, Update::Any))?;
    ensure(errno(&error) == Some(Errno::EINVAL), || error.to_string())
}

fn files() -> Outcome {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let map = make(&MapSpec::new(MapType::Sockmap, "sockets", 4, 8, 2))?;
    let slots = map.slots::<u32>()?;
    slots.set_file(&1, &socket, Update::Any)?;
    let cookie = slots.id(&1)?;
    ensure(cookie.is_some_and(|cookie| cookie != 0), || {
        format!("{cookie:?}")
    })?;
    ensure(slots.id(&0)?.is_none(), || "an empty slot".into())?;
    let file = File::open("/proc/self/stat")?;
    expect_err("no socket", slots.set_file(&0, &file, Update::Any))?;
    let cgroup = Cgroup::new()?;
    let map = make(&MapSpec::new(MapType::CgroupArray, "groups", 4, 4, 2))?;
    let slots = map.slots::<u32>()?;
    slots.set_file(&0, File::open(cgroup.path())?, Update::Any)?;
    ensure(slots.remove(&0)? && !slots.remove(&0)?, || {
        "removing".into()
    })
}

#[derive(Debug, Clone, Copy, Default, PartialEq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Locked {
    lock: u32,
    count: u32,
    sum: u64,
}

fn locked() -> Outcome {
    let running = kinds()?;
    let map = running.loaded.map("locked")?;
    let table = map.typed::<u32, Locked>()?;
    let value = Locked {
        count: 1,
        sum: 2,
        lock: 0,
    };
    table.set_locked(&1, &value, Update::Any)?;
    let got = (table.get_locked(&1)?, table.get_locked(&2)?);
    ensure(got == (Some(value), None), || format!("{got:?}"))?;
    let plain = make(&MapSpec::new(MapType::Hash, "plain", 4, 8, 2))?;
    let plain = plain.typed::<u32, u64>()?;
    plain.set(&1, &1, Update::Any)?;
    let error = expect_err("no lock", plain.get_locked(&1))?;
    ensure(errno(&error) == Some(Errno::EINVAL), || error.to_string())
}

fn storage() -> Outcome {
    let running = kinds()?;
    let check = |name: &str, owner: &dyn std::os::fd::AsFd, other: &dyn std::os::fd::AsFd| {
        let map = running.loaded.map(name)?;
        let storage = map.storage::<u64>()?;
        ensure(storage.get(owner)?.is_none(), || format!("{name}: unasked"))?;
        storage.set(owner, &7, Update::New)?;
        let got = storage.get(owner)?;
        ensure(got == Some(7), || format!("{name}: {got:?}"))?;
        let error = expect_err(name, storage.set(other, &7, Update::Any))?;
        ensure(errno(&error).is_some(), || error.to_string())?;
        ensure(storage.remove(owner)? && !storage.remove(owner)?, || {
            format!("{name}: removing")
        })
    };
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let me = rustix::process::getpid();
    let task = rustix::process::pidfd_open(me, rustix::process::PidfdFlags::empty())?;
    let cgroup = Cgroup::new()?;
    let folder = File::open(cgroup.path())?;
    check("of_socket", &socket, &folder)?;
    check("of_task", &task, &folder)?;
    check("of_cgroup", &folder, &socket)?;
    // Any open file has an inode; a number that is not open has none.
    let map = running.loaded.map("of_inode")?;
    let storage = map.storage::<u64>()?;
    match storage.set(&folder, &9, Update::New) {
        // Not without CONFIG_BPF_LSM and `bpf` among the active ones.
        Err(error) if errno(&error).is_some() => Ok(()),
        Err(error) => Err(error.into()),
        Ok(()) => {
            let got = storage.get(&folder)?;
            ensure(got == Some(9), || format!("of_inode: {got:?}"))
        }
    }
}

fn mapped() -> Outcome {
    let running = kinds()?;
    let map = running.loaded.map("mapped")?;
    let memory = map.memory()?;
    ensure(memory.len() == 300 && memory.is_writable(), || {
        format!("{memory:?}")
    })?;
    // 12 bytes each, 16 apart: over a page's end, too.
    for index in [0, 255, 256, 299] {
        let value: [u8; 12] = std::array::from_fn(|at| (index + at) as u8);
        memory.set(index, &value)?;
        let key = (index as u32).to_ne_bytes();
        let seen = map.lookup(&key)?;
        ensure(seen.as_deref() == Some(&value[..]), || format!("{seen:?}"))?;
        map.update(&key, &[9; 12], Update::Any)?;
        let back: [u8; 12] = memory.get(index)?;
        ensure(back == [9; 12], || format!("{back:?}"))?;
    }
    for (what, error) in [
        ("300 entries, not 300", memory.get::<[u8; 12]>(300).err()),
        ("the map's is 12", memory.get::<u64>(0).err()),
    ] {
        let text = error.map(|error| error.to_string()).unwrap_or_default();
        ensure(text.contains(what), || format!("{what}: {text}"))?;
    }
    let plain = make(&MapSpec::new(MapType::Array, "plain", 4, 8, 2))?;
    let error = expect_err("not mapped", plain.memory())?.to_string();
    ensure(error.contains("BPF_F_MMAPABLE"), || error.clone())
}

fn globals() -> Outcome {
    let running = kinds()?;
    let loaded = &running.loaded;
    let (calls, limit) = (loaded.live("calls")?, loaded.live("limit")?);
    let (small, neighbour) = (loaded.live("small")?, loaded.live("neighbour")?);
    let links = loaded.attach_all()?;
    (0..10).for_each(|_| getppid());
    let count: u64 = calls.get()?;
    ensure(count == 3, || format!("{count} calls"))?;
    limit.set(&5_u64)?;
    small.set(&200_u8)?;
    (0..10).for_each(|_| getppid());
    drop(links);
    let now = (
        calls.get::<u64>()?,
        small.get::<u8>()?,
        neighbour.get::<u8>()?,
    );
    // What the program counted beside the byte that was set is as it left it.
    ensure(now == (5, 200, 2 + 5), || format!("{now:?}"))?;
    ensure(running.number("calls")? == 5, || "the map says else".into())?;
    let fixed = loaded.live("fixed")?;
    ensure(fixed.get::<u32>()? == 42, || "not 42".into())?;
    let text = |result: skep::Result<()>| expect_err("it", result).map(|error| error.to_string());
    let error = text(fixed.set(&1_u32))?;
    ensure(error.contains("set it before the load"), || error.clone())?;
    let error = text(limit.set(&1_u32))?;
    ensure(
        error.contains("`__u64`, 8 bytes, and the value is 4"),
        || error.clone(),
    )?;
    let error = text(loaded.live("limits").map(drop))?;
    ensure(error.contains("no global variable `limits`"), || {
        error.clone()
    })
}

fn stack() -> Outcome {
    let running = kinds()?;
    let links = running.loaded.attach_all()?;
    getppid();
    drop(links);
    let id =
        u32::try_from(running.number("stack_id")?).map_err(|_| Stop::lacks("kernel stacks"))?;
    let map = running.loaded.map("stacks")?;
    let frames = map.stack_trace(id)?.unwrap_or_default();
    ensure(
        !frames.is_empty() && frames.iter().all(|at| *at != 0),
        || format!("{frames:?}"),
    )?;
    let free = (0..16).find(|other| *other != id).unwrap_or(0);
    ensure(map.stack_trace(free)?.is_none(), || "another stack".into())?;
    // Stacks have no batches: their ids are walked one by one.
    let ids: Vec<Vec<u8>> = map.keys().collect::<Result<_, _>>()?;
    ensure(ids == [id.to_ne_bytes().to_vec()], || format!("{ids:?}"))
}

fn frozen() -> Outcome {
    let map = make(&MapSpec::new(MapType::Array, "cold", 4, 8, 2))?;
    let array = map.typed::<u32, u64>()?;
    array.set(&0, &1, Update::Any)?;
    map.freeze()?;
    let error = expect_err("a write", array.set(&0, &2, Update::Any))?;
    ensure(errno(&error) == Some(Errno::EPERM), || error.to_string())?;
    ensure(array.get(&0)? == Some(1), || "it changed".into())
}

fn by_id() -> Outcome {
    let map = make(&MapSpec::new(
        MapType::Hash,
        "a_name_of_more_than_15",
        4,
        8,
        2,
    ))?;
    ensure(map.name() == "a_name_of_more_than_15", || map.name().into())?;
    let id = map.info()?.id;
    let boundary = || std::sync::Arc::clone(host().boundary());
    let same = Map::open_id(boundary(), id)?.ok_or_else(|| Stop::fail("none"))?;
    map.typed::<u32, u64>()?.set(&5, &6, Update::Any)?;
    ensure(same.typed::<u32, u64>()?.get(&5)? == Some(6), || {
        "other".into()
    })?;
    ensure(same.name() == "a_name_of_more_", || same.name().into())?;
    ensure(Map::open_id(boundary(), u32::MAX - 1)?.is_none(), || {
        "one of that id".into()
    })
}

fn one_cpu() -> Outcome {
    let map = make(&MapSpec::new(MapType::PercpuHash, "per_cpu", 4, 4, 8))?;
    let table = map.per_cpu::<u32, u32>()?;
    let cpus = map.values_per_entry();
    let values: Vec<u32> = (0..cpus as u32).map(|cpu| 100 + cpu).collect();
    table.set(&1, &values, Update::Any)?;
    for cpu in 0..cpus as u32 {
        let value = table.get_on(&1, cpu)?;
        ensure(value == Some(100 + cpu), || format!("{cpu}: {value:?}"))?;
    }
    ensure(table.get_on(&2, 0)?.is_none(), || "no such key".into())?;
    let error = expect_err("a CPU", table.get_on(&1, cpus as u32))?.to_string();
    ensure(error.contains("none for number"), || error.clone())?;
    table.set_all(&1, &7, Update::Existing)?;
    let all = table.get(&1)?;
    ensure(all == Some(vec![7; cpus]), || format!("{all:?}"))?;
    if host().info().version < skep::abi::KernelVersion::new(7, 0) {
        let error = expect_err("one", table.set_on(&1, 0, &9, Update::Any))?.to_string();
        ensure(error.contains("7.0"), || error.clone())?;
    } else {
        table.set_on(&1, 0, &9, Update::Any)?;
        ensure(table.get_on(&1, 0)? == Some(9), || "not set".into())?;
    }
    let mut walk = table.walk();
    let mut seen = 0;
    while let Some((key, values)) = walk.next()? {
        seen += key + values.len() as u32;
    }
    ensure(seen == 1 + cpus as u32, || format!("{seen}"))
}

fn wrong_views() -> Outcome {
    let hash = make(&MapSpec::new(MapType::Hash, "table", 4, 8, 2))?;
    let queue = make(&MapSpec::new(MapType::Queue, "line", 0, 8, 2))?;
    let check = |error: Option<Error>, part: &str| {
        let text = error.map(|error| error.to_string()).unwrap_or_default();
        ensure(text.contains(part), || format!("{part}: {text}"))
    };
    check(
        hash.queue::<u64>().err(),
        "`table`: it is a map of type hash, not queue or stack",
    )?;
    check(hash.bloom::<u64>().err(), "not bloom_filter")?;
    check(
        hash.storage::<u64>().err(),
        "not sk_storage or task_storage",
    )?;
    check(hash.slots::<u32>().err(), "holds plain values: use `typed`")?;
    check(hash.memory().err(), "not array")?;
    check(hash.stack_trace(0).err(), "not stack_trace")?;
    check(hash.pop().err(), "not queue")?;
    check(
        queue.queue::<u32>().err(),
        "the value is 4 bytes, and the map's is 8",
    )?;
    check(
        queue.typed::<u32, u64>().err(),
        "`line`: the key is 4 bytes",
    )
}
