//! The doctor's report: what of BPF works here, what does not, and what to do about it.
//!
//! Data only; the command line prints it.

use std::fs;

use skep_abi::{AttachType, Capability, Command, MapType, ProgramType};
use skep_host::{Cause, Feature, Hook, Host, Probe, TokenInfo};

use crate::{LinuxHost, cause, mounts::why_no_tracefs, perf, process, token};

/// Yes, no, or not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answer {
    /// It is as it should be.
    Yes,
    /// It is not.
    No,
    /// It could not be found out.
    Unknown,
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was looked at, such as `hook xdp` or `CAP_BPF`.
    pub name: String,
    /// How it is.
    pub answer: Answer,
    /// A value, or why the answer is what it is; may be empty for `Yes`.
    pub detail: String,
    /// What to do; empty where there is nothing to be done.
    pub fix: String,
}

impl Check {
    fn yes(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            answer: Answer::Yes,
            detail: detail.into(),
            fix: String::new(),
        }
    }

    fn no(name: impl Into<String>, cause: &Cause) -> Self {
        let (detail, fix) = (cause.to_string(), cause.fix());
        Self {
            name: name.into(),
            answer: Answer::No,
            detail,
            fix,
        }
    }

    fn unknown(name: impl Into<String>, why: impl Into<String>, fix: impl Into<String>) -> Self {
        let (detail, fix) = (why.into(), fix.into());
        Self {
            name: name.into(),
            answer: Answer::Unknown,
            detail,
            fix,
        }
    }

    fn probed(name: String, probe: Probe) -> Self {
        match probe {
            Probe::Yes => Self::yes(name, ""),
            Probe::No { cause } => Self::no(name, &cause),
            Probe::Unknown { why, fix } => Self::unknown(name, why, fix),
        }
    }
}

/// Checks that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// What they are about.
    pub title: &'static str,
    /// The checks, in reading order.
    pub checks: Vec<Check>,
}

/// All that the doctor found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoctorReport {
    /// The kernel's release.
    pub release: String,
    /// The findings, from the general to the particular.
    pub sections: Vec<Section>,
}

impl DoctorReport {
    /// All checks of all sections.
    pub fn checks(&self) -> impl Iterator<Item = &Check> {
        self.sections.iter().flat_map(|section| &section.checks)
    }
}

/// Looks at everything. It takes about half a second, most of it waiting for the
/// kernel to take probes off again, and leaves nothing behind.
pub fn report(host: &LinuxHost) -> DoctorReport {
    let sections = vec![
        Section {
            title: "process",
            checks: capabilities(host),
        },
        Section {
            title: "kernel",
            checks: kernel(host),
        },
        Section {
            title: "file systems",
            checks: mounts(host),
        },
        Section {
            title: "kernel options",
            checks: options(host),
        },
        Section {
            title: "hooks",
            checks: Hook::ALL
                .iter()
                .map(|&hook| {
                    let name = format!("hook {}", hook.name());
                    let probe = host.probe(&Feature::Hook(hook));
                    let too_old = matches!(
                        &probe,
                        Probe::No {
                            cause: Cause::KernelTooOld { .. }
                        }
                    );
                    let mut check = Check::probed(name, probe);
                    if hook == Hook::Tcx && too_old {
                        check.fix = "none is needed: programs of `tc` and `tcx` sections are \
                                     attached by clsact here"
                            .into();
                    }
                    check
                })
                .collect(),
        },
        Section {
            title: "program types",
            checks: ProgramType::ALL
                .iter()
                .filter(|&&kind| kind != ProgramType::Unspec)
                .map(|&kind| {
                    let name = format!("program {}", kind.short_name());
                    Check::probed(name, host.probe(&Feature::ProgramType(kind)))
                })
                .collect(),
        },
        Section {
            title: "map types",
            checks: MapType::ALL
                .iter()
                .filter(|&&kind| kind != MapType::Unspec)
                .map(|&kind| {
                    let name = format!("map {}", kind.short_name());
                    Check::probed(name, host.probe(&Feature::MapType(kind)))
                })
                .collect(),
        },
    ];
    DoctorReport {
        release: host.info().release.clone(),
        sections,
    }
}

fn capabilities(host: &LinuxHost) -> Vec<Check> {
    const BPF: [Capability; 3] = [Capability::Bpf, Capability::Perfmon, Capability::NetAdmin];
    let held = process::capabilities();
    // All that are missing are granted by one command: a second one would take them away again.
    let all = cause::missing(host, BPF);
    let check = |capability: Capability| {
        let name = capability.name();
        let missing = cause::missing(host, [capability]).and(all.as_ref());
        match (held, missing) {
            (None, _) => Check::unknown(name, "/proc does not say", ""),
            (Some(_), Some(cause)) => Check::no(name, cause),
            (Some(held), None) if held.has(capability) => Check::yes(name, ""),
            (Some(_), None) => Check::yes(name, "by CAP_SYS_ADMIN"),
        }
    };
    let mut checks: Vec<Check> = BPF.map(check).into();
    checks.push(administrator(held));
    checks.extend(token(host));
    checks
}

/// `CAP_SYS_ADMIN`, which programs need not have.
fn administrator(held: Option<process::Capabilities>) -> Check {
    let name = Capability::SysAdmin.name();
    match held.map(|held| held.has(Capability::SysAdmin)) {
        None => Check::unknown(name, "/proc does not say", ""),
        Some(true) => Check::yes(name, ""),
        Some(false) => Check::no(
            name,
            &Cause::Process {
                what: "this process lacks it: programs run without, but those of others can't be \
                       found by their ids"
                    .into(),
                fix: "run as root, if that is wanted".into(),
            },
        ),
    }
}

/// The BPF token, which only a process in a user namespace can have.
fn token(host: &LinuxHost) -> Option<Check> {
    const NAME: &str = "BPF token";
    if !process::in_user_namespace() {
        return None;
    }
    let Some(bpffs) = host.bpffs() else {
        return Some(Check::unknown(
            NAME,
            "LIBBPF_BPF_TOKEN_PATH is empty: it is to do without",
            "let it name a bpffs that delegates",
        ));
    };
    let place = bpffs.display();
    Some(match host.try_token() {
        Some(Ok(_)) => match host.delegated() {
            Some(info) => Check::yes(NAME, format!("{place} delegates {}", words(&info))),
            None => Check::yes(
                NAME,
                format!("{place} delegates; what, kernels before 6.17 don't say"),
            ),
        },
        Some(Err(error)) => Check::no(
            NAME,
            &Cause::Process {
                what: format!("{place}: {}", token::reason(&error)),
                fix: error.cause().map(Cause::fix).unwrap_or_default(),
            },
        ),
        None => return None,
    })
}

/// What a token delegates, in words.
fn words(info: &TokenInfo) -> String {
    fn list<T: Copy>(
        all: &[T],
        has: impl Fn(T) -> bool,
        name: impl Fn(T) -> &'static str,
    ) -> String {
        let of_all: Vec<T> = all.iter().copied().filter(|one| has(*one)).collect();
        match of_all.len() {
            0 => "none".into(),
            len if len == all.len() => "all".into(),
            _ => of_all.into_iter().map(name).collect::<Vec<_>>().join(" "),
        }
    }
    let commands = [Command::MapCreate, Command::ProgLoad, Command::BtfLoad];
    format!(
        "commands: {}; maps: {}; programs: {}; attach types: {}",
        list(&commands, |it| info.allows_command(it), Command::name),
        list(MapType::ALL, |it| info.allows_map(it), MapType::short_name),
        list(
            ProgramType::ALL,
            |it| info.allows_program_type(it),
            ProgramType::short_name
        ),
        list(
            AttachType::ALL,
            |it| info.allows_attach_type(it.raw()),
            AttachType::name
        ),
    )
}

fn kernel(host: &LinuxHost) -> Vec<Check> {
    let btf = match host.btf(None) {
        Ok(bytes) => Check::yes("BTF", format!("{} bytes", (*bytes).as_ref().len())),
        Err(error) => match error.cause() {
            Some(cause) => Check::no("BTF", cause),
            None => Check::unknown("BTF", error.to_string(), ""),
        },
    };
    let lockdown = match cause::lockdown_mode(host) {
        Some(mode) if mode == "confidentiality" => Check::no(
            "lockdown",
            &Cause::Lockdown(mode, "programs can't read the kernel's memory"),
        ),
        Some(mode) if mode == "integrity" => Check::yes(
            "lockdown",
            "integrity: only bpf_probe_write_user is forbidden",
        ),
        Some(mode) => Check::yes("lockdown", mode),
        None => Check::unknown("lockdown", "the kernel does not say", ""),
    };
    vec![btf, jit(), lockdown, unprivileged(), paranoid(host)]
}

fn jit() -> Check {
    const NAME: &str = "net.core.bpf_jit_enable";
    match process::sysctl(NAME).as_deref() {
        Some("0") => Check::no(
            "JIT",
            &Cause::Sysctl {
                name: NAME,
                value: "0".into(),
                wanted: "1",
            },
        ),
        Some(value) => Check::yes("JIT", format!("{NAME} is {value}")),
        None => Check::unknown("JIT", format!("{NAME} can't be read"), ""),
    }
}

fn unprivileged() -> Check {
    const NAME: &str = "kernel.unprivileged_bpf_disabled";
    match process::sysctl(NAME) {
        Some(value) if value == "0" => {
            Check::yes(NAME, "0: socket filters and cgroup_skb need no capability")
        }
        Some(value) => Check::yes(NAME, format!("{value}: all of BPF takes CAP_BPF")),
        None => Check::unknown(NAME, "it can't be read", ""),
    }
}

fn paranoid(host: &LinuxHost) -> Check {
    const NAME: &str = perf::PARANOID;
    if let Some(cause) = perf::restricted(host) {
        return Check::no(NAME, &cause);
    }
    match process::sysctl(NAME) {
        Some(value) if cause::missing(host, [Capability::Perfmon]).is_none() => {
            Check::yes(NAME, format!("{value}, which CAP_PERFMON overrides"))
        }
        Some(value) if value.parse().is_ok_and(|level: i32| level > -1) => Check::no(
            NAME,
            &Cause::Process {
                what: format!("{value}: perf events of all processes take CAP_PERFMON"),
                fix: format!("have CAP_PERFMON, which overrides it, or `sysctl -w {NAME}=-1`"),
            },
        ),
        Some(value) => Check::yes(NAME, value),
        None => Check::unknown(NAME, "it can't be read", ""),
    }
}

fn mounts(host: &LinuxHost) -> Vec<Check> {
    let mounts = process::mounts();
    let mounted = |kind| mounts.iter().find(|mount| mount.kind == kind);
    let mut checks = Vec::new();
    checks.push(match (mounted("tracefs"), host.tracefs()) {
        (Some(mount), Some(_)) => Check::yes("tracefs", mount.point.display().to_string()),
        (None, Some(_)) => Check::yes("tracefs", "not mounted; Skep opens one for itself"),
        (_, None) => Check::no("tracefs", &why_no_tracefs(host)),
    });
    for (name, kind) in [("bpffs", "bpf"), ("cgroup2", "cgroup2")] {
        checks.push(match mounted(kind) {
            Some(mount) => Check::yes(name, mount.point.display().to_string()),
            None => Check::no(name, &Cause::NotMounted(name)),
        });
    }
    checks
}

/// The build options that decide what of BPF there is.
pub const KERNEL_OPTIONS: &[&str] = &[
    "CONFIG_BPF_SYSCALL",
    "CONFIG_BPF_JIT",
    "CONFIG_BPF_EVENTS",
    "CONFIG_BPF_LSM",
    "CONFIG_CGROUP_BPF",
    "CONFIG_DEBUG_INFO_BTF",
    "CONFIG_FPROBE",
    "CONFIG_FTRACE_SYSCALLS",
    "CONFIG_KPROBES",
    "CONFIG_NETFILTER_BPF_LINK",
    "CONFIG_NETKIT",
    "CONFIG_NET_XGRESS",
    "CONFIG_SCHED_CLASS_EXT",
    "CONFIG_UPROBE_EVENTS",
    "CONFIG_XDP_SOCKETS",
];

/// More of them, which single program types, hooks and helpers rest on.
pub const MORE_KERNEL_OPTIONS: &[&str] = &[
    "CONFIG_BPF_JIT_ALWAYS_ON",
    "CONFIG_BPF_KPROBE_OVERRIDE",
    "CONFIG_BPF_LIRC_MODE2",
    "CONFIG_BPF_STREAM_PARSER",
    "CONFIG_BPF_UNPRIV_DEFAULT_OFF",
    "CONFIG_CGROUPS",
    "CONFIG_DEBUG_INFO_BTF_MODULES",
    "CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS",
    "CONFIG_FUNCTION_TRACER",
    "CONFIG_HID_BPF",
    "CONFIG_INET",
    "CONFIG_IPV6_SEG6_BPF",
    "CONFIG_KPROBE_EVENTS",
    "CONFIG_LWTUNNEL_BPF",
    "CONFIG_NET_ACT_BPF",
    "CONFIG_NET_CLS_BPF",
    "CONFIG_NET_SCH_INGRESS",
    "CONFIG_PERF_EVENTS",
    "CONFIG_SOCK_CGROUP_DATA",
    "CONFIG_UPROBES",
    "CONFIG_XFRM",
];

fn options(host: &LinuxHost) -> Vec<Check> {
    let checked = |&option: &&'static str| match host.config(option) {
        Ok(Some(value)) => Check::yes(option, value),
        Ok(None) => Check::no(option, &Cause::KernelOption(option)),
        Err(error) => {
            let why = error
                .cause()
                .map_or_else(|| error.to_string(), ToString::to_string);
            Check::unknown(
                option,
                why,
                error.cause().map(Cause::fix).unwrap_or_default(),
            )
        }
    };
    let mut checks: Vec<Check> = KERNEL_OPTIONS.iter().map(checked).collect();
    if let Some(list) = host.securityfs().and_then(|tree| tree.read("lsm").ok()) {
        let list = list.trim();
        checks.push(if list.split(',').any(|name| name == "bpf") {
            Check::yes("LSM list", list)
        } else {
            let what = format!("`bpf` is not in the LSM list `{list}`");
            Check::no(
                "LSM list",
                &Cause::Other {
                    what,
                    fix: format!("boot with `lsm={list},bpf`"),
                },
            )
        });
    } else if fs::exists("/sys/kernel/security").unwrap_or(false) {
        checks.push(Check::unknown(
            "LSM list",
            "securityfs can't be read",
            "run as root",
        ));
    }
    checks
}
