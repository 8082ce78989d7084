//! libbpf as an oracle: what it makes of an object for this kernel, instruction by instruction,
//! is what we make of it.

mod common;

use std::{path::Path, thread};

use skep_object::{LinkOptions, Object};
use skep_testing::{Libbpf, Stop, View};

/// libbpf; `None` where it or a C compiler is missing.
fn libbpf(dir: &Path) -> Option<Libbpf> {
    match Libbpf::build(dir) {
        Ok(libbpf) => Some(libbpf),
        Err(Stop::Skip(lacking)) => {
            skep_testing::lacks(lacking);
            None
        }
        Err(Stop::Fail(text)) => panic!("{text}"),
    }
}

#[test]
fn images_are_what_libbpf_loads() {
    let dir = tempfile::tempdir().unwrap();
    let (Some(target), Some(libbpf)) = (common::this_kernel(), libbpf(dir.path())) else {
        return;
    };
    let cpus = thread::available_parallelism().unwrap().get();
    for clang in common::clangs() {
        for name in ["spec", "core", "kernel"] {
            let path = common::compile_in(dir.path(), clang, name, None, &["-DORACLE"]);
            let theirs = libbpf.load(&path).unwrap();
            if let Some(why) = theirs.refusal {
                skep_testing::lacks(format_args!(
                    "the right to load {name} by libbpf (root?): {why}"
                ));
                continue;
            }
            let object = Object::open(&path).unwrap();
            let image = object.link(&LinkOptions::new(), &target).unwrap();
            let differences = View::of(&object, &image, cpus).differences(&theirs);
            assert_eq!(differences, [""; 0], "{name} by {clang}");
        }
    }
}

/// Whether this process may load BTF here; a minimal one tells.
fn can_load(libbpf: &Libbpf, dir: &Path) -> bool {
    let mut types = skep_btf::Builder::new();
    types.int("int", 4, skep_btf::IntEncoding::SIGNED);
    let loaded = load_btf(libbpf, dir, &types.build().unwrap());
    if let Err(log) = &loaded {
        skep_testing::lacks(format_args!(
            "the right to load BTF (root?): {}",
            log.trim()
        ));
    }
    loaded.is_ok()
}

fn load_btf(libbpf: &Libbpf, dir: &Path, bytes: &[u8]) -> Result<(), String> {
    libbpf.load_btf(dir, bytes).unwrap()
}

#[test]
fn the_kernel_takes_the_btf_of_images() {
    let dir = tempfile::tempdir().unwrap();
    let (Some(this), Some(libbpf)) = (common::this_kernel(), libbpf(dir.path())) else {
        return;
    };
    if !can_load(&libbpf, dir.path()) {
        return;
    }
    // What older kernels take, newer ones take, too: all replacements are tried here.
    let mut oldest = this.clone();
    oldest.features = skep_object::Features::of(skep_abi::KernelVersion::new(5, 4));
    for clang in common::clangs() {
        for name in ["spec", "core", "kernel", "kinds"] {
            let object = Object::parse(&common::compile(clang, name, &[])).unwrap();
            for target in [&this, &oldest] {
                let image = object.link(&LinkOptions::new(), target).unwrap();
                let loaded = load_btf(&libbpf, dir.path(), image.btf.as_deref().unwrap());
                assert_eq!(loaded, Ok(()), "{name} by {clang}");
            }
        }
    }
}

#[test]
fn the_kernel_takes_names_made_valid() {
    let dir = tempfile::tempdir().unwrap();
    let (Some(target), Some(libbpf)) = (common::this_kernel(), libbpf(dir.path())) else {
        return;
    };
    if !can_load(&libbpf, dir.path()) {
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
            load_btf(&libbpf, dir.path(), &raw).is_err(),
            "the kernel takes such names by now"
        );
        let image = object
            .link(&LinkOptions::new(), &target)
            .unwrap()
            .btf
            .unwrap();
        assert_eq!(load_btf(&libbpf, dir.path(), &image), Ok(()));
        let image = skep_btf::Btf::parse(image).unwrap();
        assert_eq!(
            image.type_by_id(odd.unwrap()).unwrap().name(),
            "Vec_u8___0__x"
        );
    }
}
