//! Objects that no compiler made: whatever they say, finishing ends with a result.

use std::collections::BTreeMap;

use skep_btf::{Builder, Endian, FunctionLinkage, IntEncoding};
use skep_object::{Binding, FileRecords, FileRelocation, FileSection, FileSymbol, SymbolKind};

use super::*;

/// `r0 = 0; exit`, and before it a call of what the relocation names.
const CODE: [u8; 24] = [
    0x85, 0x10, 0, 0, 0xff, 0xff, 0xff, 0xff, //
    0xb7, 0, 0, 0, 0, 0, 0, 0, //
    0x95, 0, 0, 0, 0, 0, 0, 0,
];

/// A program that calls a function of this name, which is nowhere.
fn object(callee: &str) -> Vec<u8> {
    let mut types = Builder::new();
    types.set_endianness(Endian::Little);
    let int = types.int("int", 4, IntEncoding::SIGNED);
    let prototype = types.prototype(int, &[]);
    let function = types.function("program", prototype, FunctionLinkage::Global);
    let symbol = |name: &str, section, kind| FileSymbol {
        name: name.into(),
        kind,
        section,
        value: 0,
        size: 0,
        binding: Binding::Global,
        hidden: false,
    };
    let file = ObjectFile {
        endian: Endian::Little,
        types,
        records: BTreeMap::from([(
            "xdp".to_owned(),
            FileRecords {
                functions: vec![(skep_isa::InsnIndex(0), function)],
                ..FileRecords::default()
            },
        )]),
        sections: vec![FileSection {
            name: "xdp".into(),
            flags: 0x6,
            align: 8,
            size: CODE.len() as u64,
            data: CODE.to_vec(),
            relocations: vec![FileRelocation {
                offset: 0,
                kind: FileRelocation::CALL,
                symbol: 1,
            }],
            ..FileSection::default()
        }],
        symbols: vec![
            symbol("program", Some(0), SymbolKind::Function),
            symbol(callee, None, SymbolKind::Other),
        ],
    };
    file.write().unwrap()
}

#[test]
fn what_is_nowhere_is_named() {
    let finished = finished(&object("elsewhere"), &Own::default()).unwrap();
    let [problem] = finished.problems.as_slice() else {
        panic!("{:?}", finished.problems);
    };
    assert!(problem.title.contains("`elsewhere`"), "{}", problem.title);
    assert_eq!(problem.function, "program");
}

#[test]
fn panics_are_warned_of() {
    let finished = finished(&object("__bpf_trap"), &Own::default()).unwrap();
    let [problem] = finished.problems.as_slice() else {
        panic!("{:?}", finished.problems);
    };
    assert_eq!(problem.level, crate::rust::message::Level::Warning);
    assert!(problem.title.contains("panic"), "{}", problem.title);
}

/// Every byte changed, and every length: what comes of it does not matter, but something does.
#[test]
fn damage_ends_with_a_result() {
    let whole = object("elsewhere");
    for at in 0..whole.len() {
        for byte in [0, 1, 0x7f, 0xff] {
            let mut damaged = whole.clone();
            damaged[at] = byte;
            let _ = finished(&damaged, &Own::default());
        }
        let _ = finished(&whole[..at], &Own::default());
    }
}
