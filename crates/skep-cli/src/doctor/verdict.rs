//! Whether `skep run` works here: the one line that a report comes down to.

use std::fmt;

use skep::linux::{Answer, Check, DoctorReport};

/// What of a report decides whether programs can be run.
#[derive(Debug)]
pub(super) struct Verdict {
    /// Hooks that work, of all that there are.
    hooks: (usize, usize),
    /// Why programs can't be run; empty if they can.
    missing: Vec<Missing>,
}

#[derive(Debug)]
struct Missing {
    why: String,
    fix: String,
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
        let hooks = (
            of_kind("hook ").filter(works).count(),
            of_kind("hook ").count(),
        );

        let mut missing: Vec<Missing> = Vec::new();
        let mut lacks = |check: Option<&Check>| {
            let Some(check) = check.filter(|check| check.answer != Answer::Yes) else {
                return;
            };
            let why = if check.detail.is_empty() {
                &check.name
            } else {
                &check.detail
            };
            // Many checks fail for one reason, or for a part of it: CAP_BPF, CAP_BPF and another.
            if !missing.iter().any(|missing| missing.why.contains(why)) {
                missing.retain(|missing| !why.contains(&missing.why));
                missing.push(Missing {
                    why: why.clone(),
                    fix: check.fix.clone(),
                });
            }
        };
        for kind in ["program ", "hook "] {
            if !of_kind(kind).any(|check| check.answer == Answer::Yes) {
                lacks(of_kind(kind).next());
            }
        }
        // All global variables are in arrays.
        for name in ["map array", "BTF", "clang"] {
            lacks(named(name));
        }
        Self { hooks, missing }
    }

    /// Whether programs can be compiled, loaded and attached.
    pub(super) fn runs(&self) -> bool {
        self.missing.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.missing.is_empty() {
            let (working, all) = self.hooks;
            return write!(f, "`skep run` works here, with {working} of {all} hooks.");
        }
        write!(f, "`skep run` does not work here:")?;
        for (position, Missing { why, fix }) in self.missing.iter().enumerate() {
            let separator = if position == 0 { "" } else { ";" };
            write!(f, "{separator} {why}")?;
            if !fix.is_empty() {
                write!(f, " (fix: {fix})")?;
            }
        }
        write!(f, ".")
    }
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
        ["program xdp", "hook xdp", "map array", "BTF", "clang"]
            .map(|name| check(name, Answer::Yes, "", ""))
            .into()
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
        let verdict = verdict(checks);
        assert!(!verdict.runs());
        assert_eq!(
            verdict.to_string(),
            "`skep run` does not work here: this process lacks CAP_BPF and CAP_NET_ADMIN \
             (fix: use root)."
        );
    }

    #[test]
    fn sources_need_clang() {
        let mut checks = good();
        checks[4] = check("clang", Answer::No, "no clang found", "");
        assert_eq!(
            verdict(checks).to_string(),
            "`skep run` does not work here: no clang found."
        );
    }
}
