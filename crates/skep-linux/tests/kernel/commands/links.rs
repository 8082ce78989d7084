//! The commands on links, BTF and what a descriptor is.

use std::os::{fd::AsRawFd as _, unix::fs::MetadataExt as _};

use rustix::process::{PidfdFlags, getpid, pidfd_open};
use skep_abi::{AttachType, CgroupIterOrder, Command, ObjectFlags, ProgramType, TaskFdType};
use skep_host::{
    AttachPoint, BtfFd, BtfLoad, CgroupRoot, Errno, Host, IterScope, IterTarget, LinkCreate,
    LinkDetails, LinkFd, LinkOptions, LinkSource, LinkTarget, LogLevel, ObjectId, ProgramFd,
};
use skep_testing::{Cgroup, Outcome, Stop, ensure, expect_err, needs_kernel};

use super::{programs::passing, refused};
use crate::{
    harness::host,
    programs::{count, counter, counting, load, load_with},
    reading::{function, task_iterator},
};

/// BTF of `int`.
pub(super) fn int_btf() -> Result<BtfFd, Stop> {
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

pub(super) fn btf_ids() -> Outcome {
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

fn sys_enter(program: &ProgramFd, cookie: u64) -> Result<LinkFd, Stop> {
    Ok(host().raw_tracepoint_open(program, Some("sys_enter"), cookie)?)
}

pub(super) fn raw_tracepoint() -> Outcome {
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

pub(super) fn task_fd() -> Outcome {
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

pub(super) fn close_on_exec() -> Outcome {
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

pub(super) fn links() -> Outcome {
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

pub(super) fn no_struct_ops() -> Outcome {
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

pub(super) fn iterate() -> Outcome {
    needs_kernel(5, 8)?;
    let program = task_iterator()?;
    let link = host().link_create(&LinkCreate {
        program: (&program).into(),
        target: LinkTarget::None,
        attach_type: AttachType::TraceIter,
        flags: 0,
        options: LinkOptions::Iterator(IterTarget::All),
    })?;
    let iterator = host().iter_create(&link)?;
    let got = host().read(iterator.descriptor(), &mut [0; 16])?;
    let told = host().link_info(&link)?.details;
    let right = matches!(&told, LinkDetails::Iterator { target, .. } if target == "task");
    ensure(got > 0 && right, || format!("{got}: {told:?}"))
}

/// The links of iterators tell what they were told to walk over.
/// The scope that an iterator's link tells; skips where the machine keeps programs off it.
fn scope(hook: &'static str, target: IterTarget<'_>) -> Outcome<IterScope> {
    let attach_btf_id = function(hook)?;
    let loaded = load_with(ProgramType::Tracing, "r0 = 0\n exit", |request| {
        request.expected_attach_type = Some(AttachType::TraceIter);
        request.attach_btf_id = attach_btf_id;
    });
    let program = match loaded {
        // What stands before this kernel lets some of its iterators alone be used, by root too.
        Err(Stop::Fail(text)) if text.contains("(EPERM)") => {
            return Err(Stop::lacks(format!("the right to programs on {hook}")));
        }
        loaded => loaded?,
    };
    let link = host().link_create(&LinkCreate {
        program: (&program).into(),
        target: LinkTarget::None,
        attach_type: AttachType::TraceIter,
        flags: 0,
        options: LinkOptions::Iterator(target),
    })?;
    match host().link_info(&link)?.details {
        LinkDetails::Iterator { scope, .. } => Ok(scope),
        other => Err(Stop::Fail(format!("{other:?}"))),
    }
}

pub(super) fn element_iterator_scope() -> Outcome {
    needs_kernel(6, 1)?;
    let map = counter()?;
    let id = host().map_info(&map)?.id;
    let found = scope("bpf_iter_bpf_map_elem", IterTarget::Map(&map))?;
    ensure(found == IterScope::Map { id }, || format!("{found:?}"))
}

pub(super) fn iterator_scopes() -> Outcome {
    needs_kernel(6, 1)?;
    let own = Cgroup::new()?;
    let cgroup = host().cgroup_open(own.path())?;
    let id = own.path().metadata()?.ino();
    let order = CgroupIterOrder::AncestorsUp;
    for root in [CgroupRoot::Directory(&cgroup), CgroupRoot::Id(id)] {
        let found = scope("bpf_iter_cgroup", IterTarget::Cgroup { root, order })?;
        let order = order.raw();
        ensure(found == IterScope::Cgroup { id, order }, || {
            format!("{found:?}, wanted {id}")
        })?;
    }
    let process = std::process::id();
    let pidfd = pidfd_open(getpid(), PidfdFlags::empty())?;
    for (target, thread, process) in [
        (IterTarget::ProcessFile(pidfd.as_raw_fd()), 0, process),
        (IterTarget::Process(process), 0, process),
        (IterTarget::Thread(process), process, 0),
        (IterTarget::All, 0, 0),
    ] {
        let found = scope("bpf_iter_task", target)?;
        ensure(found == IterScope::Task { thread, process }, || {
            format!("{target:?}: {found:?}")
        })?;
    }
    Ok(())
}
