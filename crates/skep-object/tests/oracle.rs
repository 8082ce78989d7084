//! libbpf as an oracle: what it makes of an object for this kernel, instruction by instruction,
//! is what we make of it.

mod common;

use std::{fmt::Write, path::Path, process::Command};

use skep_object::{Image, LinkOptions, Object};

/// Builds the driver; `None` where libbpf or a C compiler is missing.
fn driver(dir: &Path) -> Option<std::path::PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/libbpf_insns.c");
    let program = dir.join("libbpf_insns");
    let built = Command::new("cc").arg("-o").args([&program, &source]).arg("-lbpf").output();
    match built {
        Ok(run) if run.status.success() => Some(program),
        _ => {
            eprintln!("skipped: no C compiler, or libbpf-dev is not installed");
            None
        }
    }
}

/// The image in the driver's words; descriptors are 0 in it already.
fn describe(object: &Object, image: &Image) -> String {
    let mut text = String::new();
    for program in object.programs() {
        let attach = program.attach_type().map_or(0, |attach| attach.raw());
        let program_type = program.program_type().raw();
        writeln!(text, "program {} type {program_type} attach {attach}", program.name).unwrap();
        let Some(program) = image.program(&program.name) else { continue };
        for insn in &program.instructions {
            let (dst, src) = (insn.dst, insn.src);
            writeln!(text, "{:02x} {dst:x} {src:x} {} {}", insn.opcode, insn.offset, insn.imm)
                .unwrap();
        }
    }
    text
}

/// A call of a weak function that is not there: a helper of a number that none has, or, as libbpf
/// before 1.2 has it, a kernel function without an id.
fn marked(line: &str) -> &str {
    let missing = line.strip_prefix("85 0 0 0 ").and_then(|imm| imm.parse::<u32>().ok());
    let missing = missing.is_some_and(|imm| (2_002_000_000..2_003_000_000).contains(&imm));
    if missing || line == "85 0 2 0 0" { "a call of what is missing" } else { line }
}

fn maps(image: &Image) -> Vec<String> {
    let describe = |map: &skep_object::ImageMap| {
        // libbpf asks the machine for what the image leaves to the host.
        let entries = match map.max_entries {
            0 => std::thread::available_parallelism().unwrap().get() as u32,
            entries => entries,
        };
        let flags = match map.flags.bits() {
            0 => "0".to_owned(),
            flags => format!("{flags:#x}"),
        };
        format!(
            "map {} type {} key {} value {} entries {entries} flags {flags} extra {}",
            map.name,
            map.map_type.raw(),
            map.key_size,
            map.value_size,
            map.map_extra
        )
    };
    let mut maps: Vec<_> = image.maps.iter().map(describe).collect();
    maps.sort();
    maps
}

#[test]
fn images_are_what_libbpf_loads() {
    let dir = tempfile::tempdir().unwrap();
    let (Some(target), Some(driver)) = (common::this_kernel(), driver(dir.path())) else { return };
    for clang in common::clangs() {
        for name in ["spec", "core", "kernel"] {
            let path = common::compile_in(dir.path(), clang, name, None, &["-DORACLE"]);
            let run = Command::new(&driver).arg(&path).output().unwrap();
            if !run.status.success() {
                let why = String::from_utf8_lossy(&run.stderr);
                eprintln!("skipped: libbpf can't load {name} here (not root?): {}", why.trim());
                continue;
            }
            let object = Object::open(&path).unwrap();
            let image = object.link(&LinkOptions::new(), &target).unwrap();
            let theirs = String::from_utf8(run.stdout).unwrap();
            let (their_maps, theirs): (Vec<&str>, Vec<&str>) =
                theirs.lines().partition(|line| line.starts_with("map "));
            let ours = describe(&object, &image);
            for (number, (ours, theirs)) in ours.lines().zip(&theirs).enumerate() {
                assert_eq!(marked(ours), marked(theirs), "{name} by {clang}, line {number}");
            }
            assert_eq!(ours.lines().count(), theirs.len(), "{name} by {clang}");
            let mut their_maps = their_maps;
            their_maps.sort_unstable();
            assert_eq!(maps(&image), their_maps, "{name} by {clang}");
        }
    }
}
