//! Every command of `bpf(2)`, each by its method, on this kernel.
//!
//! The table has one row a command; a command without a row fails a test, and a row of a command
//! that this kernel is too old for must fail by saying so.

use std::collections::BTreeSet;

use skep_abi::{
    AttachFlags, AttachType, Command, MapCreateFlags, MapType, ObjectFlags, ProgLoadFlags,
    ProgramType, QueryFlags, TaskFdType, TestRunFlags,
};
use skep_host::{
    AttachPoint, BtfFd, BtfLoad, Cause, Errno, Error, Host, LinkCreate, LinkDetails, LinkFd,
    LinkOptions, LinkSource, LinkTarget, LogLevel, MapBatch, MapCreate, MapFd, ObjectId, PinPath,
    Pinned, ProgramAttach, ProgramFd, ProgramLoad, ProgramParts, ProgramQuery, ProgramStream,
    TestRun,
};
use skep_testing::{Bpffs, Cgroup, Outcome, Stop, Test, ensure, expect_err, needs_kernel};

use crate::{
    harness::{host, name},
    programs::{code, count, counter, counting, load, load_with, map},
    reading::{function, task_iterator},
    token,
};

/// A command, the name of its test, and the test.
type Row = (Command, &'static str, fn() -> Outcome);

const TABLE: &[Row] = &[
    (Command::MapCreate, "commands::map_create", map_create),
    (
        Command::MapLookupElem,
        "commands::map_lookup_elem",
        elements,
    ),
    (
        Command::MapUpdateElem,
        "commands::map_update_elem",
        elements,
    ),
    (
        Command::MapDeleteElem,
        "commands::map_delete_elem",
        elements,
    ),
    (
        Command::MapGetNextKey,
        "commands::map_get_next_key",
        elements,
    ),
    (Command::ProgLoad, "commands::prog_load", prog_load),
    (Command::ObjPin, "commands::obj_pin", pins),
    (Command::ObjGet, "commands::obj_get", pins),
    (Command::ProgAttach, "commands::prog_attach", attach),
    (Command::ProgDetach, "commands::prog_detach", attach),
    (Command::ProgTestRun, "commands::prog_test_run", test_run),
    (
        Command::ProgGetNextId,
        "commands::prog_get_next_id",
        program_ids,
    ),
    (Command::MapGetNextId, "commands::map_get_next_id", map_ids),
    (
        Command::ProgGetFdById,
        "commands::prog_get_fd_by_id",
        program_ids,
    ),
    (Command::MapGetFdById, "commands::map_get_fd_by_id", map_ids),
    (
        Command::ObjGetInfoByFd,
        "commands::obj_get_info_by_fd",
        info,
    ),
    (Command::ProgQuery, "commands::prog_query", query),
    (
        Command::RawTracepointOpen,
        "commands::raw_tracepoint_open",
        raw_tracepoint,
    ),
    (Command::BtfLoad, "commands::btf_load", btf_ids),
    (Command::BtfGetFdById, "commands::btf_get_fd_by_id", btf_ids),
    (Command::TaskFdQuery, "commands::task_fd_query", task_fd),
    (
        Command::MapLookupAndDeleteElem,
        "commands::map_lookup_and_delete_elem",
        take,
    ),
    (Command::MapFreeze, "commands::map_freeze", freeze),
    (Command::BtfGetNextId, "commands::btf_get_next_id", btf_ids),
    (
        Command::MapLookupBatch,
        "commands::map_lookup_batch",
        batches,
    ),
    (
        Command::MapLookupAndDeleteBatch,
        "commands::map_lookup_and_delete_batch",
        batches,
    ),
    (
        Command::MapUpdateBatch,
        "commands::map_update_batch",
        batches,
    ),
    (
        Command::MapDeleteBatch,
        "commands::map_delete_batch",
        batches,
    ),
    (Command::LinkCreate, "commands::link_create", links),
    (Command::LinkUpdate, "commands::link_update", links),
    (Command::LinkGetFdById, "commands::link_get_fd_by_id", links),
    (Command::LinkGetNextId, "commands::link_get_next_id", links),
    (Command::EnableStats, "commands::enable_stats", statistics),
    (Command::IterCreate, "commands::iter_create", iterate),
    (Command::LinkDetach, "commands::link_detach", links),
    (Command::ProgBindMap, "commands::prog_bind_map", bind_map),
    (
        Command::TokenCreate,
        "commands::token_create",
        token::create,
    ),
    (
        Command::ProgStreamReadByFd,
        "commands::prog_stream_read_by_fd",
        stream,
    ),
    (
        Command::ProgAssocStructOps,
        "commands::prog_assoc_struct_ops",
        assoc_struct_ops,
    ),
];

pub(crate) fn trials() -> Vec<Test> {
    let mut trials = vec![
        Test::new("commands::each_has_a_row", complete),
        Test::new("commands::a_map_that_is_exclusive_to_a_program", exclusive),
        Test::new("commands::a_program_binds_its_fd_array", bound_array),
        Test::new("commands::a_program_tells_all_its_parts", parts),
        Test::new("commands::what_is_opened_closes_on_exec", close_on_exec),
        Test::new(
            "commands::a_link_of_struct_ops_needs_its_map",
            no_struct_ops,
        ),
    ];
    trials.extend(TABLE.iter().map(|&(_, name, test)| Test::new(name, test)));
    trials
}

fn complete() -> Outcome {
    let rows: BTreeSet<u32> = TABLE.iter().map(|(command, ..)| command.raw()).collect();
    let without: Vec<_> = Command::ALL
        .iter()
        .filter(|command| !rows.contains(&command.raw()))
        .collect();
    ensure(without.is_empty() && rows.len() == TABLE.len(), || {
        format!("no row, or two: {without:?}")
    })
}

/// The errno of a refusal that names its command.
fn refused(error: &Error, command: Command) -> Result<Errno, Stop> {
    match error {
        Error::Command {
            command: of, errno, ..
        } if *of == command => Ok(*errno),
        _ => Err(Stop::Fail(format!("{error:?}"))),
    }
}

fn map_create() -> Outcome {
    let name = name("map");
    let mut request = MapCreate::new(MapType::Hash, &name, 4, 8, 16);
    request.flags = MapCreateFlags::NO_PREALLOC;
    let info = host().map_info(&host().map_create(&request)?)?;
    let right = info.map_type() == Some(MapType::Hash)
        && (info.key_size, info.value_size, info.max_entries) == (4, 8, 16)
        && info.flags == request.flags.bits()
        && info.name == name;
    ensure(right, || format!("{info:?}"))?;
    let error = expect_err("an array with keys of 3 bytes", {
        host().map_create(&MapCreate::new(MapType::Array, &name, 3, 8, 1))
    })?;
    ensure(
        refused(&error, Command::MapCreate)? == Errno::EINVAL && error.to_string().contains(&name),
        || error.to_string(),
    )?;
    // What the kernel says of it comes along where it says something.
    request.map_extra = 7;
    let error = expect_err("a hash with an extra", host().map_create(&request))?;
    let said = matches!(error.cause(), Some(Cause::Said(words)) if words.contains("map_extra"));
    ensure(said == needs_kernel(7, 2).is_ok(), || {
        format!("{error}: {:?}", error.cause())
    })
}

fn elements() -> Outcome {
    let map = map(MapType::Hash, 4, 8, 4)?;
    let (key, mut value) = ([1, 2, 3, 4], [0; 8]);
    ensure(!host().map_lookup_elem(&map, &key, &mut value, 0)?, || {
        "there before".into()
    })?;
    host().map_update_elem(&map, &key, &[7; 8], 0)?;
    ensure(
        host().map_lookup_elem(&map, &key, &mut value, 0)? && value == [7; 8],
        || format!("{value:?}"),
    )?;
    let mut next = [0; 4];
    ensure(
        host().map_get_next_key(&map, None, &mut next)? && next == key,
        || format!("{next:?}"),
    )?;
    ensure(
        !host().map_get_next_key(&map, Some(&key), &mut next)?,
        || "two keys".into(),
    )?;
    ensure(host().map_delete_elem(&map, &key)?, || "not there".into())?;
    ensure(!host().map_delete_elem(&map, &key)?, || {
        "there still".into()
    })
}

fn take() -> Outcome {
    needs_kernel(4, 20)?;
    let queue = map(MapType::Queue, 0, 8, 4)?;
    host().map_update_elem(&queue, &[], &[5; 8], 0)?;
    let mut value = [0; 8];
    let first = host().map_lookup_and_delete_elem(&queue, &[], &mut value, 0)?;
    let second = host().map_lookup_and_delete_elem(&queue, &[], &mut [0; 8], 0)?;
    ensure(first && value == [5; 8] && !second, || format!("{value:?}"))
}

fn freeze() -> Outcome {
    needs_kernel(5, 2)?;
    let map = counter()?;
    let key = [0; 4];
    ensure(!host().map_status(&map)?.frozen, || "frozen before".into())?;
    if needs_kernel(6, 18).is_ok() {
        let error = expect_err("a hash of what may change", host().map_hash(&map))?;
        ensure(error.errno() == Some(Errno::EPERM), || error.to_string())?;
    }
    host().map_freeze(&map)?;
    let error = expect_err("a write", host().map_update_elem(&map, &key, &[1; 8], 0))?;
    ensure(
        refused(&error, Command::MapUpdateElem)? == Errno::EPERM && error.cause().is_some(),
        || format!("{error}: {:?}", error.cause()),
    )?;
    let status = host().map_status(&map)?;
    ensure(status.frozen, || format!("{status:?}"))?;
    if needs_kernel(6, 18).is_ok() {
        // SHA-256 of eight zero bytes.
        let hash = host().map_hash(&map)?;
        ensure(hash[..4] == [0xaf, 0x55, 0x70, 0xf5], || {
            format!("{hash:x?}")
        })?;
    }
    Ok(())
}

fn batches() -> Outcome {
    needs_kernel(5, 6)?;
    let map = map(MapType::Hash, 4, 4, 8)?;
    let keys: Vec<u8> = (0u32..5).flat_map(u32::to_ne_bytes).collect();
    let set = host().map_update_batch(&map, &keys, &keys, 5, 0)?;
    ensure(set == 5, || format!("{set} set"))?;
    let read = |take: bool| {
        let (mut next, mut keys, mut values) = ([0; 4], [0; 32], [0; 32]);
        let mut batch = MapBatch {
            position: None,
            next_position: &mut next,
            keys: &mut keys,
            values: &mut values,
            count: 8,
            element_flags: 0,
        };
        let outcome = if take {
            host().map_lookup_and_delete_batch(&map, &mut batch)
        } else {
            host().map_lookup_batch(&map, &mut batch)
        }?;
        ensure(keys == values, || format!("{keys:?}, {values:?}"))?;
        Ok::<_, Stop>(outcome.count)
    };
    ensure(read(false)? == 5, || "not five".into())?;
    let deleted = host().map_delete_batch(&map, &keys[..8], 2, 0)?;
    ensure(deleted == 2, || format!("{deleted} deleted"))?;
    ensure(read(true)? == 3 && read(false)? == 0, || "not taken".into())
}

fn prog_load() -> Outcome {
    let program = load(ProgramType::SocketFilter, None, "r0 = 0\n exit")?;
    let info = host().prog_info(&program)?;
    ensure(
        info.program_type() == Some(ProgramType::SocketFilter) && info.gpl_compatible,
        || format!("{info:?}"),
    )
}

fn pins() -> Outcome {
    let bpffs = Bpffs::mount()?;
    let path = bpffs.path().join("map");
    let map = counter()?;
    let id = host().map_info(&map)?.id;
    host().obj_pin(map.descriptor(), (&path).into())?;
    let reading = host().obj_get((&path).into(), ObjectFlags::RDONLY)?;
    let Pinned::Map(reading) = reading else {
        return Err(Stop::Fail(format!("{reading:?}")));
    };
    ensure(host().map_info(&reading)?.id == id, || "another".into())?;
    let error = expect_err("a write", {
        host().map_update_elem(&reading, &[0; 4], &[1; 8], 0)
    })?;
    ensure(error.errno() == Some(Errno::EPERM), || error.to_string())?;
    if needs_kernel(6, 5).is_ok() {
        let directory = host().cgroup_open(bpffs.path())?;
        let place = PinPath {
            path: "by_directory".as_ref(),
            directory: Some(directory.raw()),
        };
        host().obj_pin(map.descriptor(), place)?;
        let again = host().obj_get(place, ObjectFlags::empty())?;
        ensure(matches!(again, Pinned::Map(_)), || format!("{again:?}"))?;
        host().obj_unpin(&bpffs.path().join("by_directory"))?;
    }
    Ok(host().obj_unpin(&path)?)
}

/// A program that lets packets of a cgroup pass.
fn passing() -> Result<ProgramFd, Stop> {
    load(
        ProgramType::CgroupSkb,
        Some(AttachType::CgroupInetIngress),
        "r0 = 1\n exit",
    )
}

fn attach() -> Outcome {
    let own = Cgroup::new()?;
    let cgroup = host().cgroup_open(own.path())?;
    let program = passing()?;
    let request = ProgramAttach {
        target: LinkTarget::Cgroup(&cgroup),
        program: Some(&program),
        attach_type: AttachType::CgroupInetIngress,
        flags: AttachFlags::ALLOW_MULTI,
        replace: None,
        relative: 0,
        expected_revision: 0,
    };
    let find = |flags| {
        host().prog_query(&ProgramQuery {
            target: LinkTarget::Cgroup(&cgroup),
            attach_type: AttachType::CgroupInetIngress,
            flags,
        })
    };
    host().prog_attach(&request)?;
    let id = host().prog_info(&program)?.id;
    let found = find(QueryFlags::empty())?;
    ensure(found.programs == [id], || format!("{found:?}"))?;
    if needs_kernel(6, 0).is_ok() {
        let multi = AttachFlags::ALLOW_MULTI.bits();
        ensure(found.program_flags == [multi], || format!("{found:?}"))?;
    }
    let found = find(QueryFlags::QUERY_EFFECTIVE)?;
    ensure(found.programs.contains(&id), || format!("{found:?}"))?;
    let detach = ProgramAttach {
        flags: AttachFlags::empty(),
        ..request
    };
    host().prog_detach(&detach)?;
    let error = expect_err("a second detach", host().prog_detach(&detach))?;
    ensure(
        refused(&error, Command::ProgDetach)? == Errno::ENOENT,
        || error.to_string(),
    )
}

fn query() -> Outcome {
    attach()?;
    needs_kernel(6, 6)?;
    // Where links are told, they are: an empty hook of the loopback device has none.
    let found = host().prog_query(&ProgramQuery {
        target: LinkTarget::Device(host().device_index("lo")?),
        attach_type: AttachType::TcxEgress,
        flags: QueryFlags::empty(),
    })?;
    ensure(found.programs.len() == found.links.len(), || {
        format!("{found:?}")
    })
}

fn test_run() -> Outcome {
    let program = load(ProgramType::Xdp, None, "r0 = 2\n exit")?;
    let mut out = [0; 64];
    let outcome = host().prog_test_run(
        &program,
        &mut TestRun {
            data_in: &[9; 64],
            data_out: &mut out,
            repeat: 3,
            ..TestRun::default()
        },
    )?;
    ensure(
        outcome.return_value == 2 && outcome.data_out_size == 64 && out == [9; 64],
        || format!("{outcome:?}"),
    )?;
    needs_kernel(5, 10)?;
    let program = load(
        ProgramType::RawTracepoint,
        None,
        "r0 = *(u64 *)(r1 +0)\n exit",
    )?;
    let outcome = host().prog_test_run(
        &program,
        &mut TestRun {
            context_in: &77u64.to_ne_bytes(),
            flags: TestRunFlags::RUN_ON_CPU,
            cpu: host().online_cpus()?.last().copied().unwrap_or(0),
            ..TestRun::default()
        },
    )?;
    ensure(outcome.return_value == 77, || format!("{outcome:?}"))
}

fn program_ids() -> Outcome {
    let program = load(ProgramType::SocketFilter, None, "r0 = 0\n exit")?;
    let id = host().prog_info(&program)?.id;
    let next = host().next_id(ObjectId::Program(id - 1))?;
    ensure(next == Some(ObjectId::Program(id)), || format!("{next:?}"))?;
    let same = host().prog_by_id(id)?.ok_or_else(|| Stop::fail("gone"))?;
    ensure(host().prog_info(&same)?.id == id, || "another".into())?;
    ensure(
        host().next_id(ObjectId::Program(u32::MAX - 1))?.is_none(),
        || "no end".into(),
    )
}

fn map_ids() -> Outcome {
    let map = counter()?;
    let id = host().map_info(&map)?.id;
    let next = host().next_id(ObjectId::Map(id - 1))?;
    ensure(next == Some(ObjectId::Map(id)), || format!("{next:?}"))?;
    let same = host()
        .map_by_id(id, ObjectFlags::WRONLY)?
        .ok_or_else(|| Stop::fail("gone"))?;
    host().map_update_elem(&same, &[0; 4], &[1; 8], 0)?;
    let error = expect_err("a read", {
        host().map_lookup_elem(&same, &[0; 4], &mut [0; 8], 0)
    })?;
    ensure(error.errno() == Some(Errno::EPERM), || error.to_string())
}

/// BTF of `int`.
fn int_btf() -> Result<BtfFd, Stop> {
    let mut bytes = vec![];
    bytes.extend(0xeb9fu16.to_ne_bytes());
    bytes.extend([1, 0]);
    for word in [24u32, 0, 16, 16, 5, 1, 0x0100_0000, 4, 0x0100_0020] {
        bytes.extend(word.to_ne_bytes());
    }
    bytes.extend(b"\0int\0");
    Ok(host().btf_load(&BtfLoad {
        object: "int",
        bytes: &bytes,
        log_level: LogLevel::OnFailure,
        token: None,
    })?)
}

fn btf_ids() -> Outcome {
    let btf = int_btf()?;
    let id = host().btf_info(&btf)?.id;
    let same = host()
        .btf_by_id(id, None)?
        .ok_or_else(|| Stop::fail("gone"))?;
    ensure(host().btf_info(&same)?.id == id, || "another".into())?;
    needs_kernel(5, 4)?;
    let next = host().next_id(ObjectId::Btf(id - 1))?;
    ensure(next == Some(ObjectId::Btf(id)), || format!("{next:?}"))
}

fn info() -> Outcome {
    let (map, program, btf) = (counter()?, passing()?, int_btf()?);
    let ids = [
        host().map_info(&map)?.id,
        host().prog_info(&program)?.id,
        host().btf_info(&btf)?.id,
    ];
    ensure(!ids.contains(&0), || format!("{ids:?}"))
}

fn sys_enter(program: &ProgramFd, cookie: u64) -> Result<LinkFd, Stop> {
    Ok(host().raw_tracepoint_open(program, Some("sys_enter"), cookie)?)
}

fn raw_tracepoint() -> Outcome {
    let hits = counter()?;
    let pid = std::process::id();
    let text = counting(&hits, Some(pid), 0);
    let program = load(ProgramType::RawTracepoint, None, &text)?;
    let cookie = if needs_kernel(6, 10).is_ok() { 99 } else { 0 };
    let link = sys_enter(&program, cookie)?;
    skep_testing::eventually("a system call counted", || Ok(count(&hits)? > 0))?;
    needs_kernel(5, 8)?;
    let told = host().link_info(&link)?.details;
    let LinkDetails::RawTracepoint { name, cookie: told } = &told else {
        return Err(Stop::Fail(format!("{told:?}")));
    };
    let right = needs_kernel(6, 17).is_err() || *told == cookie;
    ensure(name == "sys_enter" && right, || format!("{name} {told}"))
}

fn task_fd() -> Outcome {
    let program = load(ProgramType::RawTracepoint, None, "r0 = 0\n exit")?;
    let link = sys_enter(&program, 0)?;
    let found = host().task_fd_query(std::process::id(), link.raw())?;
    ensure(
        found.program_id == host().prog_info(&program)?.id
            && found.kind == TaskFdType::RawTracepoint.raw()
            && found.name == "sys_enter",
        || format!("{found:?}"),
    )?;
    perf_events()?;
    let error = expect_err("a program's descriptor", {
        host().task_fd_query(std::process::id(), program.raw())
    })?;
    ensure(error.to_string().contains("descriptor"), || {
        error.to_string()
    })
}

/// Where a program sits on a perf event that this process holds (before 5.15), it is found there.
fn perf_events() -> Outcome {
    let program = load(ProgramType::Tracepoint, None, "r0 = 0\n exit")?;
    let point = AttachPoint::Tracepoint {
        category: "syscalls".into(),
        name: "sys_enter_getppid".into(),
        cookie: None,
    };
    let _attachment = host().attach("p", &program, ProgramType::Tracepoint, &point)?;
    for entry in std::fs::read_dir("/proc/self/fd")?.flatten() {
        let target = std::fs::read_link(entry.path()).unwrap_or_default();
        let Some(raw) = entry.file_name().to_str().and_then(|raw| raw.parse().ok()) else {
            continue;
        };
        if target.to_string_lossy() == "anon_inode:[perf_event]" {
            let found = host().task_fd_query(std::process::id(), raw)?;
            ensure(
                found.program_id == host().prog_info(&program)?.id
                    && found.kind == TaskFdType::Tracepoint.raw()
                    && found.name == "sys_enter_getppid",
                || format!("{found:?}"),
            )?;
        }
    }
    Ok(())
}

fn close_on_exec() -> Outcome {
    /// `O_CLOEXEC`, in octal digits as the kernel shows it.
    const CLOEXEC: u32 = 0o2_000_000;
    let (map, program, btf) = (counter()?, passing()?, int_btf()?);
    let raw = load(ProgramType::RawTracepoint, None, "r0 = 0\n exit")?;
    let link = sys_enter(&raw, 0)?;
    let copy = map.try_clone()?;
    let by_id = host().map_by_id(host().map_info(&map)?.id, ObjectFlags::empty())?;
    let by_id = by_id.ok_or_else(|| Stop::fail("gone"))?;
    let mut all = vec![
        map.raw(),
        program.raw(),
        btf.raw(),
        link.raw(),
        copy.raw(),
        by_id.raw(),
    ];
    let statistics = host().enable_stats().ok();
    all.extend(statistics.iter().map(skep_host::StatsFd::raw));
    for raw in all {
        let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{raw}"))?;
        let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = u32::from_str_radix(flags.unwrap_or_default().trim(), 8)?;
        ensure(flags & CLOEXEC != 0, || {
            format!("descriptor {raw}: {flags:o}")
        })?;
    }
    Ok(())
}

fn links() -> Outcome {
    needs_kernel(5, 9)?;
    let own = Cgroup::new()?;
    let cgroup = host().cgroup_open(own.path())?;
    let (first, second) = (passing()?, passing()?);
    let link = host().link_create(&LinkCreate {
        program: (&first).into(),
        target: LinkTarget::Cgroup(&cgroup),
        attach_type: AttachType::CgroupInetIngress,
        flags: 0,
        options: LinkOptions::None,
    })?;
    let told = host().link_info(&link)?;
    let next = host().next_id(ObjectId::Link(told.id - 1))?;
    ensure(next == Some(ObjectId::Link(told.id)), || {
        format!("{next:?}")
    })?;
    let same = host()
        .link_by_id(told.id)?
        .ok_or_else(|| Stop::fail("gone"))?;
    let wrong = host().link_update(&same, (&second).into(), Some((&second).into()));
    let error = expect_err("a swap of what is not there", wrong)?;
    ensure(
        refused(&error, Command::LinkUpdate)? == Errno::EPERM,
        || error.to_string(),
    )?;
    host().link_update(&same, (&second).into(), Some((&first).into()))?;
    let program = host().link_info(&link)?.program_id;
    ensure(program == host().prog_info(&second)?.id, || {
        format!("{program}")
    })?;
    host().link_detach(&link)?;
    let told = host().link_info(&link)?.details;
    let gone = matches!(told, LinkDetails::Cgroup { cgroup: 0, .. });
    ensure(gone, || format!("{told:?}"))
}

fn no_struct_ops() -> Outcome {
    needs_kernel(6, 4)?;
    let map = counter()?;
    let error = expect_err("a map that is no struct_ops", {
        host().link_create(&LinkCreate {
            program: LinkSource::StructOps(&map),
            target: LinkTarget::None,
            attach_type: AttachType::StructOps,
            flags: 0,
            options: LinkOptions::None,
        })
    })?;
    ensure(
        refused(&error, Command::LinkCreate)? == Errno::EINVAL,
        || error.to_string(),
    )
}

fn statistics() -> Outcome {
    needs_kernel(5, 8)?;
    let program = load(ProgramType::Xdp, None, "r0 = 2\n exit")?;
    let run = || {
        let run = &mut TestRun {
            data_in: &[0; 64],
            repeat: 10,
            ..TestRun::default()
        };
        host().prog_test_run(&program, run)
    };
    let on = host().enable_stats()?;
    run()?;
    let ran = host().prog_info(&program)?.run_count;
    drop(on);
    run()?;
    let after = host().prog_info(&program)?.run_count;
    ensure(ran == 10 && after == ran, || format!("{ran}, {after}"))
}

fn iterate() -> Outcome {
    needs_kernel(5, 8)?;
    let program = task_iterator()?;
    let link = host().link_create(&LinkCreate {
        program: (&program).into(),
        target: LinkTarget::None,
        attach_type: AttachType::TraceIter,
        flags: 0,
        options: LinkOptions::Iterator(skep_host::IterTarget::All),
    })?;
    let iterator = host().iter_create(&link)?;
    let got = host().read(iterator.descriptor(), &mut [0; 16])?;
    let told = host().link_info(&link)?.details;
    let right = matches!(&told, LinkDetails::Iterator { target, .. } if target == "task");
    ensure(got > 0 && right, || format!("{got}: {told:?}"))
}

fn bind_map() -> Outcome {
    needs_kernel(5, 10)?;
    let (program, map) = (passing()?, counter()?);
    let id = host().map_info(&map)?.id;
    host().prog_bind_map(&program, &map)?;
    // Twice is once.
    host().prog_bind_map(&program, &map)?;
    drop(map);
    let maps = host().prog_info(&program)?.maps;
    ensure(maps == [id], || format!("{maps:?}, bound {id}"))
}

/// A frozen array that programs can only read, with `text` in its one value.
fn constant(text: &[u8]) -> Result<MapFd, Stop> {
    let name = name("rodata");
    let size = u32::try_from(text.len())?;
    let mut request = MapCreate::new(MapType::Array, &name, 4, size, 1);
    request.flags = MapCreateFlags::RDONLY_PROG;
    let map = host().map_create(&request)?;
    host().map_update_elem(&map, &[0; 4], text, 0)?;
    host().map_freeze(&map)?;
    Ok(map)
}

fn stream() -> Outcome {
    needs_kernel(6, 17)?;
    let printer =
        function("bpf_stream_vprintk").or_else(|_| function("bpf_stream_vprintk_impl"))?;
    let format = constant(b"the answer is %d\n\0")?;
    let text = format!(
        "
        r1 = 42
        *(u64 *)(r10 -8) = r1
        r1 = 1
        r2 = map[fd:{}]+0
        r3 = r10
        r3 += -8
        r4 = 8
        r5 = 0
        call kernel-function#{printer}
        exit",
        format.raw()
    );
    let program = load_with(ProgramType::Syscall, &text, |request| {
        request.flags = ProgLoadFlags::SLEEPABLE;
    })?;
    let ran = host().prog_test_run(&program, &mut TestRun::default())?;
    let mut buffer = [0; 64];
    let got = host().prog_stream_read(&program, ProgramStream::Output, &mut buffer)?;
    if ran.return_value.cast_signed() == -Errno::ENOMEM.0 {
        // Some kernels have no memory for streams (`kmalloc_nolock`), ever.
        ensure(got == 0, || format!("{got} bytes of nothing"))?;
        return Err(Stop::lacks(
            "a kernel that has memory for what programs print",
        ));
    }
    ensure(&buffer[..got] == b"the answer is 42\n", || {
        String::from_utf8_lossy(&buffer[..got]).into_owned()
    })?;
    for stream in [ProgramStream::Output, ProgramStream::Error] {
        let got = host().prog_stream_read(&program, stream, &mut buffer)?;
        ensure(got == 0, || format!("{got} more bytes in {stream:?}"))?;
    }
    Ok(())
}

fn assoc_struct_ops() -> Outcome {
    let (program, map) = (passing()?, counter()?);
    let error = expect_err("a map that is no struct_ops", {
        host().prog_assoc_struct_ops(&program, &map)
    })?;
    refused(&error, Command::ProgAssocStructOps)?;
    let since = Command::ProgAssocStructOps.since();
    let told = matches!(error.cause(), Some(Cause::KernelTooOld { needs, .. }) if *needs == since);
    ensure(told == (host().info().version < since), || {
        format!("{error}: {:?}", error.cause())
    })
}

fn exclusive() -> Outcome {
    needs_kernel(6, 18)?;
    let name = name("exclusive");
    let hash = [7; 32];
    let mut request = MapCreate::new(MapType::Array, &name, 4, 8, 1);
    request.exclusive = Some(&hash);
    let map = host().map_create(&request)?;
    let (code, name) = (code(&counting(&map, None, 0))?, name.clone());
    let request = ProgramLoad::new(ProgramType::RawTracepoint, &name, &code);
    let error = expect_err("a program of another hash", host().prog_load(&request))?;
    ensure(error.errno() == Some(Errno::EACCES), || {
        format!("{error}: {:?}", error.log())
    })
}

fn bound_array() -> Outcome {
    needs_kernel(6, 14)?;
    let map = counter()?;
    let (code, name, maps) = (code("r0 = 2\n exit")?, name("bound"), [map.raw()]);
    let mut request = ProgramLoad::new(ProgramType::Xdp, &name, &code);
    request.fd_array = &maps;
    request.bind_fd_array = true;
    let program = host().prog_load(&request)?.fd;
    let (bound, id) = (host().prog_info(&program)?.maps, host().map_info(&map)?.id);
    ensure(bound == [id], || format!("{bound:?}, bound {id}"))
}

fn parts() -> Outcome {
    let program = load(ProgramType::Xdp, None, "r0 = 2\n exit")?;
    let none = host().prog_details(&program, ProgramParts::default())?;
    ensure(
        none.translated.is_none() && none.jited.is_none() && none.tags.is_none(),
        || format!("{none:?}"),
    )?;
    let all = host().prog_details(&program, ProgramParts::ALL)?;
    let translated = all.translated.as_deref().unwrap_or_default();
    ensure(
        translated == code("r0 = 2\n exit")? && all.info.translated_size == 16,
        || format!("{all:?}"),
    )?;
    ensure(all.tags.as_deref() == Some(&[all.info.tag]), || {
        format!("{:?}", all.tags)
    })?;
    let (Some(jited), Some(lengths)) = (&all.jited, &all.symbol_lengths) else {
        return Err(Stop::lacks("visible machine code (kernel.kptr_restrict)"));
    };
    ensure(
        jited.len() == all.info.jited_size as usize
            && lengths.iter().sum::<u32>() == all.info.jited_size,
        || format!("{} {lengths:?}", jited.len()),
    )
}
