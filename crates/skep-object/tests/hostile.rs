//! Objects from anyone: whatever the bytes, an answer, and never a panic.

mod common;

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use proptest::prelude::*;
use skep_abi::KernelVersion;
use skep_btf::{Btf, Builder, IntEncoding, NewMember};
use skep_object::{Contents, LinkOptions, Object, Target};

/// Objects of all of `tests/c`, in both byte orders.
fn objects() -> &'static [Vec<u8>] {
    static OBJECTS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    OBJECTS.get_or_init(|| {
        let Some(clang) = common::clangs().into_iter().next_back() else {
            return Vec::new();
        };
        let mut objects = Vec::new();
        for name in ["spec", "core", "kernel", "kinds", "definitions"] {
            for target in ["bpfel", "bpfeb"] {
                let object = common::compile(clang, name, &["-target", target]);
                // Whole, they are read: else nothing of them would be tested here.
                Object::parse(&object).unwrap();
                objects.push(object);
            }
        }
        objects
    })
}

/// A kernel that has some of what the objects ask for, of either byte order.
fn targets() -> &'static [Target; 2] {
    static TARGETS: OnceLock<[Target; 2]> = OnceLock::new();
    TARGETS.get_or_init(|| {
        let mut types = Builder::new();
        let int = types.int("int", 4, IntEncoding::SIGNED);
        let members = ["pid", "flags", "tgid"].map(|name| NewMember::new(name, int, 64));
        types.structure("task_struct", 64, &members);
        types.structure("list_head", 16, &members);
        let prototype = types.prototype(int, &[("c", int)]);
        let function = types.pointer(prototype);
        let members = [
            NewMember::new("flags", int, 0),
            NewMember::new("run", function, 64),
        ];
        let ops = types.structure("ops", 16, &members);
        types.structure(
            "bpf_struct_ops_ops",
            80,
            &[NewMember::new("data", ops, 512)],
        );
        types.enumeration("bpf_map_type", &[("BPF_MAP_TYPE_HASH", 1)]);
        let btf = Arc::new(Btf::parse(types.build().unwrap()).unwrap());
        let little = Target::new(KernelVersion::new(6, 18)).with_kernel_btf(btf);
        let mut big = little.clone();
        big.endian = skep_isa::Endian::Big;
        [little, big]
    })
}

/// Reads and links, and looks at all of it.
fn use_up(bytes: &[u8]) {
    let Ok(object) = Object::parse(bytes) else {
        return;
    };
    for program in object.programs() {
        let _ = format!("{program:?}");
    }
    for map in object.maps() {
        let _ = object.decl_tags_of_map(&map.name);
    }
    for variable in object.variables() {
        let _ = object.initial_value(variable);
    }
    for target in targets() {
        let Ok(image) = object.link(&LinkOptions::new(), target) else {
            continue;
        };
        for program in &image.programs {
            for index in 0..program.instructions.len() {
                let _ = program.source_at(skep_isa::InsnIndex(index as u32));
            }
            let length = program.instructions.len();
            for table in &program.jump_tables {
                let inside = |insn: &skep_isa::InsnIndex| insn.as_usize() < length;
                assert!(table.references.iter().all(inside) && table.targets.iter().all(inside));
            }
            for reference in &program.map_references {
                assert!(reference.insn.as_usize() < program.instructions.len());
                assert!(reference.map.as_usize() < image.maps.len());
            }
        }
        for map in &image.maps {
            if let Contents::StructOps { data, programs, .. } = &map.contents {
                assert!(!map.create || data.len() == map.value_size as usize);
                let in_data = |(offset, _): &(u32, _)| *offset as usize + 8 <= data.len();
                assert!(!map.create || programs.iter().all(in_data));
            }
        }
        if let Some(btf) = &image.btf {
            Btf::parse(btf.clone()).expect("BTF that we wrote ourselves");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn changed_bytes_never_panic(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
    ) {
        if objects().is_empty() { return Ok(()); }
        let mut bytes = which.get(objects()).clone();
        for (at, byte) in changes {
            *at.get_mut(&mut bytes) = byte;
        }
        use_up(&bytes);
    }

    #[test]
    fn changed_words_of_tables_never_panic(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec(
            (any::<prop::sample::Index>(), prop::sample::select(vec![
                0_u32, 1, 2, 7, 8, 0xff, 0x7fff, 0xffff, 0x10000, 0x7fff_ffff, 0x8000_0000, u32::MAX,
            ])),
            1..4,
        ),
    ) {
        if objects().is_empty() { return Ok(()); }
        let mut bytes = which.get(objects()).clone();
        for (at, word) in changes {
            let at = at.index(bytes.len() / 4) * 4;
            bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        use_up(&bytes);
    }

    #[test]
    fn truncated_objects_never_panic(
        which in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
    ) {
        if objects().is_empty() { return Ok(()); }
        let bytes = which.get(objects());
        let cut = &bytes[..at.index(bytes.len())];
        // The section headers stand at the end: nothing of a cut file can be read.
        prop_assert!(Object::parse(cut).is_err());
    }
}

/// Many programs that all take many subprograms along: a small file that asks for much.
#[test]
fn many_programs_with_many_subprograms_end_soon() {
    let Some(clang) = common::clangs().into_iter().next_back() else {
        return;
    };
    let mut text = String::from("volatile int sink;\n");
    for index in 0..200 {
        let next = if index > 0 {
            format!("f{}();", index - 1)
        } else {
            String::new()
        };
        text.push_str(&format!(
            "NOINLINE void f{index}(void) {{ sink++; {next} }}\n"
        ));
    }
    for index in 0..200 {
        text.push_str(&format!(
            "SEC(\"socket\") int p{index}(void *c) {{ f199(); return 0; }}\n"
        ));
    }
    let bytes = common::compile_text(clang, &text, &[]);
    let start = Instant::now();
    let object = Object::parse(&bytes).unwrap();
    let image = object.link(&LinkOptions::new(), &targets()[0]).unwrap();
    assert_eq!(image.programs.len(), 200);
    assert!(
        image
            .programs
            .iter()
            .all(|program| program.functions.len() == 201)
    );
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "{:?}",
        start.elapsed()
    );
}

/// Names that overlap in the file do not once each is a name of its own: a few bytes a symbol would
/// become as many copies of half the file.
#[test]
fn overlapping_names_are_not_multiplied() {
    let Some(clang) = common::clangs().into_iter().next_back() else {
        return;
    };
    // An assembler shares the ends of names.
    let mut text = String::from("asm(\".section .data\\n\"\n");
    let long = "n".repeat(20_000);
    for at in 0..5_000 {
        let name = &long[at..];
        text.push_str(&format!("\".globl {name}\\n{name}: .byte 0\\n\"\n"));
    }
    text.push_str(");\n");
    let bytes = common::compile_text(clang, &text, &[]);
    assert!(bytes.len() < 1 << 20, "{} bytes", bytes.len());
    let error = Object::parse(&bytes).unwrap_err().to_string();
    assert!(error.contains("bytes of symbols' names"), "{error}");
}
