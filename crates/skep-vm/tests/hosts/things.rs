//! Maps whose values stand for things: instructions, stacks, tasks, sockets, devices.

use skep_abi::{MapCreateFlags, MapType};
use skep_host::{Access, Errno, Host, HostKind, MapCreate, MapFd};
use skep_testing::{Outcome, Stop, Test, ensure, host, needs_kernel};

use crate::{
    kfuncs::all,
    rings::{fire, program_of},
    support::{Record, agree, is, name},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("things::arenas_answer_alike", || agree(arenas)),
        Test::new("things::jump_tables", jump_tables),
        Test::new("things::stacks_answer_alike", || agree(stacks)),
        Test::new("things::pages_of_arenas", || all("arena")),
        Test::new("things::values_of_tasks", || all("storages")),
        Test::new("things::redirect_maps_answer_alike", || agree(targets)),
        Test::new("things::what_is_below_cgroups", cgroup_arrays),
        Test::new("things::tasks_are_named", named_tasks),
        Test::new("things::inodes_answer_alike", || agree(inodes)),
        Test::new("things::socket_maps_answer_alike", || agree(sockets)),
    ]
}

/// A host that has insn arrays; the kernel since 6.19.
fn has_jump_tables() -> Outcome {
    match host().info().kind {
        HostKind::Kernel => needs_kernel(6, 19),
        HostKind::Vm => Ok(()),
    }
}

fn jump_tables() -> Outcome {
    has_jump_tables()?;
    let host = host();
    for (key, value, entries) in [(4, 8, 1), (8, 16, 1), (4, 16, 0)] {
        let name = name("table");
        let made = host.map_create(&MapCreate::new(
            MapType::InsnArray,
            &name,
            key,
            value,
            entries,
        ));
        ensure(is(&made, Errno::EINVAL), || format!("{made:?}"))?;
    }
    let name = name("table");
    let map = host.map_create(&MapCreate::new(MapType::InsnArray, &name, 4, 16, 3))?;
    let set = |index: u32, words: [u32; 4], flags| {
        let value: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        host.map_update_elem(&map, &index.to_ne_bytes(), &value, flags)
    };
    // The instructions behind the jump.
    for (index, at) in [(0, 8), (1, 10), (2, 12)] {
        set(index, [at, 0, 0, 0], 0)?;
    }
    ensure(is(&set(3, [0; 4], 0), Errno::E2BIG), || "beyond".into())?;
    ensure(is(&set(0, [1, 1, 0, 0], 0), Errno::EINVAL), || {
        "loaded".into()
    })?;
    ensure(is(&set(0, [1, 0, 1, 0], 0), Errno::EINVAL), || {
        "compiled".into()
    })?;
    ensure(is(&set(0, [1, 0, 0, 0], 1), Errno::EEXIST), || {
        "there".into()
    })?;
    let deleted = host.map_delete_elem(&map, &[0; 4]);
    ensure(is(&deleted, Errno::EINVAL), || format!("{deleted:?}"))?;
    let text = format!(
        "r1 = *(u64 *)(r1 + 0)
        if r1 > 2 goto +6
        r1 <<= 3
        r2 = map[fd:{}][0]+0
        r2 += r1
        r1 = *(u64 *)(r2 + 0)
        gotox r1
        r0 = 10
        exit
        r0 = 20
        exit
        r0 = 30
        exit",
        map.raw()
    );
    ensure(program_of(host, &text).is_err(), || {
        "it is not frozen".into()
    })?;
    host.map_freeze(&map)?;
    let program = program_of(host, &text)?;
    for (argument, answer) in [(0, 10), (1, 20), (2, 30), (3, 10)] {
        let got = fire(host, &program, argument)?;
        ensure(got == answer, || format!("{argument}: {got}"))?;
    }
    ensure(program_of(host, &text).is_err(), || {
        "it is another's".into()
    })?;
    let mut value = [0; 16];
    host.map_lookup_elem(&map, &1_u32.to_ne_bytes(), &mut value, 0)?;
    ensure(value[..8] == [10, 0, 0, 0, 10, 0, 0, 0], || {
        format!("{value:?}")
    })?;
    drop(program);
    program_of(host, &text).map(drop)
}

fn arenas(host: &dyn Host, record: &mut Record) -> Outcome {
    let needed = MapCreateFlags::MMAPABLE;
    for (what, key, pages, flags, extra) in [
        ("plain", 0, 10, needed, 0),
        ("key", 4, 10, needed, 0),
        ("empty", 0, 0, needed, 0),
        ("flag", 0, 10, MapCreateFlags::empty(), 0),
        ("flags", 0, 10, needed | MapCreateFlags::NO_PREALLOC, 0),
        ("segv", 0, 10, needed | MapCreateFlags::SEGV_ON_FAULT, 0),
        (
            "no conversion",
            0,
            10,
            needed | MapCreateFlags::NO_USER_CONV,
            0,
        ),
        ("read only", 0, 10, needed | MapCreateFlags::RDONLY, 0),
        ("large", 0, 1 << 20, needed, 0),
        ("too large", 0, (1 << 20) + 1, needed, 0),
        ("address", 0, 10, needed, 7 << 40),
        ("odd address", 0, 10, needed, (7 << 40) + 8),
        ("crossing", 0, 2, needed, (7 << 40) + 0xffff_f000),
    ] {
        let name = name("arena");
        let mut request = MapCreate::new(MapType::Arena, &name, key, 0, pages);
        request.flags = flags;
        request.map_extra = extra;
        let made = host.map_create(&request);
        record.done(what, &made);
        let Ok(map) = made else { continue };
        if pages > 10 {
            continue;
        }
        record.answer("lookup", &host.map_lookup_elem(&map, &[], &mut [], 0));
        record.answer("update", &host.map_update_elem(&map, &[], &[], 0));
        record.answer("delete", &host.map_delete_elem(&map, &[]));
        record.answer("next", &host.map_get_next_key(&map, None, &mut []));
        let text = format!("r1 = map[fd:{}]\n r0 = 0\n exit", map.raw());
        record.fact("unmapped", program_of(host, &text).is_ok());
        let len = 10 * host.page_size();
        for (offset, len) in [
            (host.page_size(), len),
            (0, len),
            (0, len / 2),
            (0, 2 * len),
        ] {
            let mapped = host.map_memory(&map, offset as u64, len, Access::ReadWrite);
            record.done(format!("map {offset} {len}"), &mapped);
            if let (Ok(memory), 1..) = (&mapped, extra) {
                let address = memory.words().as_ptr().addr() as u64;
                record.fact("address", address);
            }
        }
        record.fact("mapped", program_of(host, &text).is_ok());
    }
    Ok(())
}

/// Stacks differ, what is answered about them does not.
fn stacks(host: &dyn Host, record: &mut Record) -> Outcome {
    let ids = MapCreateFlags::STACK_BUILD_ID;
    let none = MapCreateFlags::empty();
    for (key, value, entries, flags) in [
        (4, 8, 1, none),
        (8, 8, 1, none),
        (4, 4, 1, none),
        (4, 12, 1, none),
        (4, 8, 0, none),
        (4, 127 * 8, 1, none),
        (4, 128 * 8, 1, none),
        (4, 32, 1, ids),
        (4, 40, 1, ids),
        (4, 128 * 32, 1, ids),
        (4, 8, 1, MapCreateFlags::NO_PREALLOC),
        (4, 8, 1, MapCreateFlags::RDONLY),
    ] {
        let name = name("stacks");
        let mut request = MapCreate::new(MapType::StackTrace, &name, key, value, entries);
        request.flags = flags;
        let made = host.map_create(&request);
        record.done(format!("{key} {value} {entries} {flags:?}"), &made);
    }
    let name = name("stacks");
    let map = host.map_create(&MapCreate::new(MapType::StackTrace, &name, 4, 64, 6))?;
    let key = 0_u32.to_ne_bytes();
    record.answer("lookup", &host.map_lookup_elem(&map, &key, &mut [0; 64], 0));
    record.answer("update", &host.map_update_elem(&map, &key, &[0; 64], 0));
    record.answer("delete", &host.map_delete_elem(&map, &key));
    record.answer("next", &host.map_get_next_key(&map, None, &mut [0; 4]));
    let beyond = 8_u32.to_ne_bytes();
    record.answer(
        "lookup beyond",
        &host.map_lookup_elem(&map, &beyond, &mut [0; 64], 0),
    );
    record.answer("delete beyond", &host.map_delete_elem(&map, &beyond));
    for flags in [0_u64, 1 << 9, 1 << 10, 200, 1 << 11, 1 << 12, 1 << 32] {
        let text = format!(
            "r2 = map[fd:{}]
            r3 = {flags} ll
            call 27
            exit",
            map.raw()
        );
        let program = program_of(host, &text)?;
        let id = fire(host, &program, 0)?;
        record.fact(format!("stackid {flags:#x}"), id.min(0));
        let Ok(id) = u32::try_from(id) else { continue };
        let key = id.to_ne_bytes();
        let mut value = [0; 64];
        record.answer("lookup", &host.map_lookup_elem(&map, &key, &mut value, 0));
        record.fact("first", value[..8] != [0; 8]);
        let mut next = [0; 4];
        record.answer("next", &host.map_get_next_key(&map, None, &mut next));
        record.fact("the same", next == key);
        record.answer("next", &host.map_get_next_key(&map, Some(&key), &mut next));
        record.answer("delete", &host.map_delete_elem(&map, &key));
        record.answer("delete again", &host.map_delete_elem(&map, &key));
    }
    for flags in [0_u64, 1 << 8, 1 << 9, 1 << 11, 200, 3 << 8, 1 << 12] {
        for size in [8, 12] {
            let text = format!(
                "r2 = r10
                r2 += -16
                r3 = {size}
                r4 = {flags} ll
                call 67
                exit"
            );
            let got = fire(host, &program_of(host, &text)?, 0)?;
            let what = match (flags, size) {
                (0x100, 8) => "user stack of this process",
                _ => "stack",
            };
            record.fact(format!("{what} {flags:#x} {size}"), got);
        }
    }
    Ok(())
}

/// Shapes that types take or refuse.
fn shapes(host: &dyn Host, record: &mut Record, map_type: MapType) {
    let none = MapCreateFlags::empty();
    for (key, value, entries, flags) in [
        (4, 4, 1, none),
        (4, 8, 1, none),
        (4, 16, 1, none),
        (4, 0, 1, none),
        (8, 4, 1, none),
        (0, 4, 1, none),
        (4, 4, 0, none),
        (4, 4, 1, MapCreateFlags::NO_PREALLOC),
        (4, 4, 1, MapCreateFlags::RDONLY),
        (4, 4, 1, MapCreateFlags::RDONLY_PROG),
        (4, 4, 1, MapCreateFlags::MMAPABLE),
        (513, 4, 1, none),
    ] {
        let name = name("shape");
        let mut request = MapCreate::new(map_type, &name, key, value, entries);
        request.flags = flags;
        let made = host.map_create(&request);
        record.done(
            format!("{map_type} {key} {value} {entries} {flags:?}"),
            &made,
        );
    }
}

/// What the commands on elements answer for these values.
fn elements(
    host: &dyn Host,
    record: &mut Record,
    map_type: MapType,
    size: u32,
    values: &[u64],
) -> Outcome {
    let name = name("elements");
    let map = host.map_create(&MapCreate::new(map_type, &name, 4, size, 3))?;
    let bytes = |value: u64| value.to_ne_bytes()[..size as usize].to_vec();
    for index in [0_u32, 2, 3] {
        let key = index.to_ne_bytes();
        let of = format!("{map_type} {size} {index}");
        let look = |record: &mut Record| {
            let mut found = vec![0; size as usize];
            let answer = host.map_lookup_elem(&map, &key, &mut found, 0);
            record.answer(format!("{of} lookup"), &answer);
            record.fact(format!("{of} value"), found);
        };
        look(record);
        record.answer(format!("{of} delete"), &host.map_delete_elem(&map, &key));
        for value in values {
            for flags in [1, 2, 0, 3, 4, 0] {
                let set = host.map_update_elem(&map, &key, &bytes(*value), flags);
                record.answer(format!("{of} set {value:#x} {flags}"), &set);
                look(record);
            }
        }
        let mut next = [0; 4];
        let more = host.map_get_next_key(&map, Some(&key), &mut next);
        record.answer(format!("{of} next"), &more);
        record.answer(
            format!("{of} first"),
            &host.map_get_next_key(&map, None, &mut next),
        );
        record.fact("key", next);
        record.answer(format!("{of} delete"), &host.map_delete_elem(&map, &key));
        record.answer(format!("{of} delete"), &host.map_delete_elem(&map, &key));
    }
    Ok(())
}

/// The loopback device is number 1 on both hosts.
fn targets(host: &dyn Host, record: &mut Record) -> Outcome {
    for map_type in [MapType::Devmap, MapType::DevmapHash, MapType::Cpumap] {
        shapes(host, record, map_type);
    }
    let bad = u64::from(u32::MAX);
    for map_type in [MapType::Devmap, MapType::DevmapHash] {
        elements(host, record, map_type, 4, &[1, 9999, 0])?;
        elements(
            host,
            record,
            map_type,
            8,
            &[1, 1 | bad << 32, 1 | 999 << 32, 999 << 32],
        )?;
    }
    elements(
        host,
        record,
        MapType::Cpumap,
        4,
        &[1, 192, 16_384, 16_385, 0],
    )?;
    elements(
        host,
        record,
        MapType::Cpumap,
        8,
        &[1, 1 | bad << 32, 1 | 999 << 32],
    )
}

fn sockets(host: &dyn Host, record: &mut Record) -> Outcome {
    for map_type in [
        MapType::Sockmap,
        MapType::Sockhash,
        MapType::ReuseportSockarray,
        MapType::Xskmap,
        MapType::CgroupArray,
    ] {
        shapes(host, record, map_type);
        elements(host, record, map_type, 4, &[u64::from(u32::MAX), 9999])?;
        if !matches!(map_type, MapType::Xskmap | MapType::CgroupArray) {
            elements(host, record, map_type, 8, &[u64::MAX, 1 << 40, 9999])?;
        }
    }
    Ok(())
}

/// The test's own task is in the root on the machine; a kernel's root is above all.
fn cgroup_arrays() -> Outcome {
    let host = host();
    let name = name("cgroups");
    let map = host.map_create(&MapCreate::new(MapType::CgroupArray, &name, 4, 4, 2))?;
    let root = match host.info().kind {
        HostKind::Vm => Some("/sys/fs/cgroup".into()),
        HostKind::Kernel => skep_testing::mount_point("cgroup2"),
    };
    let Some(root) = root else {
        return Err(Stop::lacks("a mounted cgroup2"));
    };
    let root = host.cgroup_open(&root)?;
    let value = root.raw().to_ne_bytes();
    host.map_update_elem(&map, &0_u32.to_ne_bytes(), &value, 0)?;
    for (index, answer) in [(0, 1), (1, -Errno::EAGAIN.0), (2, -Errno::E2BIG.0)] {
        let text = format!("r1 = map[fd:{}]\n r2 = {index}\n call 37\n exit", map.raw());
        let got = fire(host, &program_of(host, &text)?, 0)?;
        ensure(got == answer, || format!("{index}: {got}"))?;
    }
    Ok(())
}

/// A storage of 4 bytes; one without types is refused.
pub(crate) fn storage(host: &dyn Host, map_type: MapType) -> Outcome<MapFd> {
    let mut types = skep_btf::Builder::new();
    let int = types.int("int", 4, skep_btf::IntEncoding::SIGNED);
    let btf = host.btf_load(&skep_host::BtfLoad {
        object: "types",
        bytes: &types.build()?,
        log_level: skep_host::LogLevel::OnFailure,
        token: None,
    })?;
    let name = name("storage");
    let mut request = MapCreate::new(map_type, &name, 4, 4, 0);
    request.flags = MapCreateFlags::NO_PREALLOC;
    let untyped = host.map_create(&request);
    ensure(is(&untyped, Errno::EINVAL), || format!("{untyped:?}"))?;
    request.btf = Some(skep_host::MapBtf {
        btf: &btf,
        key_type: int.0,
        value_type: int.0,
        kernel_value_type: 0,
        kernel_btf: None,
    });
    Ok(host.map_create(&request)?)
}

/// Files have values on the kernel; the machine can make such a map, and knows no file.
fn inodes(host: &dyn Host, record: &mut Record) -> Outcome {
    use std::os::fd::AsRawFd as _;

    let map = storage(host, MapType::InodeStorage)?;
    let file = std::fs::File::open(env!("CARGO_MANIFEST_DIR"))?;
    let none = (-1_i32).to_ne_bytes();
    let open = file.as_raw_fd().to_ne_bytes();
    for (what, key) in [("no file", none), ("inode storage", open)] {
        let set = host.map_update_elem(&map, &key, &[7; 4], 0);
        record.done(what, &set);
        let mut value = [0; 4];
        let found = host.map_lookup_elem(&map, &key, &mut value, 0);
        record.answer(what, &found);
        if host.info().kind == HostKind::Vm {
            ensure(is(&set, Errno::EBADF) && is(&found, Errno::EBADF), || {
                format!("{what}: {set:?}, {found:?}")
            })?;
        }
    }
    Ok(())
}

/// A pidfd names a task to a storage, on both hosts.
fn named_tasks() -> Outcome {
    use std::os::fd::AsRawFd as _;

    let host = crate::rings::shared(host());
    let map = storage(&*host, MapType::TaskStorage)?;
    // The machine knows of this thread once it has run a program.
    fire(&*host, &program_of(&*host, "r0 = 0\n exit")?, 0)?;
    let pid = rustix::process::getpid();
    let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())?;
    let key = pidfd.as_raw_fd().to_ne_bytes();
    let mut value = [0; 4];
    let set = |flags| host.map_update_elem(&map, &key, &7_u32.to_ne_bytes(), flags);
    ensure(!host.map_lookup_elem(&map, &key, &mut value, 0)?, || {
        "it has one".into()
    })?;
    ensure(is(&set(2), Errno::ENOENT), || "it has one".into())?;
    set(1)?;
    ensure(is(&set(1), Errno::EEXIST), || "it has none".into())?;
    set(2)?;
    ensure(is(&set(3), Errno::EINVAL), || "both flags".into())?;
    ensure(host.map_lookup_elem(&map, &key, &mut value, 0)?, || {
        "it has none".into()
    })?;
    ensure(value == 7_u32.to_ne_bytes(), || format!("{value:?}"))?;
    let next = host.map_get_next_key(&map, None, &mut value);
    ensure(is(&next, Errno::ENOTSUPP), || format!("{next:?}"))?;
    ensure(host.map_delete_elem(&map, &key)?, || "it has none".into())?;
    ensure(!host.map_delete_elem(&map, &key)?, || "it has one".into())?;
    let bad = (-1_i32).to_ne_bytes();
    let refused = host.map_lookup_elem(&map, &bad, &mut value, 0);
    ensure(is(&refused, Errno::EBADF), || format!("{refused:?}"))
}
