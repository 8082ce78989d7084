//! Filters of traffic control: the older form of the hook, which every kernel has.

use std::process::Command;

use skep::{
    AttachOptions, Link,
    boundary::{AttachPoint, Errno, Filter, FilterParent, FilterSlot, Position, TcxDirection},
};
use skep_testing::{Outcome, Stop, Test, ensure, expect_err, find_tool, in_netns};

use super::{
    counted, five_come, network, on_device,
    order::{in_order, loaded},
    send_five,
};
use crate::support::boundary;

pub(super) fn tests() -> Vec<Test> {
    vec![
        Test::new("network::clsact_sees_both_directions", clsact).of_hook("tc (clsact)"),
        Test::new("network::filters_have_the_place_that_was_asked_for", places)
            .of_hook("tc (priority and handle)"),
        Test::new(
            "network::a_discipline_goes_with_its_last_filter",
            disciplines,
        ),
        Test::new("network::filters_of_a_block_are_of_all_its_devices", block)
            .of_hook("tc (block)"),
        Test::new("network::filters_of_a_class_see_what_is_queued", class).of_hook("tc (class)"),
    ]
}

fn side(direction: TcxDirection) -> Outcome<FilterParent> {
    Ok(FilterParent::Device {
        ifindex: boundary().device_index("lo")?,
        direction,
    })
}

/// What `tc` says to these words, in which `~` stands for a space.
fn tc(words: &str) -> Outcome<String> {
    let words: Vec<String> = words
        .split_whitespace()
        .map(|word| word.replace('~', " "))
        .collect();
    let said = Command::new(find_tool("tc")?).args(&words).output()?;
    ensure(said.status.success(), || format!("tc {words:?}: {said:?}"))?;
    Ok(String::from_utf8_lossy(&said.stdout).into_owned())
}

/// A filter of another's: classic code, which lets pass.
const THEIRS: &str = "bpf bytecode 1,6~0~0~4294967295, classid 1:1";

/// The older form of the hook, which every kernel has.
fn clsact() -> Outcome {
    in_netns(|_| {
        let running = network(&["coming", "going"])?;
        let on = |name: &str, direction, position| {
            let slot = FilterSlot {
                position,
                ..FilterSlot::default()
            };
            let point = AttachPoint::Clsact {
                parent: side(direction)?,
                slot,
            };
            Ok::<_, Stop>(running.loaded.program(name)?.attach_to(&point)?)
        };
        let comes = on("coming", TcxDirection::Ingress, Position::Last)?;
        // Of one device the second finds the discipline of the first.
        let mut goes = on("going", TcxDirection::Egress, Position::First)?;
        five_come("attached", &send_five()?)?;
        let both = |coming, going| {
            counted(&running, "at_ingress", coming)?;
            counted(&running, "at_egress", going)
        };
        both(5, 5)?;
        // The first goes, and the discipline stays for the other.
        comes.detach()?;
        five_come("one of them", &send_five()?)?;
        both(5, 10)?;
        goes.update(running.loaded.program("coming")?)?;
        five_come("the other program", &send_five()?)?;
        both(10, 10)?;
        let last = on("going", TcxDirection::Egress, Position::Last)?;
        five_come("two in a row", &send_five()?)?;
        both(15, 15)?;
        let beside = AttachPoint::Clsact {
            parent: side(TcxDirection::Egress)?,
            slot: FilterSlot {
                position: Position::AfterProgram(1),
                ..FilterSlot::default()
            },
        };
        let beside = running.loaded.program("going")?.attach_to(&beside);
        let fix = expect_err("beside a program", beside)?.fix();
        ensure(fix.as_ref().is_some_and(|fix| fix.contains("tcx")), || {
            format!("{fix:?}")
        })?;
        drop((goes, last));
        five_come("detached", &send_five()?)?;
        both(15, 15)
    })
}

fn at(slot: FilterSlot) -> AttachOptions {
    AttachOptions {
        filter: Some(slot),
        ..on_device("lo")
    }
}

fn slot(text: &str) -> Outcome<FilterSlot> {
    text.parse().map_err(Stop::fail)
}

fn filter(link: &Link) -> Outcome<Filter> {
    let filter = link.filter().cloned();
    filter.ok_or_else(|| Stop::fail("no filter"))
}

/// An error that says so, and what the kernel answered.
fn refused(what: &str, attached: skep::Result<Link>, errno: Errno, says: &str) -> Outcome {
    let error = expect_err(what, attached)?;
    let cause = error.cause().map(ToString::to_string).unwrap_or_default();
    let answer = match &error {
        skep::Error::Host(error) => error.errno(),
        _ => None,
    };
    ensure(answer == Some(errno) && cause.contains(says), || {
        format!("{what}: {error}: {cause}")
    })
}

fn places() -> Outcome {
    in_netns(|_| {
        let running = loaded(&["tc_a", "tc_b", "tc_c"])?;
        let program = |name| running.loaded.program(name);
        let id = |name| Outcome::Ok(boundary().prog_info(program(name)?.fd())?.id);
        let egress = side(TcxDirection::Egress)?;

        let a = program("tc_a")?.attach_with(&at(slot("20:0x7")?))?;
        let made = filter(&a)?;
        ensure(
            made.parent == egress
                && (made.priority, made.handle, made.direct) == (20, 7, true)
                && (made.kind.as_str(), made.program) == ("bpf", Some(id("tc_a")?)),
            || format!("{made:?}"),
        )?;
        // A handle of the kernel's, an earlier priority, and one by its position.
        let b = program("tc_b")?.attach_with(&at(slot("10")?))?;
        in_order(&running, "ba")?;
        let chosen = filter(&b)?;
        ensure(chosen.priority == 10 && chosen.handle != 0, || {
            format!("{chosen:?}")
        })?;
        let last = program("tc_b")?.attach_with(&at(FilterSlot::default()))?;
        in_order(&running, "bab")?;
        ensure(filter(&last)?.priority == 21, || {
            format!("{:?}", filter(&last))
        })?;
        last.detach()?;

        // What is taken says by whom.
        let taken = program("tc_b")?.attach_with(&at(slot("20:7")?));
        let says = format!("of program {} already", id("tc_a")?);
        refused("a taken place", taken, Errno::EEXIST, &says)?;
        in_order(&running, "ba")?;
        let slot = |replace| FilterSlot {
            replace,
            ..FilterSlot::default()
        };
        let vague = program("tc_b")?.attach_with(&at(slot(true)));
        refused(
            "a vague place",
            vague,
            Errno::EINVAL,
            "by its priority and its handle",
        )?;

        // Filters of others are listed, and their priorities refused.
        tc(&format!(
            "filter add dev lo egress protocol ip pref 5 {THEIRS}"
        ))?;
        let theirs = program("tc_a")?.attach_with(&at("5".parse().map_err(Stop::fail)?));
        refused(
            "another kind",
            theirs,
            Errno::EINVAL,
            "filters `bpf` of protocol 0x0800",
        )?;
        let all = boundary().filters(egress)?;
        let seen: Vec<_> = all
            .iter()
            .map(|filter| (filter.priority, filter.kind.as_str(), filter.program))
            .collect();
        let expect = [
            (5, "bpf", None),
            (10, "bpf", Some(id("tc_b")?)),
            (20, "bpf", Some(id("tc_a")?)),
        ];
        ensure(seen == expect, || format!("{all:?}"))?;
        ensure(
            boundary().filters(side(TcxDirection::Ingress)?)?.is_empty(),
            || "filters at ingress".into(),
        )?;
        ensure(boundary().filter_remove(&all[0])?, || "not there".into())?;
        ensure(!boundary().filter_remove(&all[0])?, || "still there".into())?;

        // A replaced filter is not its first maker's any more.
        let mut a = a;
        let replacing =
            program("tc_b")?.attach_with(&at("20:7:replace".parse().map_err(Stop::fail)?))?;
        in_order(&running, "bb")?;
        let stale = expect_err("an update of what was replaced", a.update(program("tc_a")?))?;
        ensure(stale.fix().is_some_and(|fix| !fix.is_empty()), || {
            format!("{stale}")
        })?;
        a.detach()?;
        in_order(&running, "bb")?;
        let mut replacing = replacing;
        replacing.update(program("tc_a")?)?;
        in_order(&running, "ba")?;
        ensure(filter(&replacing)?.program == Some(id("tc_a")?), || {
            format!("{:?}", replacing.filter())
        })?;
        drop((b, replacing));
        ensure(boundary().filters(egress)?.is_empty(), || "left".into())
    })
}

fn disciplines() -> Outcome {
    in_netns(|_| {
        let running = loaded(&["tc_a", "tc_b", "tc_c"])?;
        let attach = |name: &str| {
            let program = running.loaded.program(name)?;
            Outcome::Ok(program.attach_with(&at(FilterSlot::default()))?)
        };
        let there = || Outcome::Ok(tc("qdisc show dev lo")?.contains("clsact"));
        let is = |expect: bool, when: &str| {
            let there = there()?;
            ensure(there == expect, || format!("{when}: {there}"))
        };
        // Whichever goes last takes it along, whoever made it.
        let (first, second) = (attach("tc_a")?, attach("tc_c")?);
        drop(first);
        is(true, "one is left")?;
        drop(second);
        is(false, "none is left")?;
        // Of others it has filters: it stays.
        let ours = attach("tc_a")?;
        tc(&format!("filter add dev lo ingress protocol all {THEIRS}"))?;
        drop(ours);
        is(true, "another's filter is there")?;
        tc("qdisc del dev lo clsact")?;
        // It is another's: it stays, too, and what fails makes none.
        tc("qdisc add dev lo clsact")?;
        drop(attach("tc_a")?);
        is(true, "another made it")?;
        tc("qdisc del dev lo clsact")?;
        let beside = AttachOptions {
            order: Position::AfterProgram(1).into(),
            ..at(FilterSlot::default())
        };
        expect_err(
            "beside",
            running.loaded.program("tc_a")?.attach_with(&beside),
        )?;
        is(false, "nothing was attached")?;
        // Gone meanwhile, and come again.
        let ours = attach("tc_a")?;
        tc("qdisc del dev lo clsact")?;
        let again = attach("tc_b")?;
        in_order(&running, "b")?;
        ours.detach()?;
        in_order(&running, "b")?;
        again.detach()?;
        is(false, "all are gone")
    })
}

fn block() -> Outcome {
    in_netns(|_| {
        let running = loaded(&["tc_a", "tc_b", "tc_c"])?;
        let on = |name: &str, parent| {
            let options = AttachOptions {
                filter_parent: Some(parent),
                ..AttachOptions::default()
            };
            Outcome::Ok(running.loaded.program(name)?.attach_with(&options))
        };
        let block = FilterParent::Block(22);
        let none = on("tc_c", block)?;
        refused("no block", none, Errno::EINVAL, "no block 22 of filters")?;
        tc("qdisc add dev lo ingress_block 22 clsact")?;
        let shared = on("tc_c", block)??;
        in_order(&running, "c")?;
        ensure(filter(&shared)?.parent == block, || {
            format!("{:?}", shared.filter())
        })?;
        let listed = boundary().filters(block)?;
        ensure(listed == [filter(&shared)?], || format!("{listed:?}"))?;
        // The device's side has them by the block.
        let side = boundary().filters(side(TcxDirection::Ingress)?)?;
        ensure(
            side.len() == 1 && side[0].program == listed[0].program,
            || format!("{side:?}"),
        )?;
        shared.detach()?;
        ensure(boundary().filters(block)?.is_empty(), || "left".into())?;

        let newer = network(&["coming"])?;
        let program = newer.loaded.program("coming")?;
        let error = expect_err("tcx", program.attach_with(&at(FilterSlot::default())))?;
        ensure(
            error.to_string().contains("tcx programs are no filters"),
            || error.to_string(),
        )
    })
}

fn class() -> Outcome {
    in_netns(|_| {
        let running = loaded(&["tc_a"])?;
        let class = AttachOptions {
            filter_parent: Some(FilterParent::Discipline {
                ifindex: boundary().device_index("lo")?,
                handle: 0x1_0000,
            }),
            ..AttachOptions::default()
        };
        let attach = || Outcome::Ok(running.loaded.program("tc_a")?.attach_with(&class));
        let says = "no such queueing discipline";
        refused("no class", attach()?, Errno::EINVAL, says)?;
        let made = ["prio", "drr", "htb", "hfsc", "fq_codel"]
            .iter()
            .any(|kind| tc(&format!("qdisc add dev lo root handle 1: {kind}")).is_ok());
        if !made {
            return Err(Stop::lacks("a queueing discipline with classes"));
        }
        let queued = attach()??;
        in_order(&running, "a")?;
        queued.detach()?;
        let left = tc("filter show dev lo parent 1:")?;
        ensure(left.trim().is_empty(), || left)
    })
}
