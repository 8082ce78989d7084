//! Whether the corpus has every instruction there is, by the table that skep-isa is tested with.

use std::collections::BTreeSet;
use std::path::Path;

use libtest_mimic::Failed;
use skep_isa::RawInsn;

use crate::parse::Program;

/// Instructions that mean nothing for a program of instructions alone, and why.
const ELSEWHERE: &[(&str, &str)] = &[
    ("skb[", "loads of a packet, which must be the context"),
    ("map[", "maps"),
    ("btf[", "variables of the kernel"),
    ("gotox", "jump tables, which are maps"),
    ("callx", "no kernel has it"),
    ("kernel-function", "functions of the kernel"),
    ("addr_space_cast", "arenas"),
    (
        "r11",
        "arguments on the stack, of functions with more than five",
    ),
];

/// Fails with what is missing.
pub(crate) fn check(programs: &[impl AsRef<Program>]) -> Result<(), Failed> {
    let golden = "../skep-isa/tests/golden/opcodes.txt";
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join(golden);
    let golden = std::fs::read_to_string(golden)?;
    let mut seen = BTreeSet::new();
    for row in programs.iter().flat_map(|program| &program.as_ref().rows) {
        seen.extend(row.slots.iter().map(kind));
    }
    let mut missing = Vec::new();
    for line in golden.lines() {
        let Some((fields, text)) = line.split_once(" | ") else {
            continue;
        };
        if ELSEWHERE.iter().any(|(part, _)| text.contains(part)) {
            continue;
        }
        let slot = slot(fields).ok_or_else(|| format!("`{line}`"))?;
        if !seen.contains(&kind(&slot)) {
            missing.push(text);
        }
    }
    if missing.is_empty() {
        Ok(())
    } else {
        Err(format!("no program has:\n{}", missing.join("\n")).into())
    }
}

/// What makes an instruction another one than the next: not its registers, places and values.
fn kind(slot: &RawInsn) -> (u8, Option<i32>) {
    let class = slot.opcode & 0x07;
    let operation = slot.opcode & 0xf0;
    let detail = match slot.opcode {
        // Which atomic operation, and how many bytes are swapped.
        0xc3 | 0xcb | 0xd3 | 0xdb | 0xd4 | 0xdc | 0xd7 => Some(slot.imm),
        // What is called, and what a 64-bit constant stands for.
        0x85 | 0x18 => Some(slot.src.into()),
        // Signed division, and how wide a sign-extending move is.
        _ if matches!(class, 4 | 7) && matches!(operation, 0x30 | 0x90 | 0xb0) => {
            Some(slot.offset.into())
        }
        _ => None,
    };
    (slot.opcode, detail)
}

/// `db dst  1 src  2 off  4 imm 0xa1`.
fn slot(fields: &str) -> Option<RawInsn> {
    let words: Vec<_> = fields.split_whitespace().collect();
    let [opcode, _, dst, _, src, _, offset, _, imm] = words[..] else {
        return None;
    };
    Some(RawInsn {
        opcode: u8::from_str_radix(opcode, 16).ok()?,
        dst: dst.parse().ok()?,
        src: src.parse().ok()?,
        offset: offset.parse().ok()?,
        imm: i64::from_str_radix(imm.strip_prefix("0x")?, 16).ok()? as i32,
    })
}
