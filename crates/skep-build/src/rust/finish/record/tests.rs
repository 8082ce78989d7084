//! Records made by hand: what becomes of them, and what is said of those that are wrong or damaged.

use std::collections::BTreeMap;

use skep_btf::{Builder, IntEncoding, Kind};
use skep_object::{Binding, FileRelocation, FileSection, FileSymbol, SymbolKind};

use super::*;

const MOV: [u8; 8] = [0xb7, 1, 0, 0, 0, 0, 0, 0];
const LOAD_4: [u8; 8] = [0x61, 0x12, 0, 0, 0, 0, 0, 0];

/// An object whose instructions have these records.
fn file(records: &[([u8; 8], u32, &str)]) -> ObjectFile {
    let mut types = Builder::new();
    types.set_endianness(Endian::Little);
    types.int("int", 4, IntEncoding::SIGNED);
    let mut code = FileSection {
        name: "raw_tp/x".into(),
        flags: 0x6,
        align: 8,
        ..FileSection::default()
    };
    let mut core = FileSection {
        name: SECTION.into(),
        align: 1,
        ..FileSection::default()
    };
    for (insn, kind, text) in records {
        core.relocations.push(FileRelocation {
            offset: core.data.len() as u64,
            kind: FileRelocation::ADDRESS,
            symbol: 0,
        });
        core.data.extend((code.data.len() as u64).to_le_bytes());
        core.data.extend(kind.to_le_bytes());
        core.data.extend((text.len() as u32).to_le_bytes());
        let padded = [64, 128, 256].into_iter().find(|len| text.len() <= *len);
        core.data.extend(text.as_bytes());
        let padding = padded.unwrap_or(text.len()) - text.len();
        core.data.extend(std::iter::repeat_n(0, padding));
        code.data.extend(insn);
    }
    code.size = code.data.len() as u64;
    core.size = core.data.len() as u64;
    ObjectFile {
        endian: Endian::Little,
        types,
        records: BTreeMap::default(),
        sections: vec![code, core],
        symbols: vec![FileSymbol {
            name: "raw_tp/x".into(),
            kind: SymbolKind::Section,
            section: Some(0),
            value: 0,
            size: 0,
            binding: Binding::Local,
            hidden: false,
        }],
    }
}

fn problem(records: &[([u8; 8], u32, &str)]) -> String {
    run(&mut file(records)).unwrap_err().to_string()
}

#[test]
fn records_become_relocations() {
    let mut file = file(&[
        (MOV, 0, "st;.big=[100]u8"),
        (LOAD_4, 0, "st;.small=i4"),
        (MOV, 1, "st;.big=[100]u8"),
        (MOV, 0, "st;.big=[100]u8#3"),
        (MOV, 3, "st;.small=i4"),
        (MOV, 5, "st;.small=i4"),
        (MOV, 9, "st;"),
        (MOV, 11, "e4e;:B=7"),
    ]);
    run(&mut file).unwrap();
    let code = &file.sections[0].data;
    let insns: Vec<RawInsn> = skep_isa::decode_slots(code, Endian::Little).unwrap();
    // The small one first: 4 bytes, and 4 until the alignment of the large one.
    let numbers: Vec<i32> = insns
        .iter()
        .map(|insn| {
            if insn.opcode == 0x61 {
                insn.offset.into()
            } else {
                insn.imm
            }
        })
        .collect();
    assert_eq!(numbers, [8, 0, 800, 32, 1, 32, 808, 7]);

    let btf = file.btf().unwrap();
    let core = &file.records["raw_tp/x"].core;
    let spelled = core.iter().map(|one| btf.string(one.access).unwrap());
    let spelled: Vec<&str> = spelled.collect();
    assert_eq!(
        spelled,
        ["0:1", "0:0", "0:1", "0:1:3", "0:0", "0:0", "0", "0"]
    );
    let Kind::Struct(found) = btf.type_by_id(core[0].type_id).unwrap().kind() else {
        panic!("no struct");
    };
    let names: Vec<&str> = found.members().map(|member| member.name()).collect();
    assert_eq!(names, ["small", "big"]);
}

/// `typedef struct { int counter; } atomic_t;`
#[test]
fn a_typedef_is_the_name_of_what_has_none() {
    let mut file = file(&[
        (MOV, 0, "tatomic_t;.counter=i4"),
        (MOV, 0, "sref;.at=*tatomic_t;"),
        (MOV, 0, "sref;.of=*tgone_t;"),
        (MOV, 8, "yuid_t;"),
    ]);
    run(&mut file).unwrap();
    let btf = file.btf().unwrap();
    let core = &file.records["raw_tp/x"].core;
    let behind = |id| match btf.type_by_id(id).unwrap().kind() {
        Kind::Typedef { target } => btf.type_by_id(target).unwrap(),
        other => panic!("{other:?}"),
    };
    let root = core[0].type_id;
    assert_eq!(btf.type_by_id(root).unwrap().name(), "atomic_t");
    let Kind::Struct(found) = behind(root).kind() else {
        panic!("no struct");
    };
    let names: Vec<&str> = found.members().map(|member| member.name()).collect();
    assert_eq!((behind(root).name(), names), ("", vec!["counter"]));
    assert!(matches!(behind(core[3].type_id).kind(), Kind::Union(_)));
    let Kind::Struct(found) = btf.type_by_id(core[1].type_id).unwrap().kind() else {
        panic!("no struct");
    };
    let pointed: Vec<&str> = found
        .members()
        .map(
            |member| match btf.type_by_id(member.type_id).unwrap().kind() {
                Kind::Pointer { target, .. } => btf.type_by_id(target).unwrap().name(),
                other => panic!("{other:?}"),
            },
        )
        .collect();
    assert_eq!(pointed, ["atomic_t", "gone_t"]);
}

#[test]
fn declarations_that_differ_are_types_of_their_own() {
    let mut file = file(&[
        (MOV, 0, "st;.a=u4"),
        (MOV, 0, "st;.a=u8"),
        (MOV, 0, "st;.b=sn;.a=u4"),
        (MOV, 0, "st;.b=sn;.a=i8"),
    ]);
    run(&mut file).unwrap();
    let btf = file.btf().unwrap();
    let named = |name| btf.find_by_name(name).count();
    assert_eq!((named("t"), named("n")), (2, 2));
}

#[test]
fn what_is_wrong_is_said() {
    for (insn, kind, text, part) in [
        (MOV, 0, "st;.a=q4", "expected a type"),
        (MOV, 0, "st;", "byte_offset of something else"),
        (MOV, 11, "st;.a=u4", "enumval_value of something else"),
        (MOV, 9, "st;.a=u4", "type_size of something else"),
        (MOV, 0, "st;.a=[2]u4#2", "element 2 of an array of 2"),
        (MOV, 0, "u4.a=u4", "a step that its type does not have"),
        (MOV, 0, "st;.a=v", "a type of no size"),
        (MOV, 4, "st;.a=u16", "a bit field of 16 bytes"),
        (MOV, 99, "st;.a=u4", "unknown kind 99"),
        (MOV, 6, "lNode;", "describes no type `Node`"),
        ([0x95, 0, 0, 0, 0, 0, 0, 0], 0, "st;.a=u4", "has no number"),
        ([0x18, 0, 0, 0, 0, 0, 0, 0], 0, "st;.a=u4", "half a load"),
        (LOAD_4, 0, "st;.z=u4#1", "does not have"),
        (MOV, 0, "st;.a=[4294967295][4294967295]u8", "too large"),
    ] {
        let problem = problem(&[(insn, kind, text)]);
        assert!(problem.contains(part), "{text}: {problem}");
    }
    // A structure in itself, by way of another.
    let problem = problem(&[(MOV, 0, "sa;.b=sb;"), (MOV, 0, "sb;.a=sa;")]);
    assert!(problem.contains("contains itself"), "{problem}");
}

#[test]
fn damage_is_an_error_or_nothing() {
    let whole = file(&[
        (MOV, 0, "st;.se=ss;.v=[3]*nu;#2"),
        (LOAD_4, 0, "st;.small=i4"),
        (MOV, 12, "St@7;"),
        (MOV, 0xff, "St@7;.small=i4"),
        (MOV, 0, "tc;.a=*Yd@9;"),
        (MOV, 11, "E4e;:B=-7"),
    ]);
    run(&mut whole.clone()).unwrap();
    let mut seed = 1_u64;
    let mut next = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as usize % below
    };
    let mut refused = 0;
    for _ in 0..20_000 {
        let mut damaged = whole.clone();
        for _ in 0..=next(3) {
            match next(4) {
                0 => {
                    let len = next(damaged.sections[1].data.len());
                    damaged.sections[1].data.truncate(len + 1);
                }
                1 => damaged.sections[1].relocations.retain(|_| next(2) == 0),
                2 => damaged.symbols[0].value = next(100) as u64,
                _ => {
                    let data = &mut damaged.sections[1].data;
                    let at = next(data.len());
                    data[at] = next(256) as u8;
                }
            }
        }
        refused += usize::from(run(&mut damaged).is_err());
    }
    assert!(refused > 1000, "{refused}");
}
