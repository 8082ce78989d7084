//! Programs in Rust: `skep build` and what it says when something is missing or wrong.

use std::{fs, path::Path};

use super::{Ran, core_source, folder, skep};

/// A program that does nothing.
const PROGRAM: &str = "\
use skep_ebpf::prelude::*;
license!(\"GPL\");
#[tracepoint(\"syscalls/sys_enter_getpid\")]
fn enter(_: &TracepointContext) -> Result {
    Ok(())
}
";

fn is_object(path: &Path) -> bool {
    fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"\x7fELF"))
}

/// Core is compiled once for both sources, and it is said once that the next command has to do so
/// again.
#[test]
fn where_nothing_can_be_kept_that_is_said() {
    let Some(core) = core_source() else {
        return;
    };
    let folder = folder();
    for name in ["a.rs", "b.rs"] {
        fs::write(folder.path().join(name), PROGRAM).unwrap();
    }
    let mut command = skep(folder.path());
    command
        .args(["build", "a.rs", "b.rs"])
        .env("SKEP_RUST_SRC", core)
        .env("XDG_CACHE_HOME", "/proc/nowhere");
    let ran = Ran::of(&mut command).ended_with(0).saying(&[
        "warning: core was compiled for BPF and can't be kept for the next time: cannot write \
         /proc/nowhere/skep: No such file or directory",
        "help: name a folder that only you can write with XDG_CACHE_HOME",
    ]);
    for once in ["warning: ", "compiling core for BPF"] {
        assert_eq!(ran.stderr.matches(once).count(), 1, "{}", ran.stderr);
    }
    assert!(is_object(&folder.path().join("a.o")) && is_object(&folder.path().join("b.o")));
}
