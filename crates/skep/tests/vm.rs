//! Ordinary C programs on the virtual machine: compiled by clang, relocated against its types,
//! loaded, attached, run and read, without a privilege.

use std::path::{Path, PathBuf};

use skep::{Host, Object};
use skep_testing::{Stop, compile};

/// The workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The object of a source; `None` where there is no clang for it.
fn object(source: &str) -> Option<Object> {
    match compile(&root().join(source), env!("CARGO_TARGET_TMPDIR")) {
        Ok(bytes) => {
            Some(Object::parse(source, &bytes).unwrap_or_else(|error| panic!("{source}: {error}")))
        }
        Err(Stop::Skip(lacking)) => {
            skep_testing::lacks(lacking);
            None
        }
        Err(Stop::Fail(text)) => panic!("{source}: {text}"),
    }
}

fn check_loads(source: &str) {
    let host = Host::vm().expect("a machine");
    let Some(object) = object(source) else {
        return;
    };
    if let Err(error) = object.load(&host) {
        let mut text = format!("{source}: {error}");
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            text += &format!("\n  {error}");
            cause = error.source();
        }
        panic!("{text}");
    }
}

#[test]
fn examples_load() {
    for source in [
        "examples/cgroup_egress.bpf.c",
        "examples/execsnoop.bpf.c",
        "examples/malloc_sizes.bpf.c",
        "examples/opensnoop.bpf.c",
        "examples/profile.bpf.c",
        "examples/syscount.bpf.c",
        "examples/tasks.bpf.c",
        "examples/xdp_count.bpf.c",
    ] {
        check_loads(source);
    }
}

#[test]
fn the_corpus_of_variables_loads() {
    check_loads("corpus/variables.bpf.c");
}
