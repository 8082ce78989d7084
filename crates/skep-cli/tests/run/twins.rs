//! Each example in C has a twin in Rust, which is no longer than it in sum by a fifth, and which other
//! loaders load as it is.

use std::{collections::BTreeSet, fs, process::Command};

use skep::{Object, abi::MapType, spec::Linkage};
use skep_testing::{Bpffs, Outcome, Test, ensure, find_tool};

use crate::support::Language;

/// All examples, each of which has a test here: what prints events or tables in `examples`, what
/// changes packets in `packets`.
const EXAMPLES: &[&str] = &[
    "cgroup_egress",
    "execsnoop",
    "malloc_sizes",
    "opensnoop",
    "profile",
    "runqlat",
    "syscount",
    "tasks",
    "usdt_imports",
    "xdp_count",
    "xdp_echo",
];

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("twins::there_is_a_test_for_each", complete),
        Test::new("twins::have_the_same_interface", interface),
        Test::new("twins::in_rust_are_as_short_as_in_c", length),
        Test::new("twins::in_rust_are_loaded_by_bpftool", bpftool),
    ]
}

fn complete() -> Outcome {
    for (of, ending) in [(Language::C, ".bpf.c"), (Language::Rust, ".bpf.rs")] {
        let folder = of.example("x");
        let mut found = BTreeSet::new();
        for entry in fs::read_dir(folder.parent().unwrap_or(&folder))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            found.extend(name.strip_suffix(ending).map(str::to_owned));
        }
        ensure(found.iter().eq(EXAMPLES), || {
            format!("{ending}: {found:?} are there, {EXAMPLES:?} are tested")
        })?;
    }
    Ok(())
}

fn object(of: Language, name: &str) -> Outcome<Object> {
    let bytes = skep_testing::compile(&of.example(name), env!("CARGO_TARGET_TMPDIR"))?;
    Ok(Object::parse(name, &bytes)?)
}

/// Who sets, reads and attaches the one can do so with the other.
fn interface() -> Outcome {
    for name in EXAMPLES {
        let [c, rust] = Language::ALL.map(|of| {
            let object = object(of, name)?;
            let spec = object.spec();
            let programs = spec.programs().iter();
            let programs = programs.map(|program| {
                (
                    program.name.clone(),
                    program
                        .section
                        .to_string()
                        .replace("raw_tp/", "raw_tracepoint/"),
                )
            });
            let maps = spec.maps().iter().filter(|map| map.section == ".maps");
            let maps = maps.map(|map| {
                // A ring's records are said by the map in C, by a tag in Rust.
                let is_ring = map.map_type == MapType::Ringbuf;
                let shape = (
                    map.map_type,
                    map.key_size,
                    map.value_size * u32::from(!is_ring),
                    map.max_entries,
                    map.flags,
                );
                let mut tags = spec.decl_tags_of_map(&map.name);
                tags.retain(|tag| !tag.starts_with("skep:event="));
                tags.sort_unstable();
                (map.name.clone(), format!("{shape:?} {tags:?}"))
            });
            let settings = spec.variables().iter().filter(|variable| {
                variable.section == ".rodata" && variable.linkage == Linkage::Global
            });
            let settings = settings.map(|variable| (variable.name.clone(), variable.size));
            Ok::<_, skep_testing::Stop>((
                programs.collect::<BTreeSet<_>>(),
                maps.collect::<BTreeSet<_>>(),
                settings.collect::<BTreeSet<_>>(),
                spec.license().to_owned(),
            ))
        });
        let (c, rust) = (c?, rust?);
        ensure(c == rust, || format!("{name}: {c:#?}\nin Rust: {rust:#?}"))?;
    }
    Ok(())
}

/// Instructions of all functions.
fn instructions(of: Language, name: &str) -> Outcome<usize> {
    let object = object(of, name)?;
    let functions = object.spec().functions().iter();
    Ok(functions.map(|function| function.instructions.len()).sum())
}

fn length() -> Outcome {
    println!("instructions   C  Rust");
    let (mut in_c, mut in_rust) = (0, 0);
    for name in EXAMPLES {
        let c = instructions(Language::C, name)?;
        let rust = instructions(Language::Rust, name)?;
        println!("{name:13} {c:3}   {rust:3}");
        (in_c, in_rust) = (in_c + c, in_rust + rust);
    }
    println!("sum          {in_c:4}  {in_rust:4}");
    ensure(in_c > 0 && in_rust * 10 <= in_c * 12, || {
        format!("{in_rust} instructions in Rust, {in_c} in C")
    })
}

fn bpftool() -> Outcome {
    let bpftool = find_tool("bpftool")?;
    let pins = Bpffs::mount()?;
    let folder = tempfile::tempdir()?;
    for name in EXAMPLES {
        let source = Language::Rust.example(name);
        let bytes = skep_testing::compile(&source, env!("CARGO_TARGET_TMPDIR"))?;
        let file = folder.path().join(format!("{name}.bpf.o"));
        fs::write(&file, bytes)?;
        let output = Command::new(&bpftool)
            .args(["prog", "loadall"])
            .arg(&file)
            .arg(pins.path().join(name))
            .output()?;
        ensure(output.status.success(), || {
            let said = String::from_utf8_lossy(&output.stderr);
            format!("{name}: {}: {said}", output.status)
        })?;
    }
    Ok(())
}
