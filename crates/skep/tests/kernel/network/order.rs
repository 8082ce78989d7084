//! Several programs on one hook run in the order that was asked for.

use std::net::UdpSocket;

use skep::{
    AttachOptions, Link,
    boundary::{CgroupMode, LinkTarget, Order, Position, ProgramQuery},
};
use skep_testing::{
    Cgroup, Outcome, Stop, Test, ensure, eventually, expect_err, in_netns, needs_kernel,
};

use super::{PORT, on_device};
use crate::support::{Running, boundary, object};

pub(super) fn tests() -> Vec<Test> {
    vec![
        Test::new("network::order_of_tcx_programs", tcx).of_hook("tcx (order)"),
        Test::new("network::order_of_a_cgroups_links", cgroup_links).of_hook("cgroup (order)"),
        Test::new("network::order_of_a_cgroups_programs", cgroup_programs),
        Test::new("network::preorder_runs_parents_first", preorder).of_hook("cgroup (preorder)"),
        Test::new("network::an_override_takes_its_parents_place", overrides)
            .of_hook("cgroup (override)"),
    ]
}

pub(super) fn loaded(programs: &[&str]) -> Outcome<Running> {
    let mut object = object("order")?;
    object.only_programs(programs)?;
    Running::of(object)
}

/// Sends a packet and gives the letters that the programs wrote, which are so many.
fn order(running: &Running, count: usize) -> Outcome<String> {
    running.set("written", &0_u64.to_ne_bytes())?;
    let receiver = UdpSocket::bind(("127.0.0.1", PORT))?;
    UdpSocket::bind("127.0.0.1:0")?.send_to(b"x", receiver.local_addr()?)?;
    let mut text = String::new();
    eventually(&format!("{count} programs ran"), || {
        let letters = running.number("written")?.to_be_bytes();
        text = letters
            .iter()
            .filter(|byte| **byte != 0)
            .map(|byte| char::from(*byte))
            .collect();
        Ok(text.len() >= count)
    })?;
    Ok(text)
}

pub(super) fn in_order(running: &Running, expect: &str) -> Outcome {
    let order = order(running, expect.len())?;
    ensure(order == expect, || format!("`{order}`, not `{expect}`"))
}

fn id(link: &Link) -> Outcome<u32> {
    let info = link.info()?;
    Ok(info.first().ok_or_else(|| Stop::fail("no link"))?.id)
}

pub(super) fn at(base: &AttachOptions, position: Position) -> AttachOptions {
    AttachOptions {
        order: position.into(),
        ..base.clone()
    }
}

fn tcx() -> Outcome {
    needs_kernel(6, 6)?;
    in_netns(|_| {
        let running = loaded(&["tcx_a", "tcx_b", "tcx_c"])?;
        let lo = on_device("lo");
        let program = |name| running.loaded.program(name);
        let a = program("tcx_a")?.attach_with(&lo)?;
        let c = program("tcx_c")?.attach_with(&at(&lo, Position::Last))?;
        let b = program("tcx_b")?.attach_with(&at(&lo, Position::AfterLink(id(&a)?)))?;
        in_order(&running, "abc")?;
        drop(b);
        let before = program("tcx_a")?.fd();
        let before = Position::BeforeProgram(boundary().prog_info(before)?.id);
        let b = program("tcx_b")?.attach_with(&at(&lo, before))?;
        in_order(&running, "bac")?;
        drop(b);
        let b = program("tcx_b")?.attach_with(&at(&lo, Position::BeforeLink(id(&c)?)))?;
        in_order(&running, "abc")?;
        drop(c);

        let answer = boundary().prog_query(&ProgramQuery {
            target: LinkTarget::Device(boundary().device_index("lo")?),
            attach_type: skep::abi::AttachType::TcxEgress,
            flags: skep::abi::QueryFlags::empty(),
        })?;
        ensure(answer.links == [id(&a)?, id(&b)?], || format!("{answer:?}"))?;
        let as_of = |revision| AttachOptions {
            order: Order {
                position: Position::First,
                revision,
                ..Order::default()
            },
            ..lo.clone()
        };
        let stale = program("tcx_c")?.attach_with(&as_of(answer.revision - 1));
        let stale = expect_err("an old revision", stale)?;
        let cause = stale.cause().map(ToString::to_string).unwrap_or_default();
        ensure(cause.contains("query it again"), || {
            format!("{stale}: {cause}")
        })?;
        let _c = program("tcx_c")?.attach_with(&as_of(answer.revision))?;
        in_order(&running, "cab")?;
        let twice = expect_err("twice", program("tcx_c")?.attach_with(&lo))?;
        let cause = twice.cause().map(ToString::to_string).unwrap_or_default();
        ensure(cause.contains("already"), || format!("{twice}: {cause}"))
    })
}

fn of_cgroup(cgroup: &Cgroup) -> AttachOptions {
    AttachOptions {
        cgroup: Some(cgroup.path().to_owned()),
        ..AttachOptions::default()
    }
}

/// An older kernel says no, and Skep says which would not; but some of those that are cared for long
/// have it since (6.12.117).
fn since(major: u8, minor: u8, attached: skep::Result<Link>) -> Outcome<Link> {
    let (Err(error), Err(too_old)) = (&attached, needs_kernel(major, minor)) else {
        return Ok(attached?);
    };
    let cause = error.cause().map(ToString::to_string).unwrap_or_default();
    let named = cause.contains(&format!("{major}.{minor}"));
    ensure(named, || format!("{error}: {cause}"))?;
    Err(too_old)
}

fn cgroup_links() -> Outcome {
    needs_kernel(5, 7)?;
    let cgroup = Cgroup::new()?;
    cgroup.join()?;
    in_netns(|_| {
        let running = loaded(&["cgroup_a", "cgroup_b", "cgroup_c"])?;
        let here = of_cgroup(&cgroup);
        let program = |name| running.loaded.program(name);
        let a = program("cgroup_a")?.attach_with(&here)?;
        let b = program("cgroup_b")?.attach_with(&at(&here, Position::BeforeLink(id(&a)?)));
        let b = since(6, 17, b)?;
        let c = program("cgroup_c")?.attach_with(&at(&here, Position::AfterLink(id(&b)?)))?;
        in_order(&running, "bca")?;
        drop(c);
        let _c = program("cgroup_c")?.attach_with(&at(&here, Position::First))?;
        in_order(&running, "cba")?;
        drop(b);
        // By its program a link is not found.
        let of_a = boundary().prog_info(program("cgroup_a")?.fd())?.id;
        let beside = program("cgroup_b")?.attach_with(&at(&here, Position::AfterProgram(of_a)));
        let error = expect_err("beside a link's program", beside)?;
        let fix = error.fix().unwrap_or_default();
        let right = fix.contains("name that link by its own id") || needs_kernel(6, 17).is_err();
        ensure(right, || format!("{error}: {fix}"))
    })
}

fn cgroup_programs() -> Outcome {
    needs_kernel(6, 17)?;
    let cgroup = Cgroup::new()?;
    cgroup.join()?;
    in_netns(|_| {
        let running = loaded(&["cgroup_a", "cgroup_b", "cgroup_c"])?;
        let program = |name| running.loaded.program(name);
        let here = AttachOptions {
            cgroup_mode: CgroupMode::Multi,
            ..of_cgroup(&cgroup)
        };
        let _a = program("cgroup_a")?.attach_with(&here)?;
        let first = program("cgroup_a")?.fd();
        let before = Position::BeforeProgram(boundary().prog_info(first)?.id);
        let mut b = program("cgroup_b")?.attach_with(&at(&here, before))?;
        in_order(&running, "ba")?;
        // Another program in its place, and in its place in the order.
        b.update(program("cgroup_c")?)?;
        in_order(&running, "ca")?;
        b.detach()?;
        in_order(&running, "a")
    })
}

/// A cgroup, one below it with this process, and what both are for.
fn two() -> Outcome<(Cgroup, Cgroup)> {
    let above = Cgroup::new()?;
    let below = above.below()?;
    below.join()?;
    Ok((above, below))
}

fn preorder() -> Outcome {
    needs_kernel(5, 7)?;
    let (above, below) = two()?;
    in_netns(|_| {
        let running = loaded(&["cgroup_a", "cgroup_b"])?;
        let program = |name| running.loaded.program(name);
        let _below = program("cgroup_a")?.attach_with(&of_cgroup(&below))?;
        let mut before = of_cgroup(&above);
        let after = program("cgroup_b")?.attach_with(&before)?;
        in_order(&running, "ab")?;
        drop(after);
        before.order.preorder = true;
        before.cgroup_mode = CgroupMode::Multi;
        let first = program("cgroup_b")?.attach_with(&before);
        let _first = since(6, 15, first)?;
        in_order(&running, "ba")
    })
}

fn overrides() -> Outcome {
    let (above, below) = two()?;
    in_netns(|_| {
        let running = loaded(&["cgroup_a", "cgroup_b"])?;
        let program = |name| running.loaded.program(name);
        let with = |cgroup, cgroup_mode| AttachOptions {
            cgroup_mode,
            ..of_cgroup(cgroup)
        };
        let _above = program("cgroup_a")?.attach_with(&with(&above, CgroupMode::Override))?;
        in_order(&running, "a")?;
        let there = program("cgroup_b")?.attach_with(&with(&below, CgroupMode::Override))?;
        in_order(&running, "b")?;
        there.detach()?;
        in_order(&running, "a")?;
        drop(_above);
        // Alone, it lets nobody else be.
        let _alone = program("cgroup_a")?.attach_with(&with(&above, CgroupMode::Exclusive))?;
        let other = program("cgroup_b")?.attach_with(&with(&below, CgroupMode::Multi));
        let error = expect_err("below one that is alone", other)?;
        let cause = error.cause().map(ToString::to_string).unwrap_or_default();
        ensure(cause.contains("alone"), || format!("{error}: {cause}"))
    })
}
