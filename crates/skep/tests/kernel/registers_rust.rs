//! Where programs in Rust look for registers on arm64, which no machine of these tests has: by its
//! types, made up as the kernel has them, each program loads from the place that arm64's calling
//! convention says, and asks before whether it is on x86-64.

use std::{fs, path::Path, sync::Arc};

use skep::{
    Object,
    btf::{Btf, Builder, IntEncoding, NewMember},
    spec::CoreKind,
};
use skep_testing::{Outcome, Stop, Test, ensure};

use crate::support::host;

pub(crate) fn tests() -> Vec<Test> {
    vec![Test::new("registers_rust::are_where_arm64_has_them", arm64)]
}

/// `asm/ptrace.h`: `user_pt_regs` (31 registers, `sp`, `pc`, `pstate`), and behind it what the kernel
/// keeps to itself.
fn types() -> Outcome<Vec<u8>> {
    let mut types = Builder::new();
    let long = types.int("long long unsigned int", 8, IntEncoding::UNSIGNED);
    let int = types.int("int", 4, IntEncoding::SIGNED);
    let registers = types.array(long, int, 31);
    let member = |name, of, byte: u32| NewMember::new(name, of, byte * 8);
    let user = [
        member("regs", registers, 0),
        member("sp", long, 248),
        member("pc", long, 256),
        member("pstate", long, 264),
    ];
    let user = types.structure("user_pt_regs", 272, &user);
    let all = [
        member("user_regs", user, 0),
        member("orig_x0", long, 272),
        member("syscallno", int, 280),
    ];
    types.structure("pt_regs", 336, &all);
    Ok(types.build()?)
}

/// What a program takes, and from which byte of the registers it then comes.
const PLACES: &[(&str, &str, i32)] = &[
    ("kprobe", "context.argument::<u64>(0)", 0),
    ("kprobe", "context.argument::<u64>(1)", 8),
    ("kprobe", "context.argument::<u64>(2)", 16),
    ("kprobe", "context.argument::<u64>(3)", 24),
    ("kprobe", "context.argument::<u64>(4)", 32),
    ("kprobe", "context.argument::<u64>(5)", 40),
    ("kprobe", "context.stack_pointer()", 248),
    ("kprobe", "context.instruction_pointer()", 256),
    ("kretprobe", "context.returned::<u64>()", 0),
    // The first register is overwritten by the result.
    ("ksyscall", "context.argument::<u64>(0)", 272),
    ("ksyscall", "context.argument::<u64>(1)", 8),
    ("ksyscall", "context.argument::<u64>(2)", 16),
    ("ksyscall", "context.argument::<u64>(3)", 24),
    ("ksyscall", "context.argument::<u64>(4)", 32),
    ("ksyscall", "context.argument::<u64>(5)", 40),
];

fn source() -> String {
    let mut text = "#![no_std]\n#![no_main]\nuse skep_ebpf::prelude::*;\n\nlicense!(\"GPL\");\n\n\
                    #[map]\nstatic SEEN: Array<u64, 1> = Array::new();\n"
        .to_owned();
    for (index, (attribute, body, _)) in PLACES.iter().enumerate() {
        let context = match *attribute {
            "kprobe" => "KprobeContext",
            "kretprobe" => "KretprobeContext",
            _ => "KsyscallContext",
        };
        text += &format!(
            "\n#[{attribute}(\"anything\")]\nfn look_{index}(context: &{context}) -> Result {{\n    \
             SEEN.set(0, &{body})\n}}\n"
        );
    }
    text
}

fn arm64() -> Outcome {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = folder.join("registers_rust.rs");
    fs::write(&path, source())?;
    let bytes = skep_testing::compile(&path, env!("CARGO_TARGET_TMPDIR"))?;
    let mut object = Object::parse("registers", &bytes)?;
    object.core_btf(Arc::new(Btf::parse(types()?)?));
    let image = object.link(host())?;
    for (index, (attribute, body, place)) in PLACES.iter().enumerate() {
        let name = format!("look_{index}");
        let says = |what: String| Stop::fail(format!("{attribute}: {body}: {what}"));
        let function = object.spec().functions().iter().find(|of| of.name == name);
        let (Some(function), Some(program)) = (function, image.program(&name)) else {
            return Err(says("no program".into()));
        };
        // Of each relocation that these types answer: what it asks, and what they say.
        let mut answers = Vec::new();
        for relocation in &function.core_relocations {
            let at = relocation.insn;
            let insn = program.instructions.get(at.as_usize());
            let insn = insn.ok_or_else(|| says(format!("no instruction {at:?}")))?;
            if program.poisoned_at(at).is_none() {
                let loads = insn.opcode & 7 == 1;
                let number = if loads { insn.offset.into() } else { insn.imm };
                answers.push((relocation.kind, number));
            }
        }
        // Is this x86-64? No, so what is x86's is poisoned, and the other is there.
        let (asks, places): (Vec<_>, Vec<_>) = answers
            .iter()
            .partition(|(kind, _)| *kind == CoreKind::FieldExists);
        ensure(
            !asks.is_empty() && asks.iter().all(|(_, there)| *there == 0),
            || format!("{attribute}: {body}: asks {asks:?}"),
        )?;
        // System calls come to their registers by the first one of their handler.
        let wanted: &[i32] = match *attribute {
            "ksyscall" => &[0, *place],
            _ => &[*place],
        };
        let found: Vec<i32> = places.iter().map(|(_, number)| *number).collect();
        ensure(found == wanted, || {
            format!("{attribute}: {body}: at {found:?}, not {wanted:?}")
        })?;
    }
    Ok(())
}
