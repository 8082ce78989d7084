//! Links by id, pins of links and programs, statistics.

use std::time::Duration;

use skep_abi::{ObjectFlags, ProgramType};
use skep_host::{AttachPoint, Host, LinkFd, ObjectId, Pinned, TestRun};
use skep_testing::{Bpffs, Outcome, Snapshot, Stop, Test, ensure, eventually, needs_kernel};

use crate::{
    harness::host,
    programs::{count, counter, counting, load},
};

pub(crate) fn trials() -> Vec<Test> {
    vec![
        Test::new("links::a_pinned_link_outlives_its_owner", pinned_link),
        Test::new("links::pins_know_what_they_hold", pin_kinds),
        Test::new("links::statistics_count_runs", statistics),
        Test::new("links::what_a_test_leaves_is_seen", leaks),
        Test::new("links::descriptors_of_another_kind_are_refused", wrong_kind),
    ]
}

fn sys_enter() -> AttachPoint<'static> {
    AttachPoint::RawTracepoint {
        name: "sys_enter".into(),
        cookie: None,
    }
}

fn pinned_link() -> Outcome {
    needs_kernel(5, 8)?;
    let bpffs = Bpffs::mount()?;
    let path = bpffs.path().join("link");
    let hits = counter()?;
    let pid = std::process::id();
    let program = load(
        ProgramType::RawTracepoint,
        None,
        &counting(&hits, Some(pid), 0),
    )?;
    let attachment = host().attach("count", &program, ProgramType::RawTracepoint, &sys_enter())?;
    let link = attachment
        .link_fd()
        .ok_or_else(|| Stop::Fail("no link".into()))?;
    let id = host().link_info(link)?.id;
    host().obj_pin(link.descriptor(), (&path).into())?;
    drop(attachment);
    let before = count(&hits)?;
    eventually("a system call counted", || Ok(count(&hits)? > before))?;
    ensure(host().link_by_id(id)?.is_some(), || {
        "the link is gone".into()
    })?;
    ensure(
        host().next_id(ObjectId::Link(id - 1))? == Some(ObjectId::Link(id)),
        || "ids".into(),
    )?;
    let Pinned::Link(link) = host().obj_get((&path).into(), ObjectFlags::empty())? else {
        return Err(Stop::Fail("not a link".into()));
    };
    host().obj_unpin(&path)?;
    drop(link);
    eventually("the link's end", || Ok(host().link_by_id(id)?.is_none()))
}

fn pin_kinds() -> Outcome {
    let bpffs = Bpffs::mount()?;
    let path = bpffs.path().join("program");
    let program = load(ProgramType::SocketFilter, None, "r0 = 0\n exit")?;
    host().obj_pin(program.descriptor(), (&path).into())?;
    let Pinned::Program(same) = host().obj_get((&path).into(), ObjectFlags::empty())? else {
        return Err(Stop::Fail("not a program".into()));
    };
    ensure(
        host().prog_info(&same)?.id == host().prog_info(&program)?.id,
        || "another".into(),
    )?;
    let elsewhere = host()
        .obj_pin(
            program.descriptor(),
            std::path::Path::new("/tmp/skep-no-bpffs").into(),
        )
        .expect_err("/tmp is no bpffs");
    ensure(elsewhere.cause().is_some(), || elsewhere.to_string())?;
    host().obj_unpin(&path)?;
    Ok(())
}

fn statistics() -> Outcome {
    needs_kernel(5, 8)?;
    let program = load(ProgramType::Xdp, None, "r0 = 2\n exit")?;
    let on = host().enable_stats()?;
    let (packet, repeat) = ([0; 64], 100);
    host().prog_test_run(
        &program,
        &mut TestRun {
            data_in: &packet,
            repeat,
            ..TestRun::default()
        },
    )?;
    let info = host().prog_info(&program)?;
    ensure(info.run_count == 100, || format!("{} runs", info.run_count))?;
    drop(on);
    Ok(())
}

fn wrong_kind() -> Outcome {
    // Asking a program for a link's name would let the kernel write where nothing was promised.
    let program = load(ProgramType::SocketFilter, None, "r0 = 0\n exit")?;
    let posing = LinkFd::new(program.into_descriptor());
    let error = host().link_info(&posing).expect_err("a program is no link");
    ensure(error.to_string().contains("link descriptor"), || {
        error.to_string()
    })
}

/// The check that stands around every test here.
fn leaks() -> Outcome {
    needs_kernel(5, 8)?;
    let (before, soon) = (Snapshot::take(host()), Duration::from_millis(50));
    let hits = counter()?;
    let program = load(ProgramType::RawTracepoint, None, &counting(&hits, None, 0))?;
    let attachment = host().attach("count", &program, ProgramType::RawTracepoint, &sys_enter())?;
    let bpffs = Bpffs::mount()?;
    let leaks = before.leaks(host(), soon);
    for (kind, number) in [
        ("descriptor", 3),
        ("map", 1),
        ("program", 1),
        ("link", 1),
        ("mount", 1),
    ] {
        let found = leaks
            .iter()
            .filter(|leak| leak.split(' ').next() == Some(kind));
        ensure(found.count() == number, || {
            format!("{number} of {kind}: {leaks:?}")
        })?;
    }
    // A pin holds a map that no descriptor does.
    let path = bpffs.path().join("map");
    host().obj_pin(hits.descriptor(), (&path).into())?;
    drop((attachment, program, hits));
    let leaks = before.leaks(host(), Duration::from_secs(1));
    ensure(
        leaks.len() == 2 && leaks.iter().any(|leak| leak.starts_with("map ")),
        || format!("{leaks:?}"),
    )?;
    host().obj_unpin(&path)?;
    drop(bpffs);
    let leaks = before.leaks(host(), Duration::from_secs(5));
    ensure(leaks.is_empty(), || format!("{leaks:?}"))
}
