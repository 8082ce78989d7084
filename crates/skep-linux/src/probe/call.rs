//! Probes of calls: a program of one call without arguments is given to the verifier, whose
//! words tell a call that may not be made from one that was made wrong.

use skep_abi::{
    AttachType, Capability, Helper, HelperAccess, HelperProperties, KernelVersion, ProgLoadFlags,
    ProgramProperties, ProgramType,
};
use skep_btf::KindTag;
use skep_host::{Cause, Errno, Feature, Probe};

use super::{
    attach, is_broken_off, kernel_type,
    least::{self, EXIT, Refused, insn},
    older, program_type,
};
use crate::{LinuxHost, cause, program};

/// `call`
const CALL: u8 = 0x85;
/// The call is of a kernel function (`BPF_PSEUDO_KFUNC_CALL`).
const KERNEL_FUNCTION: u8 = 2;

/// The helper whose mere load kernels before 7.0 write to their log.
const WRITE_USER: &str = "bpf_probe_write_user";
/// Since when lockdown forbids it.
const WRITE_USER_LOCKED: KernelVersion = KernelVersion::new(5, 14);

/// Whether programs of a type may call a helper, of some attach type.
pub(super) fn helper(host: &LinuxHost, helper: &'static Helper, kind: ProgramType) -> Probe {
    let id = i32::try_from(helper.id).unwrap_or(i32::MAX);
    let call = Call {
        feature: Feature::Helper(helper, kind),
        insn: insn(CALL, 0, 0, 0, id),
        sleeps: helper.properties.contains(HelperProperties::MAY_SLEEP),
        needs: helper.capability(),
        depends: helper.access_from(kind) == HelperAccess::Sometimes,
        kind,
    };
    if helper.name == WRITE_USER {
        return write_user(host, &call, helper.access_from(kind));
    }
    match call.probe(host, None) {
        refused if call.depends => call.elsewhere(host, refused, kind.attach_types()),
        other => other,
    }
}

/// The helper that writes to processes, told without a trial, which would alarm whoever reads the
/// kernel's log: by the table, which holds for all kernels, and by what may forbid it.
fn write_user(host: &LinuxHost, call: &Call, access: HelperAccess) -> Probe {
    match program_type(host, call.kind) {
        Probe::Yes => {}
        other => return other,
    }
    if access == HelperAccess::No {
        return refused(host, call);
    }
    if host.version() >= WRITE_USER_LOCKED
        && let Some(mode) = cause::lockdown_mode(host).filter(|mode| mode != "none")
    {
        let cause = Cause::Lockdown(mode, "helpers that write to processes");
        return Probe::No { cause };
    }
    match cause::missing(host, [Capability::SysAdmin]) {
        Some(cause) => cause.into(),
        None => Probe::Yes,
    }
}

/// Whether programs of a type may call a kernel function, of some attach type.
pub(super) fn kernel_function(host: &LinuxHost, name: &str, kind: ProgramType) -> Probe {
    let id = match kernel_type(host, name, KindTag::Function) {
        Ok(id) => id,
        Err(_) if host.found().btf(host).is_some() => {
            let cause = Cause::NotFound {
                kind: "kernel function",
                name: name.to_owned(),
                near: Vec::new(),
            };
            return Probe::No { cause };
        }
        Err(probe) => return probe,
    };
    let id = i32::try_from(id).unwrap_or(i32::MAX);
    let mut call = Call {
        feature: Feature::KernelFunction(name.to_owned(), kind),
        insn: insn(CALL, 0, KERNEL_FUNCTION, 0, id),
        sleeps: false,
        needs: None,
        depends: false,
        kind,
    };
    let mut probe = call.probe(host, None);
    if !probe.is_yes() && kind.properties().contains(ProgramProperties::SLEEPABLE) {
        // Only the trial says whether it may sleep: first as one that may not.
        call.sleeps = true;
        probe = call.probe(host, None);
    }
    let others: &[AttachType] = match kind {
        ProgramType::Tracing => &[AttachType::TraceIter, AttachType::TraceFsession],
        ProgramType::Kprobe => &[
            AttachType::TraceKprobeSession,
            AttachType::TraceUprobeSession,
        ],
        _ => &[],
    };
    call.elsewhere(host, probe, others)
}

/// A call to be tried.
struct Call {
    feature: Feature,
    insn: [u8; 8],
    /// It may sleep, so it is tried from a program that may.
    sleeps: bool,
    /// It is for some attach types or targets of its programs only.
    depends: bool,
    /// The capability that its caller must have.
    needs: Option<Capability>,
    kind: ProgramType,
}

impl Call {
    /// From the least program of its type; or from one to be attached as this.
    fn probe(&self, host: &LinuxHost, attach_type: Option<AttachType>) -> Probe {
        let kind = self.kind;
        match call(host, kind, attach_type, self.insn, self.sleeps) {
            Ok(Verdict::Allowed) => Probe::Yes,
            Ok(Verdict::Sleeps) => Probe::No {
                cause: Cause::Other {
                    what: format!("it may sleep, and {kind} programs may not"),
                    fix: "call it from a sleepable program".into(),
                },
            },
            Ok(Verdict::NotHere) if self.depends => Probe::unknown(
                "it is for certain hooks only, and those that it was tried from are not among them",
            ),
            Ok(Verdict::NotHere) => refused(host, self),
            Ok(Verdict::Refused(log)) => match cause::lockdown_in_log(host, &log) {
                Some(cause) => Probe::No { cause },
                None => refused(host, self),
            },
            Err(probe) => probe,
        }
    }

    /// What was refused to the least program of the type, tried from those of other attach types.
    fn elsewhere(&self, host: &LinuxHost, refused: Probe, attach_types: &[AttachType]) -> Probe {
        // Too old, not built in, locked down: so for all.
        let may_differ = match &refused {
            Probe::Yes => false,
            Probe::No { cause } => matches!(cause, Cause::Other { .. }),
            Probe::Unknown { .. } => true,
        };
        if !may_differ || !program_type(host, self.kind).is_yes() {
            return refused;
        }
        if self.kind == ProgramType::StructOps {
            return Probe::unknown(
                "it was tried from tcp_congestion_ops only, and other structures allow other calls",
            );
        }
        let mut unknown = None;
        for &attach_type in attach_types {
            // Of an attach type that the kernel does not know, its words are about that.
            let known = || attach::attach_type(host, attach_type);
            let known = host.found().once(&Feature::AttachType(attach_type), known);
            if !known.is_yes() {
                continue;
            }
            match self.probe(host, Some(attach_type)) {
                Probe::Yes => return Probe::Yes,
                Probe::No { .. } => {}
                other => unknown = unknown.or(Some(other)),
            }
        }
        unknown.unwrap_or(refused)
    }
}

/// A refusal in the verifier's own words. It gives a process without capabilities the same as for
/// what is not there.
fn refused(host: &LinuxHost, call: &Call) -> Probe {
    if let Some(cause) = cause::missing(host, call.needs) {
        return cause.into();
    }
    older(host, &call.feature).unwrap_or_else(|| Probe::No {
        cause: Cause::Other {
            what: format!("this kernel does not let {} programs call it", call.kind),
            fix: "call it from a program of another type".into(),
        },
    })
}

/// What the verifier says of a call.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It went on to what follows: the arguments, the end.
    Allowed,
    /// Sleepable programs only.
    Sleeps,
    /// It is not for the hook that the program is for.
    NotHere,
    /// It knows no such function, or not for such a program; this is its log.
    Refused(String),
}

impl Verdict {
    /// Reads the log of a load that was refused.
    pub(super) fn of(log: &str) -> Self {
        // Up to 6.8 `unknown func` was for both.
        const REFUSED: &[&str] = &[
            "invalid func ",
            "unknown func ",
            "program of this type cannot use helper ",
            "calling kernel function ",
            "calling kernel functions are not allowed",
            "kernel btf_id ",
            "kernel function btf_id ",
            "cannot find address for kernel function ",
            "JIT is required for calling kernel function",
            "JIT does not support calling kernel function",
            // Before 5.13 no kernel function could be called.
            "BPF_CALL uses reserved fields",
        ];
        const SLEEPS: &[&str] = &[
            "helper call might sleep in a non-sleepable prog",
            "sleepable helper ",
            "program must be sleepable to call sleepable kfunc ",
            "kernel func ",
        ];
        // The words stand at the start of a line; from 7.3 on, explanations follow them.
        let starts = |words: &&str| log.lines().any(|line| line.starts_with(*words));
        if starts(&"helper call is not allowed in probe") {
            Self::NotHere
        } else if REFUSED.iter().any(starts) {
            Self::Refused(log.to_owned())
        } else if SLEEPS
            .iter()
            .any(|words| starts(words) && log.contains("sleep"))
        {
            Self::Sleeps
        } else {
            Self::Allowed
        }
    }
}

/// Gives the verifier a program of one call, of a type that loads.
fn call(
    host: &LinuxHost,
    kind: ProgramType,
    attach_type: Option<AttachType>,
    call: [u8; 8],
    sleepable: bool,
) -> Result<Verdict, Probe> {
    if kind == ProgramType::Ext {
        return Err(Probe::unknown(
            "an extension may call what the program that it extends may call",
        ));
    }
    match program_type(host, kind) {
        Probe::Yes => {}
        other => return Err(other),
    }
    let mut code = [0; 16];
    code[..8].copy_from_slice(&call);
    code[8..].copy_from_slice(&EXIT);
    let properties = kind.properties();
    let sleepable = sleepable && properties.contains(ProgramProperties::SLEEPABLE);
    // Of tracing programs, iterators may sleep, and on every kernel that has it.
    let iterator = sleepable && kind == ProgramType::Tracing;
    let attach_type = attach_type.or(iterator.then_some(AttachType::TraceIter));
    let try_it = |sleepable: bool| {
        let mut request = match least::request(host, kind, attach_type, &code) {
            Ok(request) => request,
            Err(Refused::NoTarget(probe)) => return Err(probe),
            Err(Refused::By(error)) => return Err(Probe::refused(&error)),
        };
        if sleepable {
            request.flags |= ProgLoadFlags::SLEEPABLE;
        }
        program::verdict(&host.delegate_program(&request)).map_err(|error| Probe::refused(&error))
    };
    let mut outcome = try_it(sleepable)?;
    let mut never_sleeps = true;
    if sleepable
        && let Err((errno, log)) = &outcome
        && !is_broken_off(*errno)
    {
        // Neither the type nor, of types that may, this target: in words, or before there are any.
        let of_type = log.contains("can be sleepable") || log.contains("cannot be sleepable");
        if of_type || log.is_empty() || log.contains("is not sleepable") {
            never_sleeps = of_type || log.is_empty();
            outcome = try_it(false)?;
        }
    }
    match outcome {
        Ok(()) => Ok(Verdict::Allowed),
        // The type loads, so a call that is known is refused only after a verdict.
        Err((errno, log)) if log.is_empty() || is_broken_off(errno) => {
            Err(without_words(kind, errno))
        }
        Err((_, log)) => match Verdict::of(&log) {
            Verdict::Sleeps if !never_sleeps => Err(Probe::unknown(format!(
                "there is no sleepable {kind} program to try it from"
            ))),
            verdict => Ok(verdict),
        },
    }
}

fn without_words(kind: ProgramType, errno: Errno) -> Probe {
    Probe::unknown(format!(
        "the kernel refused a {kind} program to try it from without a verdict: {errno}"
    ))
}
