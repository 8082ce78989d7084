//! Loads an example, or says what this kernel lacks for it; what it should load and doesn't is a failure.

use std::{fs, path::Path};

use skep::{
    Error, Object, TargetProgram,
    abi::ProgramType,
    boundary::Cause,
    btf::Kind,
    features::{Feature, Probe},
};
use skep_testing::{Lacking, Outcome, Stop, mount_point};

use super::source::{Example, version};
use crate::support::{Running, host};

/// The map that one of the examples pins.
const PINNED: &str = "/sys/fs/bpf/skep_example_hits";

/// How an example's load ends where nothing is wrong.
pub(super) enum Ending {
    /// All its programs are loaded.
    Loaded,
    /// The kernel can't have it, or one of its programs; and what it said to that, if only the
    /// documentation tells why.
    Lacks(Lacking, Option<String>),
}

/// Removes what an example pins.
pub(super) struct Unpinned;

impl Drop for Unpinned {
    fn drop(&mut self) {
        // Most examples pin nothing.
        let _ = fs::remove_file(PINNED);
    }
}

/// Loads an example with all its programs, if this kernel can have them.
pub(super) fn load(example: &Example, bytes: &[u8]) -> Outcome<Ending> {
    if example.pins() && mount_point("bpf").is_none_or(|point| point != Path::new("/sys/fs/bpf")) {
        let lacking = "a BPF file system at /sys/fs/bpf";
        return Ok(Ending::Lacks(Lacking::Thing(lacking.into()), None));
    }
    let _unpinned = Unpinned;
    let mut object = Object::parse(&example.name(), bytes)?;
    let (mut wanted, mut lacks) = (Vec::new(), None);
    for program in object.spec().programs() {
        let feature = match program.attach_type() {
            Some(attach) => Feature::AttachType(attach),
            None => Feature::ProgramType(program.program_type()),
        };
        match host().probe(&feature) {
            Probe::No { cause } => match lacking(&cause)? {
                Some(lacking) => lacks = Some(lacking),
                None => return Err(Stop::fail(format!("{feature}: {cause}"))),
            },
            Probe::Yes | Probe::Unknown { .. } => wanted.push(program.name.clone()),
        }
    }
    // Those that the kernel can have must load all the same.
    if let (true, Some(lacks)) = (wanted.is_empty(), lacks.clone()) {
        return Ok(Ending::Lacks(lacks, None));
    }
    let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
    object.only_programs(&wanted)?;
    let _replaced = replaced(&mut object, &wanted)?;
    match object.load(host()) {
        Ok(_) => Ok(lacks.map_or(Ending::Loaded, |lacks| Ending::Lacks(lacks, None))),
        Err(error) => {
            if let Some(lacking) = missing(&error)? {
                return Ok(Ending::Lacks(lacking, None));
            }
            let since = example.since.map(Lacking::Kernel);
            match since.filter(|lacking| !is_here(lacking)) {
                Some(since) => Ok(Ending::Lacks(since, Some(error.to_string()))),
                None => Err(error.into()),
            }
        }
    }
}

/// What a load lacked of the kernel, if that is what was wrong.
fn missing(error: &Error) -> Outcome<Option<Lacking>> {
    if let Error::Rejected(rejection) = error
        && let Some(missing) = &rejection.missing
    {
        let since = version(missing).map(Lacking::Kernel);
        return Ok(since.filter(|lacking| !is_here(lacking)));
    }
    if error.to_string().contains("no variable of that name") {
        let btf = host().btf()?;
        let has = btf
            .types()
            .any(|found| matches!(found.kind(), Kind::Variable(_)));
        let variables = "variables in the kernel's types";
        return Ok((!has).then(|| Lacking::Thing(variables.into())));
    }
    error.cause().map_or(Ok(None), lacking)
}

/// Whether it is a kernel that this one is not older than.
fn is_here(lacking: &Lacking) -> bool {
    matches!(lacking, Lacking::Kernel(since) if *since <= host().info().version)
}

/// What the kernel lacks by this cause.
fn lacking(cause: &Cause) -> Outcome<Option<Lacking>> {
    Ok(match cause {
        Cause::KernelTooOld { needs, .. } => {
            Some(Lacking::Kernel(*needs)).filter(|lacking| !is_here(lacking))
        }
        Cause::KernelOption(option) if host().boundary().config(option)?.is_none() => {
            Some(Lacking::Option(option))
        }
        // Some vendors' kernels do, whatever they are configured with.
        Cause::Other { what, .. } if what.contains("refuses all programs") => {
            let patched = "a kernel that lets programs patch functions";
            Some(Lacking::Thing(patched.into()))
        }
        _ => None,
    })
}

/// The program whose functions examples take the place of.
pub(super) const REPLACED: &str = "replaced";

/// Has programs of `freplace` loaded for a program that is there before them, and gives that one, if
/// there are any among those that are wanted.
fn replaced(object: &mut Object, wanted: &[&str]) -> Outcome<Option<Running>> {
    let programs = object.spec().programs().iter();
    let replacing: Vec<String> = programs
        .filter(|program| program.program_type() == ProgramType::Ext)
        .map(|program| program.name.clone())
        .filter(|name| wanted.contains(&name.as_str()))
        .collect();
    if replacing.is_empty() {
        return Ok(None);
    }
    let replaced = Running::new(REPLACED)?;
    let target = TargetProgram::new(replaced.loaded.program("filter")?)?;
    for program in replacing {
        object.attach_to_program(&program, &target)?;
    }
    Ok(Some(replaced))
}
