//! What is said to those who may not: the capability, and how to get it; and that two capabilities
//! suffice for what the kernel allows with them.

use std::{fs, path::Path};

use skep::{
    AttachOptions, Error, Host, Object, PerfBuffer, PerfOptions,
    abi::KernelVersion,
    boundary::Cause,
    linux::{self, Answer, LinuxHost},
};
use skep_testing::{
    Cgroup, Lacking, Outcome, Stop, Test, as_nobody_with, ensure, expect_err, in_netns,
    needs_kernel, needs_option, with_capabilities, without_capabilities,
};

use crate::support::{Running, host, object};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("privileges::a_load_without_them_names_what_lacks", loading),
        Test::new(
            "privileges::attaching_without_them_names_what_lacks",
            attaching,
        ),
        Test::new(
            "privileges::two_capabilities_suffice_for_each_hook",
            suffice,
        ),
        Test::new("privileges::the_one_that_lacks_is_named", each_lacks),
        Test::new("privileges::what_keeps_a_plain_user_is_named", plain_user),
        Test::new("privileges::what_debian_adds_is_named", added),
    ]
}

const TRACING: &[&str] = &["CAP_BPF", "CAP_PERFMON"];
const NETWORK: &[&str] = &["CAP_BPF", "CAP_NET_ADMIN"];
/// A hook of each family: the object and the program, what it takes, since when it is there, and an
/// option that it needs.
struct Family {
    source: &'static str,
    program: &'static str,
    takes: &'static [&'static str],
    since: (u8, u8),
    option: &'static str,
}

macro_rules! families {
    ($($source:literal $program:literal $takes:ident ($major:literal $minor:literal) $option:literal;)*) => {
        &[$(Family {
            source: $source,
            program: $program,
            takes: $takes,
            since: ($major, $minor),
            option: $option,
        }),*]
    };
}

const FAMILIES: &[Family] = families! {
    "hooks" "raw_tp" TRACING (5 8) "";
    "hooks" "tp_btf" TRACING (5 8) "";
    "hooks" "tracepoint" TRACING (5 8) "CONFIG_FTRACE_SYSCALLS";
    "hooks" "kprobe" TRACING (5 8) "CONFIG_KPROBES";
    "hooks" "kretprobe" TRACING (5 8) "CONFIG_KPROBES";
    "hooks" "kprobe_multi" TRACING (5 18) "CONFIG_FPROBE";
    "hooks" "fentry" TRACING (5 8) "CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS";
    "hooks" "fmod_ret" TRACING (5 8) "CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS";
    "hooks" "lsm" TRACING (5 8) "CONFIG_BPF_LSM";
    "links" "on_tick" TRACING (5 8) "";
    "uprobes" "in_library" TRACING (5 8) "";
    "uprobes" "many_in_library" TRACING (6 6) "";
    "network" "device" NETWORK (5 9) "";
    "network" "coming" NETWORK (6 6) "";
    "hooks" "cgroup_skb_egress" NETWORK (5 8) "";
    "hooks" "cgroup_connect4" NETWORK (5 8) "";
    "hooks" "cgroup_sock_create" NETWORK (5 8) "";
    "hooks" "cgroup_dev" NETWORK (5 8) "";
    "hooks" "cgroup_sysctl" NETWORK (5 8) "";
    "hooks" "cgroup_getsockopt" NETWORK (5 8) "";
    "hooks" "sockops" NETWORK (5 8) "";
    "hooks" "lsm_cgroup" TRACING (6 0) "CONFIG_BPF_LSM";
};

/// `kernel.perf_event_paranoid` at a level, for as long as it lives.
struct Paranoid(String);

const PARANOID: &str = "/proc/sys/kernel/perf_event_paranoid";

impl Paranoid {
    fn at(level: &str) -> Outcome<Self> {
        let before = fs::read_to_string(PARANOID)?;
        fs::write(PARANOID, level)?;
        Ok(Self(before))
    }

    /// Not higher than the kernel itself knows levels.
    fn known() -> Outcome<Option<Self>> {
        let level: i32 = fs::read_to_string(PARANOID)?.trim().parse()?;
        match level > 2 {
            true => Ok(Some(Self::at("2")?)),
            false => Ok(None),
        }
    }
}

impl Drop for Paranoid {
    fn drop(&mut self) {
        if let Err(error) = fs::write(PARANOID, &self.0) {
            eprintln!("{PARANOID} stays as it is: {error}");
        }
    }
}

/// Loads and attaches a family's program, by a host that is this thread's own: what another one has
/// opened, it was allowed to.
fn use_it(family: &Family, object: &Object, cgroup: &Path) -> Result<(), Error> {
    let loaded = object.load(&Host::kernel()?)?;
    let link = loaded
        .program(family.program)?
        .attach_with(&AttachOptions {
            device: Some("lo".into()),
            cgroup: Some(cgroup.to_owned()),
            ..AttachOptions::default()
        })?;
    link.detach()
}

/// Does something with each family that this kernel has, in a network namespace and a cgroup of their
/// own; collects what they say against it.
fn each_family(
    check: impl Fn(&Family, &(dyn Fn() -> Result<(), Error> + Sync)) -> Outcome + Send + Sync,
) -> Outcome {
    let mut families = Vec::new();
    for family in FAMILIES {
        let mut object = object(family.source)?;
        object.only_programs(&[family.program])?;
        families.push((family, object));
    }
    needs_kernel(5, 8)?;
    let cgroup = Cgroup::new()?;
    let _paranoid = Paranoid::known()?;
    in_netns(|_| {
        let mut wrong = Vec::new();
        for (family, object) in &families {
            let (major, minor) = family.since;
            let there = needs_kernel(major, minor).is_ok()
                && (family.option.is_empty() || needs_option(family.option).is_ok());
            let used = || use_it(family, object, cgroup.path());
            // What not even root can use here is no matter of privileges.
            if !there || used().is_err() {
                continue;
            }
            if let Err(stop) = check(family, &used) {
                wrong.push(format!("{}: {stop:?}", family.program));
            }
        }
        ensure(wrong.is_empty(), || wrong.join("\n"))
    })
}

fn suffice() -> Outcome {
    each_family(|family, used| {
        let all = with_capabilities(family.takes, || match used() {
            Ok(()) => Ok(()),
            // Who may not mount it needs it mounted.
            Err(error) if error.cause() == Some(&Cause::NotMounted("tracefs")) => Ok(()),
            // Linux 5.10 takes comparisons of packets' ends for leaks.
            Err(error) if compares(&error) => Err(Stop::Skip(Lacking::Kernel(SINCE))),
            Err(error) if administrators_only(&error) => {
                ensure(family.source == "uprobes", || error.to_string())
            }
            Err(error) => Err(Stop::fail(format!("{error}: {:?}", error.cause()))),
        });
        // And so they do with the one that is named then.
        match family.source {
            "network" if matches!(&all, Err(Stop::Skip(_))) => {
                let more = [family.takes, &["CAP_PERFMON"]].concat();
                with_capabilities(&more, || Ok(used()?))
            }
            "uprobes" => all.and_then(|()| {
                let more = [family.takes, &["CAP_SYS_ADMIN"]].concat();
                with_capabilities(&more, || Ok(used()?))
            }),
            _ => all,
        }
    })
}

/// The kernel in which packets can be looked at without `CAP_PERFMON`, as far as it was seen.
const SINCE: KernelVersion = KernelVersion::new(6, 1);

fn compares(error: &Error) -> bool {
    let lacking =
        matches!(error.cause(), Some(Cause::MissingCapability(names)) if names == &["CAP_PERFMON"]);
    lacking && host().info().version < SINCE
}

/// Kernels since 2025 say so of probes of user space by perf events.
fn administrators_only(error: &Error) -> bool {
    let cause = error.cause().map(ToString::to_string).unwrap_or_default();
    let fix = error.fix().unwrap_or_default();
    cause.contains("CAP_SYS_ADMIN only") && fix.contains("uprobe.multi")
}

fn each_lacks() -> Outcome {
    if fs::read_to_string("/proc/sys/kernel/unprivileged_bpf_disabled")?.trim() == "0" {
        return Err(Stop::lacks("kernel.unprivileged_bpf_disabled"));
    }
    each_family(|family, used| {
        for lacking in family.takes {
            let rest: Vec<&str> = family
                .takes
                .iter()
                .copied()
                .filter(|name| name != lacking)
                .collect();
            with_capabilities(&rest, || {
                let error = expect_err(&format!("without {lacking}"), used())?;
                match error.cause() {
                    Some(Cause::MissingCapability(names)) if names == &[*lacking] => Ok(()),
                    other => Err(Stop::fail(format!("without {lacking}: {error}: {other:?}"))),
                }
            })?;
        }
        Ok(())
    })
}

/// A user who has the capabilities, and none of root's files: it goes, or the file is named.
fn plain_user() -> Outcome {
    each_family(|family, used| {
        as_nobody_with(family.takes, || match used() {
            Ok(()) => Ok(()),
            Err(error) if administrators_only(&error) || compares(&error) => Ok(()),
            Err(error) => {
                let cause = error.cause().map(ToString::to_string).unwrap_or_default();
                let fix = error.fix().unwrap_or_default();
                ensure(cause.contains("tracefs") && !fix.is_empty(), || {
                    format!("{error}: {cause}; {fix}")
                })
            }
        })
    })
}

/// Debian asks for more than `CAP_PERFMON` at the level that it starts with; error and doctor say so.
fn added() -> Outcome {
    let object = object("links")?;
    needs_kernel(5, 8)?;
    needs_option("CONFIG_SECURITY_PERF_EVENTS_RESTRICT")?;
    let _paranoid = Paranoid::at("3")?;
    with_capabilities(TRACING, || {
        let mut object = Object::from_spec(object.spec().clone());
        object.only_programs(&["on_tick"])?;
        let loaded = object.load(&Host::kernel()?)?;
        let error = expect_err("at level 3", loaded.program("on_tick")?.attach())?;
        let fix = error.fix().unwrap_or_default();
        ensure(fix.contains("kernel.perf_event_paranoid=2"), || {
            format!("{error}: {fix}")
        })?;
        let report = linux::report(&LinuxHost::new()?);
        let check = report
            .checks()
            .find(|check| check.name == "kernel.perf_event_paranoid");
        let said = check.is_some_and(|check| check.answer == Answer::No && check.fix == fix);
        ensure(said, || format!("{check:?}"))
    })
}

fn lacks(error: &Error, capability: &str) -> Outcome {
    let named = match error.cause() {
        Some(Cause::MissingCapability(names)) => names.contains(&capability),
        _ => false,
    };
    let fix = error.fix().unwrap_or_default();
    ensure(named && fix.contains("setcap"), || {
        format!("{error}: {:?}; {fix}", error.cause())
    })
}

fn loading() -> Outcome {
    needs_kernel(5, 8)?;
    if fs::read_to_string("/proc/sys/kernel/unprivileged_bpf_disabled")?.trim() == "0" {
        return Err(Stop::lacks("kernel.unprivileged_bpf_disabled"));
    }
    let (network, tracing) = (object("network")?, object("links")?);
    without_capabilities(|| {
        lacks(&expect_err("network", network.load(host()))?, "CAP_BPF")?;
        lacks(&expect_err("tracing", tracing.load(host()))?, "CAP_BPF")
    })
}

fn attaching() -> Outcome {
    needs_kernel(5, 8)?;
    let running = Running::new("missing_event")?;
    let perf = Running::new("perf")?;
    without_capabilities(|| {
        let error = expect_err("attaching", running.loaded.attach_all())?;
        lacks(&error, "CAP_PERFMON")?;
        let map = perf.loaded.map("events")?;
        let error = expect_err(
            "a perf buffer",
            PerfBuffer::<u8>::new(map, PerfOptions::default()),
        )?;
        lacks(&error, "CAP_PERFMON")
    })
}
