//! Each example in C has a twin in Rust, which is no longer than it in sum by a fifth, and which other
//! loaders load as it is.

use std::{collections::BTreeSet, fs, process::Command};

use skep::{Host, Object, abi::MapType, spec::Linkage};
use skep_build::Cpu;
use skep_testing::{Bpffs, Outcome, Stop, Test, ensure, find_tool, needs_kernel};

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
        Test::new("twins::in_rust_load_for_every_instruction_set", sets),
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

/// What an instruction is beyond the first set: v2 has further comparisons, v3 jumps that compare
/// halves, v4 loads that extend a sign, and so do moves, and a signed division.
fn beyond(cpu: Cpu, opcode: u8, offset: i16) -> bool {
    const CLASS: u8 = 0x07;
    const JMP: u8 = 0x05;
    const JMP32: u8 = 0x06;
    let class = opcode & CLASS;
    let is_v2 = class == JMP && opcode & 0xf0 >= 0xa0;
    let is_v3 = class == JMP32;
    let moves = matches!(opcode, 0xbc | 0xbf) && offset != 0;
    let is_v4 = moves || matches!(opcode, 0x81 | 0x89 | 0x91 | 0x06);
    match cpu {
        Cpu::V1 => is_v2 || is_v3 || is_v4,
        Cpu::V2 => is_v3 || is_v4,
        Cpu::V3 => is_v4,
        _ => false,
    }
}

/// As each set has it, and no instruction of a newer one.
fn sets() -> Outcome {
    // Which has v4.
    needs_kernel(6, 6)?;
    let host = Host::kernel()?;
    for name in EXAMPLES {
        let source = Language::Rust.example(name);
        for cpu in [Cpu::V1, Cpu::V2, Cpu::V3, Cpu::V4] {
            let folder = env!("CARGO_TARGET_TMPDIR");
            let bytes = skep_testing::compile_for(cpu, &source, folder)?;
            let object = Object::parse(name, &bytes)?;
            let functions = object.spec().functions().iter();
            let newer = functions
                .flat_map(|function| &function.instructions)
                .find(|insn| beyond(cpu, insn.opcode, insn.offset));
            ensure(newer.is_none(), || format!("{name}, {cpu:?}: {newer:?}"))?;
            let loaded = object.load(&host);
            loaded.map_err(|error| Stop::fail(format!("{name}, {cpu:?}: {error}")))?;
        }
    }
    Ok(())
}
