//! Holds the rules of rejections against the kernel's messages: of each selftest that is to be
//! refused, the rule that our verifier gives and the one that the expected message is about.
//! `rules FILE…` prints where they differ, which shows rejections for a wrong reason.

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode};

use skep_selftests::Judge;
use skep_verifier::diagnosis::KernelLog;

fn main() -> ExitCode {
    match compare(std::env::args_os().skip(1).map(PathBuf::from).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(mut files: Vec<PathBuf>) -> skep_selftests::Result {
    files.sort();
    let judge = Judge::here()?;
    let (mut same, mut differ, mut unknown) = (0_u32, 0_u32, 0_u32);
    let mut pairs = BTreeMap::<(String, String), u32>::new();
    for file in &files {
        let name = skep_selftests::name_of(file);
        judge.object(&name, file, |case| {
            let Some(expected) = case.expected.filter(|expected| !expected.accept) else {
                return;
            };
            let Some(rejection) = case.verdict.as_ref().and_then(|v| v.rejection.as_deref()) else {
                return;
            };
            let messages = expected.messages.iter();
            let rules: Vec<_> = messages
                .filter_map(|message| KernelLog::parse(message).rule)
                .collect();
            if rules.is_empty() {
                unknown += 1;
                if !expected.messages.is_empty() {
                    println!("no rule: {:?}", expected.messages);
                }
            } else if rules.contains(&rejection.rule) {
                same += 1;
            } else {
                differ += 1;
                let theirs = rules.last().map(ToString::to_string).unwrap_or_default();
                println!(
                    "{name}/{}: {rejection}\n    the kernel: {:?} [{theirs}]",
                    case.program, expected.messages
                );
                *pairs
                    .entry((rejection.rule.to_string(), theirs))
                    .or_default() += 1;
            }
        })?;
    }
    for ((ours, theirs), count) in pairs {
        println!("{count:5} times {ours} for {theirs}");
    }
    println!(
        "{same} rules are the kernel's, {differ} differ, {unknown} are not known by a message"
    );
    Ok(())
}
