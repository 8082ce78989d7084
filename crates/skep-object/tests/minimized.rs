//! BTF cut down to what an object needs relocates it as the whole does, to the instruction; so does
//! what `bpftool gen min_core_btf` leaves, which is as small.

mod common;

use std::{path::Path, process::Command, sync::Arc};

use skep_btf::{Btf, Minimizer};
use skep_isa::RawInsn;
use skep_object::{CoreKind, LinkOptions, Object, Target};

/// The instructions of each program by these types, without ids: each BTF has its own. Where the
/// target has nothing that fits, the instruction is poisoned.
fn relocated(object: &Object, kernel: &Target, types: &Arc<Btf>) -> Vec<(String, Vec<RawInsn>)> {
    let target = kernel.clone().with_core_btf(Arc::clone(types));
    let image = object.link(&LinkOptions::new(), &target).unwrap();
    let programs = image.programs.into_iter().map(|mut program| {
        for placed in &program.functions {
            let mut functions = object.functions().iter();
            let function = functions.find(|one| one.name == placed.name).unwrap();
            let ids = function.core_relocations.iter();
            for relocation in ids.filter(|one| one.kind == CoreKind::TypeIdTarget) {
                let at = placed.start.as_usize() + relocation.insn.as_usize();
                assert!(program.instructions[at].imm > 0, "the type is there");
                program.instructions[at].imm = 0;
            }
        }
        (program.name, program.instructions)
    });
    programs.collect()
}

fn minimized(objects: &[&Object], all: &Arc<Btf>) -> Vec<u8> {
    let mut minimizer = Minimizer::new(all);
    for object in objects {
        for (id, need) in object.needed_types(all).unwrap() {
            minimizer.keep(id, need).unwrap();
        }
    }
    minimizer.build().unwrap()
}

/// What bpftool leaves of the kernel's BTF for an object.
fn by_bpftool(dir: &Path, object: &Path) -> Option<Vec<u8>> {
    let output = dir.join("bpftool.btf");
    let run = Command::new("bpftool")
        .args(["gen", "min_core_btf", "/sys/kernel/btf/vmlinux"])
        .args([&output, object])
        .output();
    match run {
        Ok(run) if run.status.success() => Some(std::fs::read(output).unwrap()),
        Ok(run) => panic!("{}", String::from_utf8_lossy(&run.stderr)),
        Err(error) => {
            skep_testing::lacks(format_args!("bpftool: {error}"));
            None
        }
    }
}

#[test]
fn what_is_left_relocates_alike() {
    let Some(kernel) = common::this_kernel() else {
        return;
    };
    let all = kernel.kernel_btf.clone().unwrap();
    let dir = tempfile::tempdir().unwrap();
    for clang in common::clangs() {
        for name in ["core", "kernel", "spec"] {
            let path = common::compile_in(dir.path(), clang, name, None, &[]);
            let object = Object::open(&path).unwrap();
            let expected = relocated(&object, &kernel, &all);
            let ours = minimized(&[&object], &all);
            let small = Arc::new(Btf::parse(ours.clone()).unwrap());
            assert_eq!(
                relocated(&object, &kernel, &small),
                expected,
                "{name} by {clang}"
            );
            assert_eq!(
                minimized(&[&object], &small),
                ours,
                "nothing is left to take away"
            );
            // A program that loads only this one needs no other members.
            let fraction = all.bytes().len() / ours.len();
            assert!(
                fraction > 500,
                "{} of {} bytes",
                ours.len(),
                all.bytes().len()
            );

            if let Some(theirs) = by_bpftool(dir.path(), &path) {
                println!(
                    "{name} by {clang}: {} bytes, bpftool {}",
                    ours.len(),
                    theirs.len()
                );
                let allowed = theirs.len() + theirs.len() / 4 + 64;
                assert!(ours.len() <= allowed, "{} > {allowed}", ours.len());
                let theirs = Arc::new(Btf::parse(theirs).unwrap());
                assert_eq!(
                    relocated(&object, &kernel, &theirs),
                    expected,
                    "{name} by {clang}"
                );
            }
        }
    }
}

#[test]
fn several_objects_share_what_is_left() {
    let Some(kernel) = common::this_kernel() else {
        return;
    };
    let all = kernel.kernel_btf.clone().unwrap();
    for clang in common::clangs() {
        let objects = ["core", "kernel"]
            .map(|name| Object::parse(&common::compile(clang, name, &[])).unwrap());
        let both = Arc::new(Btf::parse(minimized(&[&objects[0], &objects[1]], &all)).unwrap());
        for object in &objects {
            assert_eq!(
                relocated(object, &kernel, &both),
                relocated(object, &kernel, &all)
            );
        }
    }
}
