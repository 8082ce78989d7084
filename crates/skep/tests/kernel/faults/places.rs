//! Cgroups and network devices that are removed under the programs attached to them: the links stay,
//! attached to nothing, and say so.

use std::fs;

use skep::{
    AttachOptions, Link, Program,
    boundary::{Errno, LinkDetails},
};
use skep_testing::{
    Bpffs, Cgroup, Outcome, Stop, Test, ensure, eventually, expect_err, in_netns, needs_kernel,
};

use crate::{
    hooks::datagram,
    support::{Running, boundary, host, me, object},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("faults::a_cgroup_is_removed_under_its_link", cgroup),
        Test::new("faults::a_cgroup_is_removed_under_a_pinned_link", pinned),
        Test::new("faults::a_device_is_removed_under_its_links", device),
    ]
}

fn in_cgroup(cgroup: &Cgroup) -> AttachOptions {
    AttachOptions {
        cgroup: Some(cgroup.path().to_owned()),
        ..AttachOptions::default()
    }
}

fn running(source: &str, program: &str) -> Outcome<Running> {
    let mut object = object(source)?;
    object.only_programs(&[program])?;
    if source == "hooks" {
        object.global("target_pid")?.set(me())?;
    }
    Running::of(object)
}

/// Removes a cgroup in which no process is left.
fn remove(cgroup: &Cgroup) -> Outcome {
    eventually("its removal", || Ok(fs::remove_dir(cgroup.path()).is_ok()))
}

/// A link's place is gone: so say its information and an attempt to swap its program.
fn is_dead(mut link: Link, other: &std::sync::Arc<Program>) -> Outcome {
    let at = |link: &Link| -> Outcome<u64> {
        let info = link.info()?;
        match info.first().map(|info| &info.details) {
            Some(LinkDetails::Cgroup { cgroup, .. }) => Ok(*cgroup),
            Some(LinkDetails::Device { ifindex, .. }) => Ok(u64::from(*ifindex)),
            other => Err(Stop::fail(format!("{other:?}"))),
        }
    };
    eventually("the place's end", || Ok(at(&link)? == 0))?;
    let error = expect_err("a swap", link.update(other))?;
    let skep::Error::Host(refusal) = &error else {
        return Err(Stop::fail(error.to_string()));
    };
    let said = error.cause().map(ToString::to_string).unwrap_or_default();
    ensure(
        refusal.errno() == Some(Errno::ENOLINK) && said.contains("is gone"),
        || format!("{error}; {said}"),
    )?;
    Ok(link.detach()?)
}

fn cgroup() -> Outcome {
    needs_kernel(5, 8)?;
    let running = running("hooks", "cgroup_sock_create")?;
    let program = running.loaded.program("cgroup_sock_create")?;
    let link = {
        let cgroup = Cgroup::new()?;
        cgroup.join()?;
        let link = program.attach_with(&in_cgroup(&cgroup))?;
        datagram()?;
        link
        // The test's process goes home here, and the cgroup.
    };
    let hits = running.number("hits")?;
    ensure(hits > 0, || "it did not fire".into())?;
    is_dead(link, program)?;
    datagram()?;
    let after = running.number("hits")?;
    ensure(after == hits, || format!("{hits} hits, then {after}"))
}

fn pinned() -> Outcome {
    needs_kernel(5, 9)?;
    let running = running("hooks", "cgroup_sock_create")?;
    let program = running.loaded.program("cgroup_sock_create")?;
    let (cgroup, pins) = (Cgroup::new()?, Bpffs::mount()?);
    let path = pins.path().join("link");
    let link = program.attach_with(&in_cgroup(&cgroup))?;
    link.pin(&path)?;
    drop(link);
    remove(&cgroup)?;
    // The next one of this name is another: nothing is attached to it.
    fs::create_dir(cgroup.path())?;
    cgroup.join()?;
    datagram()?;
    let hits = running.number("hits")?;
    ensure(hits == 0, || format!("{hits} hits in another cgroup"))?;
    let link = Link::open_pinned(host().boundary().clone(), &path)?;
    let id = link.info()?.id;
    link.detach()?;
    link.unpin()?;
    eventually("the link's end", || {
        Ok(boundary().link_by_id(id)?.is_none())
    })
}

fn device() -> Outcome {
    needs_kernel(5, 9)?;
    in_netns(|tools| {
        tools.ip("link add skep-gone type veth peer name skep-peer")?;
        let mut links = Vec::new();
        for (program, since) in [("device", (5, 9)), ("coming", (6, 6))] {
            if needs_kernel(since.0, since.1).is_err() {
                continue;
            }
            let running = running("network", program)?;
            let loaded = std::sync::Arc::clone(running.loaded.program(program)?);
            let link = loaded.attach_with(&AttachOptions {
                device: Some("skep-gone".into()),
                ..AttachOptions::default()
            })?;
            links.push((loaded, link));
        }
        tools.ip("link delete skep-gone")?;
        for (program, link) in links {
            is_dead(link, &program)?;
        }
        Ok(())
    })
}
