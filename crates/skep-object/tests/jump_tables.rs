//! Jump tables (`.jumptables`), which compilers make since LLVM 22: read, moved, and refused where
//! they lead astray. The compilers here are older, so these are assembled.

mod common;

use std::process::Command;

use skep_abi::KernelVersion;
use skep_isa::InsnIndex;
use skep_object::{LinkOptions, Object, StaticLinker, Target};

fn target() -> Target {
    Target::new(KernelVersion::new(6, 18))
}

/// An object that the compilers here can't make: of two functions with jump tables, in the form
/// that LLVM 22 writes them.
fn jump_tables(entries: [u64; 2]) -> Option<Result<Object, skep_object::Error>> {
    Some(Object::parse(&with_jump_tables(entries, 16)?))
}

/// The same as bytes; the first table is said to be of `size` bytes.
fn with_jump_tables(entries: [u64; 2], size: u64) -> Option<Vec<u8>> {
    let clang = common::clangs().into_iter().next_back()?;
    let [first, second] = entries;
    let text = format!(
        "
        .section socket,\"ax\",@progbits
        .globl p
        .type p,@function
    p:  call f
        r1 = BPF.JT.0.0 ll
        .byte 0x0d, 2, 0, 0, 0, 0, 0, 0
        r0 = 1
        exit
        r0 = 2
        exit
        .size p, .-p
        .text
        .globl before
        .type before,@function
    before:
        exit
        .size before, .-before
        .globl f
        .type f,@function
    f:  r1 = BPF.JT.1.0 ll
        .byte 0x0d, 2, 0, 0, 0, 0, 0, 0
        exit
        .size f, .-f
        .section .jumptables,\"\",@progbits
        .globl BPF.JT.0.0
        .type BPF.JT.0.0,@object
    BPF.JT.0.0:
        .quad {first}
        .quad {second}
        .size BPF.JT.0.0, {size}
        .globl BPF.JT.1.0
        .type BPF.JT.1.0,@object
    BPF.JT.1.0:
        .quad 32
        .size BPF.JT.1.0, 8
        "
    );
    let dir = tempfile::tempdir().unwrap();
    let (source, object) = (dir.path().join("jump.s"), dir.path().join("jump.o"));
    std::fs::write(&source, text).unwrap();
    let run = Command::new(clang)
        .args(["-target", "bpf", "-c", "-o"])
        .args([&object, &source])
        .output()
        .unwrap();
    assert!(
        run.status.success(),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
    Some(std::fs::read(object).unwrap())
}

#[test]
fn jump_tables_move_with_their_functions() {
    // Slots of `p`: the call, two of the load, `gotox`, then two targets of two slots each.
    let Some(object) = jump_tables([32, 48]) else {
        return;
    };
    let object = object.unwrap();
    let read: Vec<_> = object
        .jump_tables()
        .iter()
        .map(|table| (table.offset, &table.targets[..]))
        .collect();
    // Sections stand in the order of the file.
    assert_eq!(read, [(16, &[4][..]), (0, &[4, 6])]);
    let image = object.link(&LinkOptions::new(), &target()).unwrap();
    let program = image.program("p").unwrap();
    let [of_f, of_p] = &program.jump_tables[..] else {
        panic!("{:?}", program.jump_tables);
    };
    assert_eq!(of_p.references, [InsnIndex(1)]);
    assert_eq!(of_p.targets, [InsnIndex(4), InsnIndex(6)]);
    // `f` begins at slot 1 of its section, and at 8 of the program.
    assert_eq!(of_f.references, [InsnIndex(8)]);
    assert_eq!(of_f.targets, [InsnIndex(11)]);
    // A value of a map, as the verifier wants it.
    assert_eq!(program.instructions[1].src, 2);
    assert!(program.map_references.is_empty());
}

#[test]
fn jump_tables_that_lead_astray_are_told() {
    let Some(object) = jump_tables([33, 48]) else {
        return;
    };
    let error = object.unwrap_err().to_string();
    let expected = "socket+0x8 refers to `BPF.JT.0.0`: its jump table leads to 0x21";
    assert!(error.contains(expected), "{error}");
    let object = jump_tables([32, 64]).unwrap().unwrap();
    let error = object.link(&LinkOptions::new(), &target()).unwrap_err();
    let expected = "`p`, instruction 1: its jump table (.jumptables+0x0) leads out of the function";
    assert_eq!(error.to_string(), expected);
}

/// Else a small file could have the same entries copied, or moved, for many tables.
#[test]
fn jump_tables_that_overlap_are_told() {
    let Some(bytes) = with_jump_tables([32, 48], 24) else {
        return;
    };
    let expected = "socket+0x8 refers to `BPF.JT.0.0`: its jump table overlaps another";
    let error = Object::parse(&bytes).unwrap_err();
    assert_eq!(error.to_string(), expected);

    for clang in common::clangs() {
        let text = "SEC(\"socket\") int q(void *c) { return 0; }
                    int other(void) { return 0; }";
        let before = common::compile_text(clang, text, &[]);
        let mut linker = StaticLinker::new();
        linker.add("before.o", &before).unwrap();
        linker.add("tables.o", &bytes).unwrap();
        let error = linker.finish().unwrap_err().to_string();
        assert!(error.starts_with("tables.o: "), "{error}");
        assert!(
            error.ends_with("its jump table overlaps another"),
            "{error}"
        );
    }
}
