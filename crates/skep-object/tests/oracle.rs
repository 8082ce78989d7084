//! libbpf as an oracle: what it makes of an object for this kernel, instruction by instruction,
//! is what we make of it.

mod common;

use std::{fmt::Write, path::Path, process::Command};

use skep_object::{Image, LinkOptions, Object};

/// Builds the driver; `None` where libbpf or a C compiler is missing.
fn driver(dir: &Path) -> Option<std::path::PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/libbpf_insns.c");
    let program = dir.join("libbpf_insns");
    let built = Command::new("cc")
        .arg("-o")
        .args([&program, &source])
        .arg("-lbpf")
        .output();
    match built {
        Ok(run) if run.status.success() => Some(program),
        _ => {
            skep_testing::lacks("a C compiler, or libbpf-dev");
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
        writeln!(
            text,
            "program {} type {program_type} attach {attach}",
            program.name
        )
        .unwrap();
        let Some(program) = image.program(&program.name) else {
            continue;
        };
        for insn in &program.instructions {
            let (dst, src) = (insn.dst, insn.src);
            writeln!(
                text,
                "{:02x} {dst:x} {src:x} {} {}",
                insn.opcode, insn.offset, insn.imm
            )
            .unwrap();
        }
    }
    text
}

/// A call of a weak function that is not there: a helper of a number that none has, or, as libbpf
/// before 1.2 has it, a kernel function without an id.
fn marked(line: &str) -> &str {
    let missing = line
        .strip_prefix("85 0 0 0 ")
        .and_then(|imm| imm.parse::<u32>().ok());
    let missing = missing.is_some_and(|imm| (2_002_000_000..2_003_000_000).contains(&imm));
    if missing || line == "85 0 2 0 0" {
        "a call of what is missing"
    } else {
        line
    }
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
    let (Some(target), Some(driver)) = (common::this_kernel(), driver(dir.path())) else {
        return;
    };
    for clang in common::clangs() {
        for name in ["spec", "core", "kernel"] {
            let path = common::compile_in(dir.path(), clang, name, None, &["-DORACLE"]);
            let run = Command::new(&driver).arg(&path).output().unwrap();
            if !run.status.success() {
                let why = String::from_utf8_lossy(&run.stderr);
                skep_testing::lacks(format_args!(
                    "the right to load {name} by libbpf (root?): {}",
                    why.trim()
                ));
                continue;
            }
            let object = Object::open(&path).unwrap();
            let image = object.link(&LinkOptions::new(), &target).unwrap();
            let theirs = String::from_utf8(run.stdout).unwrap();
            let (their_maps, theirs): (Vec<&str>, Vec<&str>) =
                theirs.lines().partition(|line| line.starts_with("map "));
            let ours = describe(&object, &image);
            for (number, (ours, theirs)) in ours.lines().zip(&theirs).enumerate() {
                assert_eq!(
                    marked(ours),
                    marked(theirs),
                    "{name} by {clang}, line {number}"
                );
            }
            assert_eq!(ours.lines().count(), theirs.len(), "{name} by {clang}");
            let mut their_maps = their_maps;
            their_maps.sort_unstable();
            assert_eq!(maps(&image), their_maps, "{name} by {clang}");
        }
    }
}

/// Whether this process may load BTF here; a minimal one tells.
fn can_load(driver: &Path, dir: &Path) -> bool {
    let mut types = skep_btf::Builder::new();
    types.int("int", 4, skep_btf::IntEncoding::SIGNED);
    let loaded = load_btf(driver, dir, &types.build().unwrap());
    if let Err(log) = &loaded {
        skep_testing::lacks(format_args!(
            "the right to load BTF (root?): {}",
            log.trim()
        ));
    }
    loaded.is_ok()
}

fn load_btf(driver: &Path, dir: &Path, bytes: &[u8]) -> Result<(), String> {
    let path = dir.join("image.btf");
    std::fs::write(&path, bytes).unwrap();
    let run = Command::new(driver).arg("btf").arg(&path).output().unwrap();
    if run.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&run.stderr).into_owned())
}

#[test]
fn the_kernel_takes_the_btf_of_images() {
    let dir = tempfile::tempdir().unwrap();
    let (Some(this), Some(driver)) = (common::this_kernel(), driver(dir.path())) else {
        return;
    };
    if !can_load(&driver, dir.path()) {
        return;
    }
    // What older kernels take, newer ones take, too: all replacements are tried here.
    let mut oldest = this.clone();
    oldest.btf_features = skep_object::BtfFeatures::of(skep_abi::KernelVersion::new(5, 4));
    for clang in common::clangs() {
        for name in ["spec", "core", "kernel", "kinds"] {
            let object = Object::parse(&common::compile(clang, name, &[])).unwrap();
            for target in [&this, &oldest] {
                let image = object.link(&LinkOptions::new(), target).unwrap();
                let loaded = load_btf(&driver, dir.path(), image.btf.as_deref().unwrap());
                assert_eq!(loaded, Ok(()), "{name} by {clang}");
            }
        }
    }
}

#[test]
fn the_kernel_takes_names_made_valid() {
    let dir = tempfile::tempdir().unwrap();
    let (Some(target), Some(driver)) = (common::this_kernel(), driver(dir.path())) else {
        return;
    };
    if !can_load(&driver, dir.path()) {
        return;
    }
    for clang in common::clangs() {
        // Names as rustc writes them, put into BTF by a search for others of the same length.
        let mut bytes = common::compile(clang, "kinds", &[]);
        for (plain, odd) in [
            ("a_struct_name", "Vec<u8, {0}>x"),
            ("a_member_", "0::member"),
        ] {
            let places: Vec<usize> = (0..bytes.len() - plain.len())
                .filter(|at| bytes[*at..].starts_with(plain.as_bytes()))
                .collect();
            assert!(!places.is_empty());
            for at in places {
                bytes[at..at + odd.len()].copy_from_slice(odd.as_bytes());
            }
        }
        let object = Object::parse(&bytes).unwrap();
        let odd = object
            .btf()
            .unwrap()
            .find("Vec<u8, {0}>x", skep_btf::KindTag::Struct);
        let raw = object.btf().unwrap().bytes().to_vec();
        assert!(
            load_btf(&driver, dir.path(), &raw).is_err(),
            "the kernel takes such names by now"
        );
        let image = object
            .link(&LinkOptions::new(), &target)
            .unwrap()
            .btf
            .unwrap();
        assert_eq!(load_btf(&driver, dir.path(), &image), Ok(()));
        let image = skep_btf::Btf::parse(image).unwrap();
        assert_eq!(
            image.type_by_id(odd.unwrap()).unwrap().name(),
            "Vec_u8___0__x"
        );
    }
}
