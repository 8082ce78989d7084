//! The project's own programs, judged beside the running kernel: the corpus, the examples, and what
//! tests compile. Where we differ for a reason that is the machine's, it is listed here.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use skep_build::{Build, Cache};
use skep_selftests::{Judge, name_of};
use skep_testing::{Outcome, Stop};

use crate::hosted::Hosted;

/// Where the sources stand, below the workspace's root.
const FOLDERS: [&str; 8] = [
    "corpus",
    "examples",
    "bench/programs",
    "crates/skep/tests",
    "crates/skep-cli/tests",
    "crates/skep-linux/tests",
    "crates/skep-test/tests",
    "crates/skep-vm/tests",
];

/// Programs that we judge otherwise than the kernel: `object/program`, and why.
const DIFFERENCES: &[(&str, &str)] = &[
    ("externs/variables", HIDDEN),
    ("variables/variables", HIDDEN),
    ("program_types/lirc_mode2", NO_LIRC),
    ("sections/on_lirc_mode2", NO_LIRC),
    ("sockets/pulse", NO_LIRC),
    (
        "wrong/changes",
        "lockdown takes bpf_probe_write_user away, which no file of the kernel tells",
    ),
];

const HIDDEN: &str = "the kernel has the variable's type, and not its address in its symbols";
const NO_LIRC: &str = "a kernel without CONFIG_BPF_LIRC_MODE2; its configuration was not asked";

/// At least so many of a hundred verdicts must be the kernel's, the listed ones among the others.
const LEAST: usize = 98;

/// Compiles and judges all; whether enough are judged as the kernel does.
pub(crate) fn judge() -> Outcome<bool> {
    let sources = sources();
    let mut judge = Judge::here().map_err(|error| Stop::lacks(error.to_string()))?;
    judge.all = true;
    let mut kernel = Hosted::kernel()?;
    let cache = Cache::open()?;
    let (mut same, mut all, mut uncompiled) = (0, 0, 0);
    let mut differ = BTreeMap::new();
    for source in &sources {
        // Some are not for every compiler, or need macros, or are there to be refused by all.
        let built = Build::new(source).cache(cache.clone()).color(false);
        let Ok(built) = built.cached() else {
            uncompiled += 1;
            continue;
        };
        let done = judge.object(&name_of(source), &built.object, |case| {
            // The kernel is not asked for what can't be made ready for it.
            if case.verdict.is_none() {
                return;
            }
            let answer = kernel.ask(&case, 1, false);
            if answer.forbidden {
                return;
            }
            all += 1;
            let name = format!("{}/{}", case.object, case.program);
            if answer.accepted == case.accepted() {
                same += 1;
                return;
            }
            let theirs = match answer.accepted {
                true => "accepted",
                false => &answer.message,
            };
            differ.insert(name, format!("we: {}; the kernel: {theirs}", case.reason()));
        });
        if let Err(error) = done {
            println!("{}: {error}", source.display());
        }
    }
    println!(
        "{} sources, {uncompiled} that don't compile by themselves",
        sources.len()
    );
    let holds = same * 100 >= all * LEAST;
    for (name, how) in &differ {
        let listed = DIFFERENCES.iter().find(|(known, _)| known == name);
        match listed {
            Some((_, reason)) => println!("{name}: {how} ({reason})"),
            None => println!("{name}: {how}"),
        }
    }
    println!("own programs as the kernel: {same} of {all}");
    Ok(holds)
}

/// The sources of all.
pub(crate) fn sources() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut sources = Vec::new();
    for folder in FOLDERS {
        collect(&root.join(folder), &mut sources);
    }
    sources.sort();
    sources
}

fn collect(folder: &Path, sources: &mut Vec<PathBuf>) {
    let Ok(entries) = folder.read_dir() else {
        return;
    };
    for entry in entries.filter_map(Result::ok) {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, sources);
        } else if path.to_string_lossy().ends_with(".bpf.c") {
            sources.push(path);
        }
    }
}
