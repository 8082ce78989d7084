//! All 256 opcodes against a golden list of what each accepts. Bless with `UPDATE_GOLDEN=1`.

use std::fmt::Write as _;
use std::mem::discriminant;

use skep_isa::{AtomicOp, Insn, RawInsn};

/// The first value of each list stands for "any": a form with another value is listed only where
/// this one is refused.
const DST: [u8; 4] = [1, 0, 11, 12];
const SRC: [u8; 10] = [2, 0, 1, 3, 4, 5, 6, 7, 11, 12];
const OFFSET: [i16; 11] = [4, 0, 1, 8, 16, 32, -8, -1, 9, 64, i16::MIN];

fn imms() -> Vec<i32> {
    let mut imms = vec![
        5, 0, 1, 8, 16, 32, 64, 128, 0x100, 0x110, 0x10000, 0x10001, -1,
    ];
    imms.extend(AtomicOp::ALL.map(AtomicOp::imm));
    imms.sort_by_key(|imm| (*imm != 5, *imm));
    imms.dedup();
    imms
}

fn accepts(raw: RawInsn) -> Option<Insn> {
    let second = RawInsn {
        imm: 0,
        ..RawInsn::default()
    };
    Insn::decode(&[raw, second]).ok().map(|(insn, _)| insn)
}

/// Whether no other form of the same instruction, with one special value fewer, stands for this
/// one. The source of calls and of 64-bit immediates is a kind, so each value counts.
fn is_listed(raw: RawInsn, insn: &Insn) -> bool {
    let is_kind = matches!(raw.opcode, 0x18 | 0x85);
    let simpler = [
        RawInsn { dst: DST[0], ..raw },
        RawInsn {
            src: if is_kind { raw.src } else { SRC[0] },
            ..raw
        },
        RawInsn {
            offset: OFFSET[0],
            ..raw
        },
        RawInsn { imm: 5, ..raw },
    ];
    simpler
        .into_iter()
        .filter(|simpler| *simpler != raw)
        .all(|simpler| {
            accepts(simpler).is_none_or(|simpler| discriminant(&simpler) != discriminant(insn))
        })
}

fn forms(opcode: u8) -> Vec<(RawInsn, Insn)> {
    let mut forms = Vec::new();
    for imm in imms() {
        for offset in OFFSET {
            for src in SRC {
                for dst in DST {
                    let raw = RawInsn {
                        opcode,
                        dst,
                        src,
                        offset,
                        imm,
                    };
                    let listed = accepts(raw).filter(|insn| is_listed(raw, insn));
                    forms.extend(listed.map(|insn| (raw, insn)));
                }
            }
        }
    }
    forms
}

#[test]
fn accepted_opcodes() {
    let mut list = String::new();
    for opcode in 0..=u8::MAX {
        for (raw, insn) in forms(opcode) {
            let RawInsn {
                opcode,
                dst,
                src,
                offset,
                imm,
            } = raw;
            writeln!(
                list,
                "{opcode:02x} dst {dst:2} src {src:2} off {offset:2} imm {imm:#7x} | {insn}"
            )
            .unwrap();
        }
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/opcodes.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &list).unwrap();
    }
    let golden = std::fs::read_to_string(path).unwrap();
    for (line, (golden, found)) in golden.lines().zip(list.lines()).enumerate() {
        assert_eq!(golden, found, "line {} of {path}", line + 1);
    }
    assert_eq!(
        golden.lines().count(),
        list.lines().count(),
        "lines of {path}"
    );
}
