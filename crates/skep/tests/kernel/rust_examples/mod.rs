//! The examples in the documentation of `skep-ebpf`: each that is a program is compiled for BPF and
//! loaded, by Skep and some of them by bpftool; and nothing public goes without one.
//!
//! On test kernels (`cargo xtask vm`) they are compiled beforehand as what all tests compile, and what
//! a kernel does not load must be too young for it, or want an option that it is built without. The
//! newest test kernel loads every one.

mod complete;
mod load;
mod source;

use std::{fs, process::Command};

use skep::abi::KernelVersion;
use skep_testing::{
    Bpffs, Lacking, Outcome, Stop, Test, ensure, find_tool, is_prebuilt, is_preparing, needs_kernel,
};

use self::{
    load::{Ending, Unpinned, load},
    source::{Example, compiled},
};
use crate::support::{host, object};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("rust_examples::every_one_loads", all),
        Test::new("rust_examples::bpftool_loads_them", some),
        Test::new("rust_examples::nothing_is_without_one", complete::complete),
    ]
}

/// The test kernel that has all that the examples are about, but what Debian builds no kernel with.
const NEWEST: KernelVersion = KernelVersion::new(7, 3);
const NOT_BUILT: &[Lacking] = &[Lacking::Option("CONFIG_BPF_LIRC_MODE2")];

/// What went wrong, all of it.
fn judged(wrong: &[String]) -> Outcome {
    ensure(wrong.is_empty(), || {
        format!("{} examples fail\n{}", wrong.len(), wrong.join("\n"))
    })
}

fn all() -> Outcome {
    let examples = Example::all()?;
    let objects = compiled(&examples)?;
    // Made beforehand, as they are.
    object(load::REPLACED)?;
    let newest = is_prebuilt() && host().info().version >= NEWEST;
    let (mut wrong, mut loaded) = (Vec::new(), 0);
    for (example, object) in examples.iter().zip(objects) {
        match object.and_then(|object| load(example, &object)) {
            Ok(Ending::Loaded) => loaded += 1,
            Ok(Ending::Lacks(lacking, said)) => {
                let failed = example.failed(&lacking.to_string());
                let said = said.unwrap_or_default();
                println!("  {failed} {}", said.lines().next().unwrap_or_default());
                if newest && !NOT_BUILT.contains(&lacking) {
                    wrong.push(failed);
                }
            }
            Err(Stop::Fail(text)) => wrong.push(example.failed(&text)),
            Err(skip) => return Err(skip),
        }
    }
    println!("  {loaded} of {} examples load here", examples.len());
    judged(&wrong)?;
    ensure(loaded > 0 || is_preparing(), || "none loads here".into())
}

/// The first of each file.
fn some() -> Outcome {
    needs_kernel(6, 12)?;
    let bpftool = find_tool("bpftool")?;
    let mut examples = Example::all()?;
    examples.dedup_by(|next, first| next.file == first.file);
    let pins = Bpffs::mount()?;
    let folder = tempfile::tempdir()?;
    let mut wrong = Vec::new();
    for (example, object) in examples.iter().zip(compiled(&examples)?) {
        let file = folder.path().join("example.o");
        let object = object?;
        fs::write(&file, &object)?;
        if !matches!(load(example, &object), Ok(Ending::Loaded)) {
            continue;
        }
        let _unpinned = Unpinned;
        let ran = Command::new(&bpftool)
            .args(["prog", "loadall"])
            .arg(&file)
            .arg(pins.path().join(example.name()))
            .output()?;
        let said = String::from_utf8_lossy(&ran.stderr);
        // What is younger than it: Debian 12 has 1.1, which knows no `tcx`, no `.struct_ops.link`, and
        // no arenas.
        let too_old = [
            "failed to guess program type from ELF section",
            "missing BPF prog type",
            "skipping unrecognized data section",
            "arena's user address must be set",
        ];
        let too_old = too_old.iter().any(|of| said.contains(of));
        if !ran.status.success() && !too_old {
            wrong.push(example.failed(&said));
        }
    }
    judged(&wrong)
}
