//! Verdicts on random programs, the same ones every time. More of them:
//! `SKEP_FUZZ_RUNS=100000 cargo test --release -p skep-fuzz --test verdicts`; `SKEP_FUZZ_SEED`
//! starts elsewhere, `SKEP_FUZZ_DIFFERENCES` is how many are printed before it ends.

use std::{env, sync::Arc};

use skep_fuzz::{
    verdict::{Verdicts, contain, trap, turn},
    vm::Choices,
};
use skep_linux::LinuxHost;
use skep_object::Target;
use skep_testing::Lacking;

fn number(name: &str) -> Option<u64> {
    env::var(name)
        .ok()
        .map(|text| text.parse().expect("a number"))
}

fn seeds(runs: u64) -> std::ops::Range<u64> {
    let first = number("SKEP_FUZZ_SEED").unwrap_or(0);
    first..first + number("SKEP_FUZZ_RUNS").unwrap_or(runs)
}

#[test]
fn verdicts_are_the_kernels() {
    if !rustix::process::geteuid().is_root() {
        skep_testing::skip("verdicts", "kernel", &Lacking::Root);
        return;
    }
    let kernel = LinuxHost::new().unwrap();
    let types = std::fs::read("/sys/kernel/btf/vmlinux").unwrap();
    let btf = Arc::new(skep_btf::Btf::parse(types).unwrap());
    let release = rustix::system::uname();
    let version = release.release().to_str().unwrap().parse().unwrap();
    let mut verdicts = Verdicts::new(&kernel, Target::new(version).with_kernel_btf(btf));
    let most = number("SKEP_FUZZ_DIFFERENCES").unwrap_or(0);
    let (mut wrong, mut stricter) = (Vec::new(), Vec::new());
    for seed in seeds(300) {
        let Err(unequal) = verdicts.judge(&Choices::bytes_of(seed)) else {
            continue;
        };
        let list = if unequal.looser {
            &mut wrong
        } else {
            &mut stricter
        };
        list.push(seed);
        if (list.len() as u64) <= most.max(1) {
            let who = if unequal.looser { "kernel" } else { "verifier" };
            let lines: Vec<&str> = unequal.why.lines().collect();
            let end = &lines[lines.len().saturating_sub(14)..];
            println!(
                "seed {seed}: only the {who} refuses: {}\n{}",
                end.join("\n"),
                unequal.case
            );
        }
    }
    println!("{:?}", verdicts.tally);
    assert!(
        wrong.is_empty(),
        "accepted, but not by the kernel: {wrong:?}"
    );
    assert!(
        stricter.is_empty(),
        "refused, but not by the kernel: {stricter:?}"
    );
    let tally = verdicts.tally;
    assert!(tally.accepted > 0 && tally.refused > 0, "{tally:?}");
}

#[test]
fn accepted_programs_never_trap() {
    let (mut ran, mut refused) = (0, 0);
    for seed in seeds(300) {
        let input = Choices::bytes_of(seed);
        match std::panic::catch_unwind(|| trap::accepted(&input)) {
            Ok(trap::Came::Ran) => ran += 1,
            Ok(trap::Came::Refused) => refused += 1,
            Err(_) => panic!("seed {seed}"),
        }
    }
    println!("{ran} ran, {refused} were refused");
    assert!(ran * 2 > refused, "{ran} ran, {refused} were refused");
}

#[test]
fn what_runs_find_was_known() {
    let (mut steps, mut programs) = (0, 0);
    let runs = seeds(300);
    for seed in runs.clone() {
        let input = Choices::bytes_of(seed);
        match std::panic::catch_unwind(|| contain::contained(&input)) {
            Ok(compared) => {
                steps += compared;
                programs += u64::from(compared > 0);
            }
            Err(_) => panic!("seed {seed}"),
        }
    }
    println!("{steps} steps of {programs} programs");
    assert!(
        programs * 3 > runs.end - runs.start,
        "only {programs} programs were compared"
    );
}

#[test]
fn programs_without_a_check_are_refused() {
    let mut counts = std::collections::BTreeMap::new();
    for seed in seeds(300) {
        let input = Choices::bytes_of(seed);
        match std::panic::catch_unwind(|| turn::turned(&input)) {
            Ok(turned) => {
                for dropped in turned {
                    *counts.entry(dropped).or_insert(0_u64) += 1;
                }
            }
            Err(_) => panic!("seed {seed}"),
        }
    }
    println!("{counts:?}");
    assert_eq!(
        counts.len(),
        4,
        "some kind of check was never left out: {counts:?}"
    );
}
