//! Ten thousand attachments, one after the other, over hooks of every family: no program, map, link,
//! set of types or descriptor is left, and nothing fires any more.

use std::time::Duration;

use skep::AttachOptions;
use skep_testing::{
    Cgroup, Outcome, Snapshot, Test, ensure, eventually, in_netns, needs_kernel, needs_option,
};

use crate::{
    hooks::{call, read},
    support::{Running, boundary, host, me, object},
};

/// A row a hook: the object, the program, how often, since when, and an option that it needs.
type Row = (
    &'static str,
    &'static str,
    u32,
    (u8, u8),
    Option<&'static str>,
);

/// Detaching from most hooks waits until no CPU can be in them, which takes its time: the others
/// have the large numbers.
const ROWS: &[Row] = &[
    ("hooks", "raw_tp", 150, (5, 8), None),
    ("hooks", "tp_btf", 500, (5, 8), None),
    ("hooks", "tracepoint", 100, (5, 8), None),
    ("hooks", "kprobe", 150, (5, 8), Some("CONFIG_KPROBES")),
    ("hooks", "kprobe_multi", 50, (5, 18), Some("CONFIG_FPROBE")),
    ("hooks", "cgroup_skb_egress", 5000, (5, 8), None),
    ("network", "device", 150, (5, 9), None),
    ("network", "coming", 150, (6, 6), None),
    ("links", "on_tick", 3500, (5, 8), None),
    ("uprobes", "in_library", 50, (5, 8), None),
];

/// Hooks that a kernel lacks leave their part to one that all have; the sum is at least this.
const TOTAL: u32 = 10_000;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new(
            "faults::ten_thousand_attachments_leave_nothing",
            attachments,
        ),
        Test::new("faults::loads_leave_nothing", loads),
    ]
}

fn running(source: &str, program: &str) -> Outcome<Running> {
    let mut object = object(source)?;
    object.only_programs(&[program])?;
    if source == "hooks" {
        object.global("target_pid")?.set(me())?;
    }
    Running::of(object)
}

/// Attaches and detaches so often, every other time by dropping; then fires it, and nothing counts.
fn cycle(source: &str, program: &str, times: u32, options: &AttachOptions) -> Outcome {
    let running = running(source, program)?;
    let before = Snapshot::take(boundary());
    for round in 0..times {
        let link = running.loaded.program(program)?.attach_with(options)?;
        if round % 2 == 0 {
            link.detach()?;
        }
    }
    let left = before.leaks(boundary(), Duration::from_secs(10));
    ensure(left.is_empty(), || format!("{program}: {left:?}"))?;
    if source != "hooks" {
        return Ok(());
    }
    // What was under way at the last end may still count.
    let mut last = running.number("hits")?;
    eventually("silence", || {
        call()?;
        read()?;
        let now = running.number("hits")?;
        let same = now == last;
        last = now;
        Ok(same)
    })
}

fn attachments() -> Outcome {
    needs_kernel(5, 8)?;
    let cgroup = Cgroup::new()?;
    let options = AttachOptions {
        cgroup: Some(cgroup.path().to_owned()),
        device: Some("lo".into()),
        ..AttachOptions::default()
    };
    in_netns(|_| {
        let mut done = 0;
        for &(source, program, times, (major, minor), option) in ROWS {
            let there = needs_kernel(major, minor).is_ok()
                && option.is_none_or(|option| needs_option(option).is_ok());
            if there {
                cycle(source, program, times, &options)?;
                done += times;
            }
        }
        let rest = TOTAL.saturating_sub(done);
        cycle("hooks", "cgroup_skb_egress", rest, &options)
    })
}

fn loads() -> Outcome {
    needs_kernel(5, 8)?;
    let before = Snapshot::take(boundary());
    for name in ["basics", "links", "perf", "uprobes"] {
        let object = object(name)?;
        for _ in 0..100 {
            object.load(host())?;
        }
    }
    let left = before.leaks(boundary(), Duration::from_secs(10));
    ensure(left.is_empty(), || format!("{left:?}"))
}
