//! The verifier's verdicts on calls of helpers beside this kernel's: every helper from every hook,
//! and every argument of every helper, right and wrong.
//!
//! `SKEP_VERDICTS=list` prints all differences instead of the first few.

mod arguments;
mod callers;
mod hooks;
mod scene;

use std::sync::{Arc, LazyLock};

use skep_abi::KernelVersion;
use skep_btf::Btf;
use skep_object::Target;
use skep_testing::{Outcome, Stop, Test, ensure};

pub(crate) fn trials() -> Vec<Test> {
    vec![
        Test::new("verdicts::who_may_call_what", || {
            unhurried(callers::everyone)
        }),
        Test::new("verdicts::arguments_of_helpers", || {
            unhurried(arguments::all)
        }),
    ]
}

/// Thousands of loads are too many for a machine that is emulated.
fn unhurried(test: fn() -> Outcome) -> Outcome {
    match skep_testing::is_prebuilt() {
        true => Err(Stop::lacks("a machine that is not emulated")),
        false => test(),
    }
}

/// This machine, as the verifier sees it.
static TARGET: LazyLock<Option<Target>> = LazyLock::new(|| {
    let types = std::fs::read("/sys/kernel/btf/vmlinux").ok()?;
    let types = Arc::new(Btf::parse(types).ok()?);
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    let version: KernelVersion = release.parse().ok()?;
    Some(Target::new(version).with_kernel_btf(types))
});

fn target() -> Result<&'static Target, Stop> {
    TARGET
        .as_ref()
        .ok_or_else(|| Stop::Fail("the kernel's types can't be read".into()))
}

/// Fails with the differences, of which `known` names those that have a reason.
fn judge(compared: usize, differences: Vec<String>, known: &[(&str, &str)]) -> Outcome {
    let listed = std::env::var_os("SKEP_VERDICTS").is_some();
    let unknown: Vec<&String> = differences
        .iter()
        .filter(|difference| {
            let reason = known
                .iter()
                .find(|(prefix, _)| difference.starts_with(prefix));
            reason.is_none()
        })
        .collect();
    if listed {
        for difference in &unknown {
            eprintln!("DIFFERENCE {difference}");
        }
    }
    eprintln!(
        "{compared} verdicts compared, {} differ for known reasons",
        differences.len() - unknown.len()
    );
    ensure(unknown.is_empty(), || {
        let few: Vec<&str> = unknown.iter().take(20).map(|one| one.as_str()).collect();
        format!("{} verdicts differ:\n{}", unknown.len(), few.join("\n"))
    })
}
