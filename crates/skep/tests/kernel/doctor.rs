//! What `skep doctor` and `skep features` say of hooks, held against what then really is loaded,
//! attached, fired and seen: here, and on every kernel of `cargo xtask vm`.

use std::{
    io::Read as _,
    net::TcpStream,
    os::{fd::AsRawFd as _, unix::net::UnixDatagram},
    sync::Arc,
};

use skep::{
    AttachOptions, Link, Object, Program,
    boundary::{AttachPoint, Cause, NetfilterHook, PerfEvent, PerfScope},
    features::{Feature, Hook, Probe},
    linux::{self, Answer, LinuxHost},
};
use skep_testing::{Outcome, Stop, Test, ensure, eventually, in_netns};

use crate::{
    hooks::{self, datagram},
    support::{Probed, Running, host, me, object},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("doctor::is_right_about_hooks", right),
        Test::new("doctor::says_what_probes_say", report),
    ]
}

/// Attaches a program and makes it see something.
type Fire = fn() -> Outcome;

/// Programs of `doctor.bpf.c`, and what is done with them.
const OTHERS: &[(&str, Fire)] = &[
    ("uprobe", || on_function("uprobe")),
    ("uprobe_multi", || on_function("uprobe_multi")),
    ("uprobe_session", || on_function("uprobe_session")),
    (CLOCK, || samples(PerfEvent::CpuClock { frequency: 999 })),
    (HARDWARE, || {
        // Cycles.
        let (config, period) = (0, 100_000);
        samples(PerfEvent::Hardware { config, period })
    }),
    ("xdp", || {
        in_netns(|_| on_loopback("xdp", &device(), datagram))
    }),
    ("tcx", || {
        in_netns(|_| on_loopback("tcx", &device(), datagram))
    }),
    ("netfilter", || {
        let options = AttachOptions {
            netfilter: Some(NetfilterHook {
                protocol_family: 2,
                hook: 3,
                priority: 100,
                defragment: false,
            }),
            ..AttachOptions::default()
        };
        in_netns(|_| on_loopback("netfilter", &options, datagram))
    }),
    ("sk_lookup", || {
        in_netns(|_| {
            on_loopback("sk_lookup", &AttachOptions::default(), || {
                // Nobody listens there.
                let refused = TcpStream::connect("127.0.0.1:7");
                ensure(refused.is_err(), || "it is answered".into())
            })
        })
    }),
    ("socket_filter", on_socket),
    ("iterator", iterates),
];

/// The two that are of one program.
const CLOCK: &str = "perf_event (clock)";
const HARDWARE: &str = "perf_event (hardware)";

/// The doctor's own name for what a program is of, where it has one.
fn hook(program: &str) -> Option<Hook> {
    Some(match program {
        "tracepoint" => Hook::Tracepoint,
        "raw_tp" => Hook::RawTracepoint,
        "tp_btf" => Hook::TypedTracepoint,
        "kprobe" | "kretprobe" | "ksyscall" | "kretsyscall" => Hook::Kprobe,
        "kprobe_multi" => Hook::KprobeMulti,
        "fentry" => Hook::Fentry,
        "lsm" => Hook::Lsm,
        "uprobe" => Hook::Uprobe,
        "uprobe_multi" => Hook::UprobeMulti,
        CLOCK => Hook::PerfClock,
        HARDWARE => Hook::PerfHardware,
        "xdp" => Hook::Xdp,
        "tcx" => Hook::Tcx,
        "cgroup_skb_egress" => Hook::CgroupSkb,
        "socket_filter" => Hook::SocketFilter,
        "sk_lookup" => Hook::SkLookup,
        "netfilter" => Hook::Netfilter,
        "iterator" => Hook::Iterator,
        _ => return None,
    })
}

/// The program of `doctor.bpf.c`, by itself.
fn one(program: &str) -> Outcome<Object> {
    let mut object = object("doctor")?;
    object.only_programs(&[program])?;
    Ok(object)
}

fn loaded(program: &str) -> Outcome<Running> {
    Running::of(one(program)?)
}

/// Attached, it counts when something happens; detached, no more.
fn counts(
    running: &Running,
    attach: impl FnOnce(&Arc<Program>) -> skep::Result<Link>,
    program: &str,
    mut fire: impl FnMut() -> Outcome,
) -> Outcome {
    let link = attach(running.loaded.program(program)?)?;
    eventually("a hit", || {
        fire()?;
        Ok(running.number("hits")? > 0)
    })?;
    Ok(link.detach()?)
}

fn device() -> AttachOptions {
    AttachOptions {
        device: Some("lo".into()),
        ..AttachOptions::default()
    }
}

fn on_loopback(program: &str, options: &AttachOptions, fire: fn() -> Outcome) -> Outcome {
    let running = loaded(program)?;
    counts(&running, |it| it.attach_with(options), program, fire)
}

fn on_function(program: &str) -> Outcome {
    let mut object = one(program)?;
    let target = format!("{}:skep_probed", Probed::program()?.display());
    object.program(program)?.attach_target(&target);
    let running = Running::of(object)?;
    let mut process = Probed::start()?;
    let options = AttachOptions {
        pid: Some(process.id()),
        ..AttachOptions::default()
    };
    let attach = |it: &Arc<Program>| it.attach_with(&options);
    counts(&running, attach, program, || process.call(1))
}

fn samples(event: PerfEvent) -> Outcome {
    let running = loaded("perf_event")?;
    let point = AttachPoint::PerfEvent {
        event,
        scope: PerfScope::Process(me()),
        cookie: None,
    };
    counts(
        &running,
        |it| it.attach_to(&point),
        "perf_event",
        || {
            (0..100_000_u64).for_each(|number| {
                std::hint::black_box(number);
            });
            Ok(())
        },
    )
}

fn on_socket() -> Outcome {
    let running = loaded("socket_filter")?;
    let (near, far) = UnixDatagram::pair()?;
    let options = AttachOptions {
        socket: Some(far.as_raw_fd()),
        ..AttachOptions::default()
    };
    let attach = |it: &Arc<Program>| it.attach_with(&options);
    counts(&running, attach, "socket_filter", || {
        near.send(b"one")?;
        Ok(())
    })
}

fn iterates() -> Outcome {
    let running = loaded("iterator")?;
    let link = running.loaded.program("iterator")?.attach()?;
    link.iterate()?.read_to_end(&mut Vec::new())?;
    let hits = running.number("hits")?;
    ensure(hits > 0, || "no task".into())
}

/// All that is said of a program's hook: by its type, the type that it is attached as, and the
/// doctor's name.
fn claims(file: &Object, name: &str) -> Outcome<Vec<Feature>> {
    let program = name.split(' ').next().unwrap_or(name);
    let programs = file.spec().programs();
    let program = programs
        .iter()
        .find(|known| known.name == program)
        .ok_or_else(|| Stop::fail(format!("no program `{program}`")))?;
    let kind = Feature::ProgramType(program.program_type());
    let attached_as = program.attach_type().map(Feature::AttachType);
    let hook = hook(name).map(Feature::Hook);
    Ok([Some(kind), attached_as, hook]
        .into_iter()
        .flatten()
        .collect())
}

fn right() -> Outcome {
    let (ours, others) = (object("hooks")?, object("doctor")?);
    let rows = hooks::rows().into_iter();
    let rows = rows.map(|row| (&ours, row.program, row.attempt));
    let all = rows.chain(
        OTHERS
            .iter()
            .map(|(name, attempt)| (&others, *name, *attempt)),
    );
    let (mut wrong, mut asked) = (Vec::new(), Vec::new());
    // Whether programs may sleep in a function is not said.
    for (file, name, attempt) in all.filter(|(_, name, _)| !name.ends_with("_sleepable")) {
        asked.extend(hook(name));
        let claims: Vec<(Feature, Probe)> = claims(file, name)?
            .into_iter()
            .map(|feature| (feature.clone(), host().probe(&feature)))
            .collect();
        let works = match attempt() {
            Ok(()) => Ok(()),
            Err(Stop::Fail(text)) => Err(text),
            Err(Stop::Skip(lacking)) => Err(lacking.to_string()),
        };
        let said = claims.iter().all(|(_, probe)| probe.is_yes());
        let known = claims.iter().all(|(_, probe)| probe.is_known());
        if said != works.is_ok() || !known {
            wrong.push(format!("{name}: {works:?}, but {claims:?}"));
        }
    }
    ensure(wrong.is_empty(), || wrong.join("\n"))?;
    // None is left out.
    for known in Hook::ALL {
        ensure(asked.contains(known), || format!("nothing for {known}"))?;
    }
    Ok(())
}

fn report() -> Outcome {
    let report = linux::report(&LinuxHost::new()?);
    for hook in Hook::ALL {
        let name = format!("hook {}", hook.name());
        let check = report.checks().find(|check| check.name == name);
        let check = check.ok_or_else(|| Stop::fail(format!("no {name}")))?;
        let probe = host().probe(&Feature::Hook(*hook));
        let same = match (&probe, check.answer) {
            (Probe::Yes, Answer::Yes) => true,
            (Probe::No { cause }, Answer::No) => {
                let too_old = matches!(cause, Cause::KernelTooOld { .. });
                let right = match hook {
                    // Nothing is to be done where another hook takes its place.
                    Hook::Tcx if too_old => check.fix.contains("clsact"),
                    _ => check.fix == cause.fix(),
                };
                check.detail == cause.to_string() && right
            }
            (Probe::Unknown { .. }, Answer::Unknown) => true,
            _ => false,
        };
        ensure(same, || format!("{check:?}, but {probe:?}"))?;
    }
    Ok(())
}
