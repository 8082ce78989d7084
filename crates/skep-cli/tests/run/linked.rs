//! Programs of several files, linked and run.

use std::process::Command;

use skep_testing::{Outcome, Test, ensure};

use crate::support::{prepare, run, source, worker};

pub(crate) fn tests() -> Vec<Test> {
    vec![Test::new("linked::two_files_are_one_program", two_files)]
}

fn two_files() -> Outcome {
    let worker = worker()?;
    let folder = tempfile::tempdir()?;
    let object = folder.path().join("linked.bpf.o");
    let mut link = Command::new(env!("CARGO_BIN_EXE_skep"));
    prepare(&mut link);
    link.arg("link")
        .args(["linked_hook.bpf.c", "linked_ring.bpf.c"].map(source));
    let linked = link.arg("-o").arg(&object).output()?;
    ensure(linked.status.success(), || format!("{linked:?}"))?;

    let words = ["--", worker.to_str().unwrap_or_default(), "getppid", "3"];
    let ran = run(&object, &words)?.ended_with(0)?;
    // The one's count, by its own `next`, scaled by the other's.
    for number in ["1010", "1020", "1030"] {
        ensure(ran.has_row(&[number]), || format!("no {number} in\n{ran}"))?;
    }
    let counts = ran.counts()?;
    ensure(counts == (3, 0), || ran.to_string())
}
