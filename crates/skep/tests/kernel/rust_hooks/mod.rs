//! Programs in Rust of every type, by every attribute that the library has: they load, here and by
//! Debian's bpftool; and what can fire on this machine does, with true arguments.

mod events;
mod functions;
mod packets;
mod sockets;
#[cfg(feature = "vm")]
mod vm;

use std::{collections::BTreeSet, path::PathBuf, process::Command};

use skep::{
    Object,
    abi::{KernelVersion, ProgramType},
    features::{Feature, Probe},
};
use skep_testing::{Bpffs, Outcome, Stop, Test, ensure, find_tool, needs_kernel};

use crate::{
    program_types::is_right,
    support::{Running, host},
};

pub(crate) fn tests() -> Vec<Test> {
    let mut tests = vec![
        Test::new("rust_hooks::programs_of_every_type_load", every_type),
        Test::new("rust_hooks::bpftool_loads_them", bpftool),
    ];
    tests.extend(events::tests());
    tests.extend(functions::tests());
    tests.extend(packets::tests());
    tests.extend(sockets::tests());
    #[cfg(feature = "vm")]
    tests.extend(vm::tests());
    tests
}

/// The files of `tests/rust/hooks`.
const FILES: [&str; 7] = [
    "elsewhere",
    "newer",
    "skb",
    "sockets",
    "struct_ops",
    "tracing",
    "xdp",
];

fn bytes(name: &str) -> Outcome<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/rust/hooks");
    skep_testing::compile(
        &folder.join(format!("{name}.rs")),
        env!("CARGO_TARGET_TMPDIR"),
    )
}

fn object(name: &str) -> Outcome<Object> {
    Ok(Object::parse(name, &bytes(name)?)?)
}

/// Some programs of a file, loaded.
fn running(name: &str, programs: &[&str]) -> Outcome<Running> {
    let mut object = object(name)?;
    object.only_programs(programs)?;
    Running::of(object)
}

/// What programs put into the map `SEEN`.
fn seen(running: &Running, index: u32) -> Outcome<u64> {
    let value = running.loaded.map("SEEN")?.lookup(&index.to_ne_bytes())?;
    match value.unwrap_or_default().try_into() {
        Ok(bytes) => Ok(u64::from_ne_bytes(bytes)),
        Err(bytes) => Err(Stop::fail(format!("{bytes:?} in SEEN"))),
    }
}

fn saw(running: &Running, index: u32, wanted: u64) -> Outcome {
    let got = seen(running, index)?;
    ensure(got == wanted, || {
        format!("SEEN[{index}] is {got}, not {wanted}")
    })
}

/// Programs of newer kernels than the features of their types.
const SINCE: &[(&str, KernelVersion)] = &[
    ("lsm_cgroup", KernelVersion::new(6, 0)),
    ("netkit", KernelVersion::new(6, 7)),
    ("migrate", KernelVersion::new(5, 14)),
    ("lsm_sleepable", KernelVersion::new(5, 11)),
    // Of packets 6.12 does not say where they are, and 6.18 does.
    ("elsewhere", KernelVersion::new(6, 18)),
];

fn every_type() -> Outcome {
    // With CO-RE of enumerations, cookies, and what else is in the programs.
    needs_kernel(6, 6)?;
    let mut types = BTreeSet::new();
    for file in FILES {
        let object = object(file)?;
        for program in object.spec().programs() {
            let kind = program.program_type();
            let is_first = types.insert(kind);
            if kind == ProgramType::StructOps && !is_first {
                continue;
            }
            let name = &program.name;
            let since = SINCE.iter().find(|(known, _)| known == name);
            if since.is_some_and(|(_, since)| host().info().version < *since) {
                continue;
            }
            let feature = match program.attach_type() {
                Some(attach) => Feature::AttachType(attach),
                None => Feature::ProgramType(kind),
            };
            let mut object = Object::from_spec(object.spec().clone());
            // A struct of operations takes all of its members.
            if kind != ProgramType::StructOps {
                object.only_programs(&[name])?;
            }
            match object.load(host()) {
                Ok(loaded) => {
                    let info = host().boundary().prog_info(loaded.program(name)?.fd())?;
                    ensure(info.program_type() == Some(kind), || {
                        format!("{name}: {info:?}")
                    })?;
                }
                // What is refused is so for a reason that lies in the kernel.
                Err(error) => {
                    let cause = error.cause();
                    let right = cause.is_some_and(|cause| {
                        matches!(host().probe(&feature), Probe::No { .. })
                            && is_right(&feature, cause).is_ok_and(|right| right)
                    });
                    ensure(right, || format!("{file}, {name}: {error}: {cause:?}"))?;
                }
            }
        }
    }
    // An extension needs a program that is loaded before it: `events::extension`.
    for &kind in ProgramType::ALL {
        let elsewhere = matches!(kind, ProgramType::Unspec | ProgramType::Ext);
        ensure(types.contains(&kind) != elsewhere, || {
            format!("{kind}: no program")
        })?;
    }
    Ok(())
}

/// The version of libbpf that bpftool says it has.
fn libbpf_of(bpftool: &PathBuf) -> Outcome<(u32, u32)> {
    let said = Command::new(bpftool).arg("version").output()?.stdout;
    let said = String::from_utf8_lossy(&said);
    let version = said.split("libbpf v").nth(1).and_then(|rest| {
        let mut numbers = rest.split(|c: char| !c.is_ascii_digit()).map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    });
    version.ok_or_else(|| Stop::lacks(format!("bpftool that says its libbpf ({said})")))
}

fn bpftool() -> Outcome {
    // One of its programs; and what is younger is seen on the machine itself.
    needs_kernel(6, 18)?;
    let bpftool = find_tool("bpftool")?;
    let libbpf = libbpf_of(&bpftool)?;
    let folder = tempfile::tempdir()?;
    let bpffs = Bpffs::mount()?;
    for file in FILES {
        let newer = file == "newer" && libbpf < (1, 3);
        // Where the kernel lets nobody patch functions, one program of these can't be loaded, and
        // so none.
        if newer || file == "elsewhere" {
            continue;
        }
        let made = folder.path().join(format!("{file}.o"));
        std::fs::write(&made, bytes(file)?)?;
        let pins = bpffs.path().join(file);
        let ran = Command::new(&bpftool)
            .args(["prog", "loadall"])
            .args([&made, &pins])
            .output()?;
        ensure(ran.status.success(), || {
            format!("{file}: {}", String::from_utf8_lossy(&ran.stderr))
        })?;
        let loaded = std::fs::read_dir(&pins)?.count();
        let programs = object(file)?.spec().programs().len();
        ensure(loaded == programs, || {
            format!("{file}: {loaded} of {programs}")
        })?;
    }
    Ok(())
}
