//! Ordinary C programs on the virtual machine: compiled by clang, relocated against its types,
//! loaded, attached, run and read, without a privilege.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

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
fn what_is_not_there_is_named() {
    let host = Host::vm().expect("a machine");
    let Some(object) = object("corpus/variables.bpf.c") else {
        return;
    };
    let error = object.load(&host).expect_err("the vm has no run queues");
    assert!(error.to_string().contains("runqueues"), "{error}");
}

#[test]
fn an_iterator_writes_a_line_a_task() {
    let host = Host::vm().expect("a machine");
    let Some(object) = object("examples/tasks.bpf.c") else {
        return;
    };
    let loaded = object.load(&host).expect("it loads");
    let links = loaded.attach_all().expect("it is attached");
    let mut text = String::new();
    let mut iteration = links[0].iterate().expect("it is opened");
    iteration.read_to_string(&mut text).expect("it is read");
    let mut lines = text.lines();
    assert!(
        lines.next().is_some_and(|line| line.contains("COMM")),
        "{text}"
    );
    let own = std::process::id().to_string();
    let is_own = |line: &str| line.split_whitespace().next() == Some(&own);
    assert!(lines.any(is_own), "{text}");
}

#[test]
fn programs_are_attached_and_listed() {
    let host = Host::vm().expect("a machine");
    let Some(object) = object("examples/syscount.bpf.c") else {
        return;
    };
    let loaded = object.load(&host).expect("it loads");
    let links = loaded.attach_all().expect("it is attached");
    let info = links[0].info().expect("a link");
    let program = loaded
        .programs()
        .next()
        .expect("a program")
        .info()
        .expect("info");
    assert_eq!(info[0].program_id, program.id);
    assert!(
        program.btf_id > 0 && !program.maps.is_empty(),
        "{program:?}"
    );
}
