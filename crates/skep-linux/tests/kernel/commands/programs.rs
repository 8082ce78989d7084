//! The commands on programs: load, attach, run, read what they say.

use skep_abi::{
    AttachFlags, AttachType, Command, MapCreateFlags, MapType, ProgLoadFlags, ProgramType,
    QueryFlags, TestRunFlags,
};
use skep_host::{
    Cause, Errno, Host, LinkTarget, MapCreate, MapFd, ObjectId, ProgramAttach, ProgramFd,
    ProgramLoad, ProgramParts, ProgramQuery, ProgramStream, TestRun,
};
use skep_testing::{Cgroup, Outcome, Stop, ensure, expect_err, needs_kernel};

use super::{links::int_btf, refused};
use crate::{
    harness::{host, name},
    programs::{code, counter, load, load_with},
    reading::function,
};

pub(super) fn prog_load() -> Outcome {
    let program = load(ProgramType::SocketFilter, None, "r0 = 0\n exit")?;
    let info = host().prog_info(&program)?;
    ensure(
        info.program_type() == Some(ProgramType::SocketFilter) && info.gpl_compatible,
        || format!("{info:?}"),
    )
}

/// A program that lets packets of a cgroup pass.
pub(super) fn passing() -> Result<ProgramFd, Stop> {
    load(
        ProgramType::CgroupSkb,
        Some(AttachType::CgroupInetIngress),
        "r0 = 1\n exit",
    )
}

pub(super) fn attach() -> Outcome {
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

pub(super) fn query() -> Outcome {
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

pub(super) fn test_run() -> Outcome {
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

pub(super) fn program_ids() -> Outcome {
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

pub(super) fn info() -> Outcome {
    let (map, program, btf) = (counter()?, passing()?, int_btf()?);
    let ids = [
        host().map_info(&map)?.id,
        host().prog_info(&program)?.id,
        host().btf_info(&btf)?.id,
    ];
    ensure(!ids.contains(&0), || format!("{ids:?}"))
}

pub(super) fn statistics() -> Outcome {
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

pub(super) fn bind_map() -> Outcome {
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

pub(super) fn stream() -> Outcome {
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

pub(super) fn assoc_struct_ops() -> Outcome {
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

pub(super) fn bound_array() -> Outcome {
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

pub(super) fn parts() -> Outcome {
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
