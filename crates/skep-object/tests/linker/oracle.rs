//! `bpftool gen object` as an oracle: the image of what it links and the image of what we link are
//! the same, instruction by instruction, and the kernel says the same of both.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use skep_object::{Image, LinkOptions, MapReferenceKind, Object, Target};
use skep_testing::Libbpf;

use super::{common, compile, link};

/// What bpftool links of these; `None` if it is not installed.
fn theirs(folder: &Path, objects: &[PathBuf]) -> Option<Vec<u8>> {
    let output = folder.join("theirs/linked.o");
    std::fs::create_dir(folder.join("theirs")).unwrap();
    let run = Command::new("bpftool")
        .args(["gen", "object"])
        .arg(&output)
        .args(objects)
        .output();
    let Ok(run) = run else {
        skep_testing::lacks("bpftool");
        return None;
    };
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "bpftool: {said}");
    Some(std::fs::read(output).unwrap())
}

fn ours(objects: &[PathBuf]) -> Vec<u8> {
    let bytes: Vec<_> = objects
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect();
    let names = objects.iter().map(|path| path.to_str().unwrap());
    link(names.zip(bytes.iter().map(Vec::as_slice))).unwrap()
}

/// All of an image that a host sees, in words: maps by their names, types by theirs.
fn describe(object: &Object, image: &Image) -> BTreeMap<String, String> {
    let btf = object.btf().unwrap();
    let type_name = |id: Option<skep_btf::TypeId>| {
        id.map(|id| match btf.type_by_id(id).unwrap().name() {
            "" => btf.type_name(id).unwrap(),
            name => name.to_owned(),
        })
    };
    let mut things = BTreeMap::new();
    for program in &image.programs {
        let maps: Vec<_> = program
            .map_references
            .iter()
            .map(|reference| {
                let map = &image.maps[reference.map.as_usize()].name;
                match reference.kind {
                    MapReferenceKind::Value { offset } => {
                        (reference.insn, format!("{map}+{offset}"))
                    }
                    _ => (reference.insn, map.clone()),
                }
            })
            .collect();
        let functions: Vec<_> = program
            .functions
            .iter()
            .map(|function| (function.start, &function.name, type_name(function.type_id)))
            .collect();
        let lines: Vec<_> = (0..program.instructions.len() as u32)
            .map(|insn| {
                program
                    .source_at(skep_isa::InsnIndex(insn))
                    .map(|line| format!("{line:?}"))
            })
            .collect();
        things.insert(
            format!("program {}", program.name),
            format!(
                "{} {:?} {:?} {:#?} {maps:#?} {functions:#?} {:?} {lines:#?}",
                program.section,
                program.attach_type,
                program.license,
                program.instructions,
                program.poisoned,
            ),
        );
    }
    for map in &image.maps {
        things.insert(
            format!("map {}", map.name),
            format!(
                "{} {} {} {} {:?} {} {:?} {:?} {:?} {:?} {:?}",
                map.map_type,
                map.key_size,
                map.value_size,
                map.max_entries,
                map.flags,
                map.map_extra,
                map.pinning,
                type_name(map.key_type),
                type_name(map.value_type),
                map.contents,
                map.frozen,
            ),
        );
    }
    for variable in object.variables() {
        things.insert(
            format!(
                "variable {} at {}+{}",
                variable.name, variable.section, variable.offset
            ),
            format!(
                "{} {:?} {:?} {:?}",
                variable.size,
                type_name(variable.type_id),
                variable.linkage,
                object.initial_value(variable)
            ),
        );
    }
    for external in object.externs() {
        things.insert(
            format!("extern {}", external.name),
            format!(
                "{:?} {} {:?}",
                external.kind,
                external.weak,
                type_name(Some(external.type_id))
            ),
        );
    }
    things
}

fn image(bytes: &[u8], target: &Target) -> (Object, Image) {
    let object = Object::parse(bytes).unwrap();
    let image = object.link(&LinkOptions::new(), target).unwrap();
    (object, image)
}

/// Compares what both make of the files.
fn check(names: &[&str], flags: &[&str]) {
    let Some(target) = common::this_kernel() else {
        return;
    };
    for clang in common::clangs() {
        let folder = tempfile::tempdir().unwrap();
        let objects: Vec<_> = names
            .iter()
            .map(|name| compile(folder.path(), clang, name, flags))
            .collect();
        let Some(theirs) = theirs(folder.path(), &objects) else {
            return;
        };
        let ours = ours(&objects);
        std::fs::create_dir(folder.path().join("ours")).unwrap();
        std::fs::write(folder.path().join("ours/linked.o"), &ours).unwrap();
        let (our_object, our_image) = image(&ours, &target);
        let (their_object, their_image) = image(&theirs, &target);
        let ours = describe(&our_object, &our_image);
        let theirs = describe(&their_object, &their_image);
        for (name, theirs) in &theirs {
            assert_eq!(ours.get(name), Some(theirs), "{names:?} by {clang}: {name}");
        }
        assert_eq!(ours.len(), theirs.len(), "{names:?} by {clang}: {ours:#?}");
        assert_eq!(our_object.license(), their_object.license());
        let sections = |object: &Object| {
            let programs = object.programs().iter();
            programs
                .map(|program| (program.name.clone(), program.section.clone()))
                .collect::<Vec<_>>()
        };
        assert_eq!(sections(&our_object), sections(&their_object));
        same_verdict(folder.path());
    }
}

/// Loads both files of the folder by libbpf.
fn same_verdict(folder: &Path) {
    let Ok(libbpf) = Libbpf::build(folder) else {
        skep_testing::lacks("libbpf-dev, or a C compiler");
        return;
    };
    let ours = libbpf.load(&folder.join("ours/linked.o")).unwrap();
    if let Some(refusal) = &ours.refusal {
        assert!(refusal.contains("not permitted"), "{refusal}");
        skep_testing::lacks(format_args!("the right to load programs: {refusal}"));
        return;
    }
    match libbpf.load(&folder.join("theirs/linked.o")) {
        Ok(theirs) => {
            assert_eq!(theirs.refusal, None);
            assert_eq!(ours.differences(&theirs), [""; 0]);
        }
        // Where a map is declared before it is defined, bpftool 7.1 lists it in its BTF where the
        // declaration was, which libbpf can't load.
        Err(error) => {
            let said = format!("{error:?}");
            assert!(said.contains("map relo failed to find map"), "{said}");
        }
    }
}

#[test]
fn two_files_are_linked_as_bpftool_does() {
    check(&["one", "two"], &[]);
}

#[test]
fn the_order_of_files_is_that_of_sections() {
    check(&["two", "one"], &[]);
}

#[test]
fn structs_of_functions_come_together() {
    check(&["ops_one", "ops_two"], &[]);
}

#[test]
fn relocations_for_kernels_come_together() {
    check(&["core_one", "core_two"], &[]);
}

#[test]
fn one_file_is_linked_too() {
    check(&["core_one"], &[]);
}

#[test]
fn big_endian_files_too() {
    let Some(mut target) = common::this_kernel() else {
        return;
    };
    target.endian = skep_isa::Endian::Big;
    for clang in common::clangs() {
        let folder = tempfile::tempdir().unwrap();
        let objects =
            ["one", "two"].map(|name| compile(folder.path(), clang, name, &["-target", "bpfeb"]));
        let linked = ours(&objects);
        let little = ["one", "two"].map(|name| compile(folder.path(), clang, name, &[]));
        let (big, little) = (
            Object::parse(&linked).unwrap(),
            Object::parse(&ours(&little)).unwrap(),
        );
        assert_eq!(big.endian(), skep_isa::Endian::Big);
        let names = |object: &Object| {
            let programs = object.programs().iter().map(|program| program.name.clone());
            let maps = object.maps().iter().map(|map| map.name.clone());
            programs.chain(maps).collect::<Vec<_>>()
        };
        assert_eq!(names(&big), names(&little));
    }
}
