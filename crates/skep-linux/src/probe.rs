//! Probes: what can be used here, found by trying it harmlessly.
//!
//! Programs are the least of their type that the kernel accepts (`least`), maps the smallest
//! (`map`), helpers and kernel functions are told by the verifier's words (`call`), attach and
//! link types by attaching to nowhere (`attach`), hooks by attaching for a moment (`hook`).
//! Only known answers are kept, and only those that others rest on.

mod attach;
mod call;
mod hook;
mod least;
mod loader;
mod map;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::{Mutex, OnceLock, PoisonError},
};

use skep_abi::ProgramType;
use skep_btf::{Btf, KindTag};
use skep_host::{Cause, Errno, Error, Feature, Hook, Host, Probe};

use crate::{LinuxHost, cause::too_old, host::kept, requirement};

/// What probes have found out that others rest on.
#[derive(Debug, Default)]
pub(crate) struct Found {
    btf: OnceLock<Btf>,
    /// Answers that are known, of program types and hooks.
    known: Mutex<Vec<(Feature, Probe)>>,
    targets: Mutex<BTreeMap<(u32, u32), least::Target>>,
}

impl Found {
    /// The kernel's types, if it shows them.
    pub(crate) fn btf(&self, host: &LinuxHost) -> Option<&Btf> {
        let read = || Btf::parse_trusted(host.btf(None).ok()?, None).ok();
        kept(&self.btf, || read().ok_or(())).ok()
    }

    /// The answer that was found before, or the one that is found now.
    fn once(&self, feature: &Feature, find: impl FnOnce() -> Probe) -> Probe {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, probe)) = known().iter().find(|(asked, _)| asked == feature) {
            return probe.clone();
        }
        let probe = find();
        if probe.is_known() {
            known().push((feature.clone(), probe.clone()));
        }
        probe
    }
}

/// Whether this kernel has something, for this process.
pub(crate) fn probe(host: &LinuxHost, feature: &Feature) -> Probe {
    match feature {
        Feature::ProgramType(kind) => program_type(host, *kind),
        Feature::MapType(kind) => map::probe(host, *kind),
        Feature::Helper(helper, program) => call::helper(host, helper, *program),
        Feature::KernelFunction(name, program) => call::kernel_function(host, name, *program),
        Feature::AttachType(kind) => attach::attach_type(host, *kind),
        Feature::LinkType(kind) => attach::link_type(host, *kind),
        Feature::Hook(kind) => hook(host, *kind),
        Feature::Loader(feature) => loader::probe(host, *feature),
        Feature::KernelOption(option) => kernel_option(host, option),
        _ => Probe::unknown("this version of Skep does not know how to try it"),
    }
}

/// Whether programs of a type can be loaded.
fn program_type(host: &LinuxHost, kind: ProgramType) -> Probe {
    let find = || match least::load(host, kind, None) {
        Ok(_) => Probe::Yes,
        // It got as far as the verifier: the type is there.
        Err(least::Refused::By(Error::Verifier { cause: None, .. })) => Probe::Yes,
        // Who may not load it is told so first: the kernel has no such type.
        Err(least::Refused::By(Error::Command {
            errno: Errno::EINVAL,
            cause: None,
            ..
        })) => not_known(host, &Feature::ProgramType(kind)),
        Err(refused) => refused.probe(host, kind),
    };
    host.found().once(&Feature::ProgramType(kind), find)
}

/// The kernel broke a trial off: its log, if there is one, ends anywhere and says nothing.
fn is_broken_off(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::EAGAIN
            | Errno::EINTR
            | Errno::ENOMEM
            | Errno::ENOSPC
            | Errno::EMFILE
            | Errno::ENFILE
    )
}

/// Whether programs can be attached to a hook.
fn hook(host: &LinuxHost, kind: Hook) -> Probe {
    let find = || hook::probe(host, kind);
    host.found().once(&Feature::Hook(kind), find)
}

fn kernel_option(host: &LinuxHost, option: &'static str) -> Probe {
    match host.config(option) {
        Ok(Some(_)) => Probe::Yes,
        Ok(None) => Probe::No {
            cause: Cause::KernelOption(option),
        },
        Err(error) => {
            let cause = error.cause();
            Probe::Unknown {
                why: cause.map_or_else(|| error.to_string(), ToString::to_string),
                fix: cause.map(Cause::fix).unwrap_or_default(),
            }
        }
    }
}

/// The kernel is older than a feature.
fn older(host: &LinuxHost, feature: &Feature) -> Option<Probe> {
    let cause = too_old(host, &feature.to_string(), feature.since()?)?;
    Some(Probe::No { cause })
}

/// What an "invalid" means, from a process that may ask: the kernel does not know the feature.
fn not_known(host: &LinuxHost, feature: &Feature) -> Probe {
    let lacking = || {
        let cause = requirement::of_feature(feature).lacking(host, &feature.to_string())?;
        Some(Probe::No { cause })
    };
    let known = older(host, feature).or_else(lacking);
    known.unwrap_or_else(|| {
        let what = match requirement::of_feature(feature).options {
            // That one is there: it has answered.
            [.., "CONFIG_BPF_SYSCALL"] | [] => "this kernel does not have it".to_owned(),
            [.., option] => format!("this kernel does not have it, perhaps for want of {option}"),
        };
        let fix = "use a kernel that is built with it, or do without it".into();
        Probe::No {
            cause: Cause::Other { what, fix },
        }
    })
}

/// The kernel's type with this name, for programs whose target is one.
fn kernel_type(host: &LinuxHost, name: &str, kind: KindTag) -> Result<u32, Probe> {
    let Some(btf) = host.found().btf(host) else {
        return Err(Probe::from(host.btf(None)));
    };
    match btf.find(name, kind) {
        Some(id) => Ok(id.0),
        None => Err(Probe::unknown(format!(
            "the kernel's BTF has no `{name}` to try it on"
        ))),
    }
}

/// What a program type lacks of this kernel, beside what its refusal says.
fn lacks(host: &LinuxHost, kind: ProgramType) -> Option<Cause> {
    too_old(host, kind.name(), kind.since())
        .or_else(|| requirement::of_program(kind).lacking(host, kind.short_name()))
}
