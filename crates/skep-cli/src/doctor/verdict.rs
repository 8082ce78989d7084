//! Whether `skep run` works here, and on which host: the one line that a report comes down to.

use std::fmt;

use skep::linux::{Answer, Check, DoctorReport};

use super::vm;

/// What of a report decides whether programs can be run.
#[derive(Debug)]
pub(super) struct Verdict {
    /// Hooks that work, of all that there are.
    hooks: (usize, usize),
    /// Why only those can be run that are compiled already.
    sources: Vec<Missing>,
    /// Why they can't be run on the kernel.
    kernel: Vec<Missing>,
    /// Why they can't be run on the virtual machine.
    vm: Vec<Missing>,
}

#[derive(Debug)]
struct Missing {
    why: String,
    fix: String,
}

/// Notes a check that is not as it should be. Many fail for one reason, or for a part of it:
/// `CAP_BPF`, `CAP_BPF` and another.
fn lacks(missing: &mut Vec<Missing>, check: Option<&Check>) {
    let Some(check) = check.filter(|check| check.answer != Answer::Yes) else {
        return;
    };
    let why = if check.detail.is_empty() {
        &check.name
    } else {
        &check.detail
    };
    if !missing.iter().any(|missing| missing.why.contains(why)) {
        missing.retain(|missing| !why.contains(&missing.why));
        missing.push(Missing {
            why: why.clone(),
            fix: check.fix.clone(),
        });
    }
}

impl Verdict {
    pub(super) fn of(report: &DoctorReport) -> Self {
        let of_kind = |kind: &'static str| {
            report
                .checks()
                .filter(move |check| check.name.starts_with(kind))
        };
        let works = |check: &&Check| check.answer == Answer::Yes;
        let named = |name: &str| report.checks().find(|check| check.name == name);
        let (mut sources, mut kernel, mut vm) = (Vec::new(), Vec::new(), Vec::new());
        for kind in ["program ", "hook "] {
            if !of_kind(kind).any(|check| check.answer == Answer::Yes) {
                lacks(&mut kernel, of_kind(kind).next());
            }
        }
        // All global variables are in arrays.
        for name in ["map array", "BTF"] {
            lacks(&mut kernel, named(name));
        }
        lacks(&mut vm, named(vm::TRACING));
        lacks(&mut sources, named("clang"));
        Self {
            hooks: (
                of_kind("hook ").filter(works).count(),
                of_kind("hook ").count(),
            ),
            sources,
            kernel,
            vm,
        }
    }

    /// Whether programs can be loaded and attached.
    pub(super) fn runs(&self) -> bool {
        self.runs_on_kernel() || self.runs_on_vm()
    }

    /// Whether they can be on the kernel.
    pub(super) fn runs_on_kernel(&self) -> bool {
        self.kernel.is_empty()
    }

    /// Whether they can be on the virtual machine.
    pub(super) fn runs_on_vm(&self) -> bool {
        self.vm.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.runs_on_kernel() {
            let (working, all) = self.hooks;
            write!(f, "`skep run` works here, with {working} of {all} hooks.")?;
        } else if self.runs_on_vm() {
            write!(
                f,
                "`skep run` works here on the virtual machine: over a command, a process or \
                 packets. Not on the kernel:"
            )?;
            list(f, self.kernel.iter())?;
        } else {
            write!(f, "`skep run` does not work here:")?;
            return list(f, self.kernel.iter().chain(&self.vm));
        }
        if !self.sources.is_empty() {
            write!(
                f,
                " Of sources in C, only what is compiled elsewhere (`skep build`):"
            )?;
            list(f, self.sources.iter())?;
        }
        Ok(())
    }
}

fn list<'m>(f: &mut fmt::Formatter<'_>, missing: impl Iterator<Item = &'m Missing>) -> fmt::Result {
    for (position, Missing { why, fix }) in missing.enumerate() {
        let separator = if position == 0 { "" } else { ";" };
        write!(f, "{separator} {why}")?;
        if !fix.is_empty() {
            write!(f, " (fix: {fix})")?;
        }
    }
    write!(f, ".")
}

#[cfg(test)]
mod tests {
    use skep::linux::Section;

    use super::*;

    fn check(name: &str, answer: Answer, detail: &str, fix: &str) -> Check {
        Check {
            name: name.into(),
            answer,
            detail: detail.into(),
            fix: fix.into(),
        }
    }

    fn verdict(checks: Vec<Check>) -> Verdict {
        let sections = vec![Section {
            title: "all",
            checks,
        }];
        Verdict::of(&DoctorReport {
            release: "6.18".into(),
            sections,
        })
    }

    fn good() -> Vec<Check> {
        let names = ["program xdp", "hook xdp", "map array", "BTF", "clang"];
        let names = names.into_iter().chain([vm::TRACING]);
        names.map(|name| check(name, Answer::Yes, "", "")).collect()
    }

    #[test]
    fn all_is_there() {
        let mut checks = good();
        checks.push(check(
            "hook kprobe",
            Answer::No,
            "no CONFIG_KPROBES",
            "another kernel",
        ));
        let verdict = verdict(checks);
        assert!(verdict.runs());
        assert_eq!(
            verdict.to_string(),
            "`skep run` works here, with 1 of 2 hooks."
        );
    }

    #[test]
    fn one_reason_is_given_once() {
        let lacks = |name, what: &str| {
            check(
                name,
                Answer::Unknown,
                &format!("this process lacks {what}"),
                "use root",
            )
        };
        let checks = vec![
            lacks("program xdp", "CAP_BPF"),
            lacks("hook xdp", "CAP_BPF and CAP_NET_ADMIN"),
            lacks("map array", "CAP_BPF"),
        ];
        let alone = verdict(checks.clone());
        assert!(alone.runs() && alone.runs_on_vm() && !alone.runs_on_kernel());
        assert_eq!(
            alone.to_string(),
            "`skep run` works here on the virtual machine: over a command, a process or \
             packets. Not on the kernel: this process lacks CAP_BPF and CAP_NET_ADMIN \
             (fix: use root)."
        );
        let mut checks = checks;
        checks.push(check(vm::TRACING, Answer::No, "no ptrace", ""));
        let neither = verdict(checks);
        assert!(!neither.runs());
        assert_eq!(
            neither.to_string(),
            "`skep run` does not work here: this process lacks CAP_BPF and CAP_NET_ADMIN \
             (fix: use root); no ptrace."
        );
    }

    #[test]
    fn sources_need_clang_and_objects_do_not() {
        let mut checks = good();
        checks[4] = check("clang", Answer::No, "no clang found", "");
        let verdict = verdict(checks);
        assert!(verdict.runs());
        assert_eq!(
            verdict.to_string(),
            "`skep run` works here, with 1 of 1 hooks. Of sources in C, only what is compiled \
             elsewhere (`skep build`): no clang found."
        );
    }
}
