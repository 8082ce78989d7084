//! Ids, info, pins, BTF, hashes, statistics.

use skep_abi::{MapCreateFlags, MapType, ObjectFlags, ProgLoadFlags, ProgramType};
use skep_btf::{Builder, IntEncoding};
use skep_host::{
    BtfFd, BtfLoad, Errno, Error, Host, LogLevel, MapBtf, MapCreate, MapFd, ObjectId, ProgramParts,
    ProgramStream, TestRun,
};
use skep_testing::{Outcome, Stop, Test, ensure, host, needs_kernel, needs_kernel_of};

use crate::support::{Record, agree, int_types, is, load_on, map, name, on_vm};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("commands::maps_are_described_alike", || agree(map_infos)),
        Test::new("commands::programs_are_described_alike", || agree(programs)),
        Test::new("commands::ids_open_what_they_are_of", ids),
        Test::new("commands::ids_end_alike", || agree(last_ids)),
        Test::new("commands::frozen_arrays_have_a_hash", || agree(hashes)),
        Test::new("commands::btf_is_loaded_alike", || agree(btf)),
        Test::new("commands::runs_are_counted_while_wanted", statistics),
        Test::new("commands::bound_maps_live_with_the_program", || {
            agree(bound)
        }),
        Test::new("commands::names_are_checked_alike", || agree(names)),
        Test::new("commands::streams_are_empty_at_first", streams),
        Test::new("commands::rights_are_not_delegated_here", tokens),
        Test::new("commands::wrong_descriptors_answer_alike", || {
            agree(strangers)
        }),
        Test::new("commands::info_is_of_its_own_kind", kinds),
    ]
}

/// The kernel makes tokens for other user namespaces than the first, the machine for none.
fn tokens() -> Outcome {
    let made = host().token_create(std::path::Path::new("/sys/fs/bpf"));
    ensure(
        made.is_err() && (!on_vm() || is(&made, Errno::EINVAL)),
        || format!("{made:?}"),
    )
}

fn map_infos(host: &dyn Host, record: &mut Record) -> Outcome {
    let long = "a_name_that_is_too_long";
    for (map_type, key, value, entries, flags) in [
        (MapType::Array, 4, 8, 3, MapCreateFlags::empty()),
        (MapType::Hash, 5, 7, 9, MapCreateFlags::NO_PREALLOC),
        (MapType::Array, 4, 8, 3, MapCreateFlags::RDONLY),
        (MapType::PercpuArray, 4, 12, 3, MapCreateFlags::empty()),
    ] {
        let mut request = MapCreate::new(map_type, long, key, value, entries);
        request.flags = flags;
        let map = host.map_create(&request)?;
        let mut info = host.map_info(&map)?;
        ensure(info.id > 0, || format!("{info:?}"))?;
        info.id = 0;
        record.fact(format!("info {map_type}"), info);
        let mut status = host.map_status(&map)?;
        ensure(status.memory > 0, || format!("{status:?}"))?;
        status.memory = 0;
        record.fact(format!("status {map_type}"), &status);
        record.answer("freeze", &host.map_freeze(&map));
        record.fact("frozen", host.map_status(&map)?.frozen);
    }
    Ok(())
}

fn programs(host: &dyn Host, record: &mut Record) -> Outcome {
    let array = host.map_create(&MapCreate::new(MapType::Array, "seen", 4, 8, 1))?;
    let text = format!(
        "
        r6 = r1
        r1 = map[fd:{fd}]
        r2 = map[fd:{fd}][0]
        r0 = *(u64 *)(r2 +0)
        call second
        exit
        second:
        r0 = 1
        exit",
        fd = array.raw()
    );
    for (kind, text) in [
        (ProgramType::SocketFilter, "r0 = 0\n exit"),
        (
            ProgramType::Xdp,
            "r1 = 0x1122334455667788 ll\n r0 = 2\n exit",
        ),
        (ProgramType::SchedCls, text.as_str()),
    ] {
        let program = load_on(host, kind, text, |request| request.license = "GPL")?;
        let details = host.prog_details(&program, ProgramParts::ALL)?;
        let info = &details.info;
        ensure(info.id > 0 && info.loaded_at.as_nanos() > 0, || {
            format!("{info:?}")
        })?;
        record.fact("tag", info.tag);
        record.fact(
            "kind",
            (info.type_raw, info.gpl_compatible, info.name.clone()),
        );
        record.fact("who", info.created_by_uid);
        record.fact("maps", info.maps.len());
        record.fact(
            "attach",
            (info.attach_btf_id, info.attach_btf_object, info.ifindex),
        );
        record.fact("function tags", details.tags.unwrap_or_default());
        record.fact(
            "counters",
            (info.run_count, info.run_time, info.recursion_misses),
        );
    }
    Ok(())
}

fn ids() -> Outcome {
    let map = map(MapType::Array, 4, 8, 1)?;
    let program = load_on(host(), ProgramType::SocketFilter, "r0 = 0\n exit", |_| {})?;
    let (map_id, program_id) = (host().map_info(&map)?.id, host().prog_info(&program)?.id);
    let after = host().next_id(ObjectId::Map(map_id - 1))?;
    ensure(after == Some(ObjectId::Map(map_id)), || {
        format!("{after:?}")
    })?;
    let after = host().next_id(ObjectId::Program(program_id - 1))?;
    ensure(after == Some(ObjectId::Program(program_id)), || {
        format!("{after:?}")
    })?;
    let gone = |what: &str| Stop::fail(format!("{what} is gone"));
    let same = host()
        .map_by_id(map_id, ObjectFlags::empty())?
        .ok_or_else(|| gone("map"))?;
    ensure(host().map_info(&same)?.id == map_id, || {
        "another map".into()
    })?;
    let read_only = host()
        .map_by_id(map_id, ObjectFlags::RDONLY)?
        .ok_or_else(|| gone("map"))?;
    let refused = host().map_update_elem(&read_only, &[0; 4], &[0; 8], 0);
    ensure(is(&refused, Errno::EPERM), || format!("{refused:?}"))?;
    let same = host()
        .prog_by_id(program_id)?
        .ok_or_else(|| gone("program"))?;
    ensure(host().prog_info(&same)?.id == program_id, || {
        "another program".into()
    })?;
    ensure(
        host().map_by_id(u32::MAX, ObjectFlags::empty())?.is_none(),
        || "the last id".into(),
    )?;
    ensure(host().prog_by_id(u32::MAX)?.is_none(), || {
        "the last id".into()
    })?;
    ensure(host().btf_by_id(u32::MAX, None)?.is_none(), || {
        "the last id".into()
    })?;
    ensure(host().link_by_id(u32::MAX)?.is_none(), || {
        "the last id".into()
    })?;
    let own = host()
        .btf_by_id(1, None)?
        .ok_or_else(|| gone("the host's BTF"))?;
    let own = host().btf_info(&own)?;
    ensure(own.kernel && own.name == "vmlinux", || {
        format!("{} {}", own.kernel, own.name)
    })?;
    ensure(own.bytes == host().btf(None)?.as_ref().as_ref(), || {
        "other bytes".into()
    })?;
    let both = host().map_by_id(map_id, ObjectFlags::RDONLY | ObjectFlags::WRONLY);
    ensure(is(&both, Errno::EINVAL), || format!("{both:?}"))
}

/// Ids beyond the last one that a kernel gives.
fn last_ids(host: &dyn Host, record: &mut Record) -> Outcome {
    const LAST: u32 = i32::MAX as u32;
    for id in [LAST - 1, LAST, LAST + 1, u32::MAX] {
        for of in [
            ObjectId::Map(id),
            ObjectId::Program(id),
            ObjectId::Btf(id),
            ObjectId::Link(id),
        ] {
            record.answer(format!("after {of:?}"), &host.next_id(of));
        }
    }
    Ok(())
}

fn hashes(host: &dyn Host, record: &mut Record) -> Outcome {
    needs_kernel_of(host, 6, 18)?;
    for (value, entries) in [(8, 1), (5, 3)] {
        let map = host.map_create(&MapCreate::new(MapType::Array, "hashed", 4, value, entries))?;
        let bytes = vec![7; value as usize];
        host.map_update_elem(&map, &[0; 4], &bytes, 0)?;
        record.answer("hash", &host.map_hash(&map));
        host.map_freeze(&map)?;
        record.answer("hash of a frozen map", &host.map_hash(&map));
    }
    let map = host.map_create(&MapCreate::new(MapType::Hash, "hashed", 4, 8, 1))?;
    host.map_freeze(&map)?;
    record.answer("hash of a hash", &host.map_hash(&map));
    Ok(())
}

fn btf(host: &dyn Host, record: &mut Record) -> Outcome {
    let mut builder = Builder::new();
    let int = builder.int("int", 4, IntEncoding::SIGNED);
    builder.pointer(int);
    let bytes = builder.build()?;
    let request = |bytes| BtfLoad {
        object: "test",
        bytes,
        log_level: LogLevel::OnFailure,
        token: None,
    };
    let loaded = host.btf_load(&request(&bytes))?;
    let info = host.btf_info(&loaded)?;
    record.fact("info", (info.name, info.kernel, info.bytes == bytes));
    for (what, cut) in [("empty", 0), ("header", 10), ("cut", bytes.len() - 1)] {
        record.done(
            format!("load {what}"),
            &host.btf_load(&request(&bytes[..cut])),
        );
    }
    let mut wrong = bytes.clone();
    wrong[0] ^= 0xff;
    record.done("load magic", &host.btf_load(&request(&wrong)));
    let mut typed = MapCreate::new(MapType::Array, "typed", 4, 4, 1);
    typed.btf = Some(MapBtf {
        btf: &loaded,
        key_type: int.0,
        value_type: int.0,
        kernel_value_type: 0,
        kernel_btf: None,
    });
    let map = host.map_create(&typed);
    record.done("typed", &map);
    if let Ok(map) = map {
        let told = host.map_info(&map)?;
        record.fact(
            "types",
            (told.key_type, told.value_type, told.btf_id == info.id),
        );
    }
    Ok(())
}

fn statistics() -> Outcome {
    let program = load_on(host(), ProgramType::Syscall, "r0 = 0\n exit", |request| {
        request.flags = ProgLoadFlags::SLEEPABLE;
    })?;
    let run = || host().prog_test_run(&program, &mut TestRun::default());
    run()?;
    let before = host().prog_info(&program)?.run_count;
    {
        let _wanted = host().enable_stats()?;
        run()?;
        run()?;
    }
    run()?;
    let info = host().prog_info(&program)?;
    // Of the runs by a test, kernels count those of some types only.
    let counted = info.run_count - before;
    ensure(counted <= 2, || format!("{info:?}"))?;
    ensure(!on_vm() || counted == 2, || format!("{info:?}"))
}

fn bound(host: &dyn Host, record: &mut Record) -> Outcome {
    let map = host.map_create(&MapCreate::new(MapType::Array, "bound", 4, 8, 1))?;
    let id = host.map_info(&map)?.id;
    let program = load_on(host, ProgramType::SocketFilter, "r0 = 0\n exit", |_| {})?;
    record.answer("bind", &host.prog_bind_map(&program, &map));
    record.answer("bind twice", &host.prog_bind_map(&program, &map));
    drop(map);
    record.fact("maps", host.prog_info(&program)?.maps == [id]);
    let open = host.map_by_id(id, ObjectFlags::empty())?;
    record.fact("lives", open.is_some());
    Ok(())
}

fn names(host: &dyn Host, record: &mut Record) -> Outcome {
    for name in [
        "",
        "ok_1.x",
        "with space",
        "with-dash",
        "ü",
        "0123456789abcdefgh",
    ] {
        let made = host.map_create(&MapCreate::new(MapType::Array, name, 4, 8, 1));
        record.done(format!("map `{name}`"), &made);
        if let Ok(map) = made {
            record.fact("name", host.map_info(&map)?.name);
        }
        let code = crate::support::code("r0 = 0\n exit")?;
        let request = skep_host::ProgramLoad::new(ProgramType::SocketFilter, name, &code);
        record.done(format!("program `{name}`"), &host.prog_load(&request));
    }
    Ok(())
}

fn streams() -> Outcome {
    needs_kernel(6, 17)?;
    let program = load_on(host(), ProgramType::SocketFilter, "r0 = 0\n exit", |_| {})?;
    for stream in [ProgramStream::Output, ProgramStream::Error] {
        let len = host().prog_stream_read(&program, stream, &mut [0; 64])?;
        ensure(len == 0, || format!("{len} bytes"))?;
    }
    Ok(())
}

/// Each method that tells of something tells of its own kind, though the kernel would tell of any.
fn kinds() -> Outcome {
    let map = || map(MapType::Array, 4, 8, 1).map(MapFd::into_descriptor);
    let program = || {
        let loaded = load_on(host(), ProgramType::SocketFilter, "r0 = 0\n exit", |_| {});
        loaded.map(skep_host::ProgramFd::into_descriptor)
    };
    let btf = || int_types(host()).map(BtfFd::into_descriptor);
    let refused = |what: &str, answer: Option<Error>| {
        let errno = answer.as_ref().and_then(Error::errno);
        ensure(errno == Some(Errno::EINVAL), || {
            format!("{what}: {answer:?}")
        })
    };
    for other in [program()?, btf()?] {
        let as_map = MapFd::new(other);
        refused("map info", host().map_info(&as_map).err())?;
        refused("map status", host().map_status(&as_map).err())?;
        refused("map hash", host().map_hash(&as_map).err())?;
    }
    for other in [map()?, btf()?] {
        let as_program = skep_host::ProgramFd::new(other);
        refused("program info", host().prog_info(&as_program).err())?;
    }
    for other in [map()?, program()?] {
        let as_btf = BtfFd::new(other);
        refused("btf info", host().btf_info(&as_btf).err())?;
        let as_link = skep_host::LinkFd::new(as_btf.into_descriptor());
        refused("link info", host().link_info(&as_link).err())?;
    }
    Ok(())
}

fn strangers(host: &dyn Host, record: &mut Record) -> Outcome {
    let map = host.map_create(&MapCreate::new(MapType::Array, &name("map"), 4, 8, 1))?;
    let program = load_on(host, ProgramType::SocketFilter, "r0 = 0\n exit", |_| {})?;
    let as_map = skep_host::MapFd::new(program.into_descriptor());
    let refused = host.map_update_elem(&as_map, &[0; 4], &[0; 8], 0);
    record.fact("update", refused.is_err());
    record.answer("freeze", &host.map_freeze(&as_map));
    let as_program = skep_host::ProgramFd::new(map.into_descriptor());
    record.done(
        "run",
        &host.prog_test_run(&as_program, &mut TestRun::default()),
    );
    record.done("info", &host.prog_info(&as_program));
    let as_link = skep_host::LinkFd::new(as_program.into_descriptor());
    record.done("link info", &host.link_info(&as_link));
    record.done("detach", &host.link_detach(&as_link));
    record.done("iterate", &host.iter_create(&as_link));
    Ok(())
}
