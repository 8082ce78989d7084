//! What is refused, where it is said to be, and that nothing of it takes long.

use super::*;
use crate::{Builder, IntEncoding, KindTag, NewMember, StringOffset, TypeId};

const STRINGS: &[u8] = b"\0int\0a\0v-x\0\xe9\0";
const INT: [u32; 4] = [1, 1 << 24, 4, 32];

fn bytes(endian: Endian, types: &[u32], strings: &[u8]) -> Vec<u8> {
    let word = |word: u32| match endian {
        Endian::Little => word.to_le_bytes(),
        Endian::Big => word.to_be_bytes(),
    };
    let mut bytes = match endian {
        Endian::Little => vec![0x9f, 0xeb, 1, 0],
        Endian::Big => vec![0xeb, 0x9f, 1, 0],
    };
    let len = types.len() as u32 * 4;
    for one in [24, 0, len, len, strings.len() as u32] {
        bytes.extend(word(one));
    }
    for one in types {
        bytes.extend(word(*one));
    }
    bytes.extend(strings);
    bytes
}

/// The fault of types behind an `int`, as text.
fn fault(types: &[u32]) -> String {
    let types = [&INT, types].concat();
    let told = [Endian::Little, Endian::Big].map(|endian| {
        match verify(bytes(endian, &types, STRINGS), endian) {
            Ok(_) => "good".to_owned(),
            Err(refused) => refused.to_string(),
        }
    });
    let [little, big] = told;
    assert_eq!(little, big);
    little
}

#[test]
fn a_fault_names_the_type_and_the_part() {
    let place = ".BTF+0x28 (type 2): ";
    for (types, wanted) in [
        (&[][..], "good"),
        (
            &[5, 1 << 24, 4, 33],
            "the integer has 33 bits from 0 on in 4 bytes",
        ),
        (
            &[5, 1 << 24, 4, 32 | 3 << 24],
            "encoding 0x3 of an integer is not known",
        ),
        (
            &[5, 1 << 24 | 1, 4, 32],
            "INT has no elements, but counts 1",
        ),
        (&[5, 2 << 24, 1], "the type can't have a name"),
        (&[7, 8 << 24, 1], "the type has a name that can't be one"),
        (&[0, 2 << 24, 2], "leads to type 2 again"),
        (&[0, 2 << 24, 9], "the type can't be type 9"),
        (
            &[5, 4 << 24 | 1, 4, 5, 1, 8],
            "element 0 can't be where it is",
        ),
        (&[5, 30 << 24, 0], "kind 30 is not known"),
        (&[5, 1 << 24, 4], "ends behind the type section"),
    ] {
        let found = fault(types);
        assert_eq!(found.strip_prefix(place).unwrap_or(&found), wanted);
    }
}

#[test]
fn a_fault_behind_another_type_is_told_of_the_right_one() {
    // A prototype whose argument leads to itself.
    let found = fault(&[0, 13 << 24 | 1, 0, 5, 3, 5, 8 << 24, 3]);
    assert_eq!(found, ".BTF+0x3c (type 3): leads to type 3 again");
}

#[test]
fn what_the_builder_makes_is_good() {
    let mut builder = Builder::new();
    let int = builder.int("int", 4, IntEncoding::SIGNED);
    builder.pointer(int);
    let bytes = builder.build().unwrap();
    assert_eq!(verify(bytes, Endian::NATIVE).unwrap().type_count(), 2);
}

#[test]
fn names_that_are_no_text_read_as_empty() {
    let types = [11, 1 << 24, 4, 32];
    let data = bytes(Endian::NATIVE, &types, STRINGS);
    assert!(Btf::parse(data.clone()).is_err());
    let btf = verify(data, Endian::NATIVE).unwrap();
    assert_eq!(btf.type_by_id(TypeId(1)).unwrap().name(), "");
    assert_eq!(btf.string_bytes(StringOffset(11)), Some(&b"\xe9"[..]));
}

/// Each is linear only if nothing is looked at twice.
#[test]
fn large_data_takes_no_longer_than_its_length() {
    let mut shared = INT.to_vec();
    shared.extend([0, 13 << 24 | 0xffff, 0]);
    shared.extend((0..0xffff).flat_map(|_| [5, 1]));
    shared.extend((0..200_000).flat_map(|_| [5, 12 << 24, 2]));
    // Types that come back to a few by many ways.
    let mut crossed = INT.to_vec();
    for id in 2..40_000_u32 {
        let (one, other) = (id - 1, (id / 2).max(1));
        crossed.extend([5, 4 << 24 | 2, 8, 5, one, 0, 5, other, 0]);
    }
    let chain = (1..900_000_u32).flat_map(|id| [0, 10 << 24, id]);
    let chain: Vec<u32> = INT.into_iter().chain(chain).collect();
    for types in [shared, crossed, chain] {
        let told = verify(bytes(Endian::NATIVE, &types, STRINGS), Endian::NATIVE);
        match told {
            Ok(btf) => assert!(btf.type_count() > 30_000),
            Err(refused) => panic!("{refused}"),
        }
    }
}

#[test]
fn every_kind_may_begin_with_any_word() {
    // Nothing here panics, whatever comes out.
    for number in 1..20_u32 {
        let kind = KindTag::from_number(number as u8).unwrap();
        for third in [0, 1, 2, 3, 0x7fff_ffff, u32::MAX] {
            for word in [0, 1, 2, 8, 0xff, 0x8000_0000, u32::MAX] {
                let body = [word; 3];
                let text = fault(&[&[5, number << 24 | 1, third][..], &body].concat());
                assert!(!text.is_empty(), "{kind}");
            }
        }
    }
}

/// Structures inside have locks of their own, and counts may be several: a kernel takes them.
#[test]
fn locks_in_structures_inside_are_others() {
    let mut types = Builder::new();
    let int = types.int("int", 4, IntEncoding::SIGNED);
    let lock = types.structure("bpf_spin_lock", 4, &[NewMember::new("a", int, 0)]);
    let count = types.structure("bpf_refcount", 4, &[NewMember::new("a", int, 0)]);
    let inner = types.structure("inner", 4, &[NewMember::new("lock", lock, 0)]);
    let all = [
        (inner, 0),
        (inner, 32),
        (lock, 64),
        (count, 96),
        (count, 128),
    ];
    let members = all.map(|(of, at)| NewMember::new("a", of, at));
    types.structure("outer", 20, &members);
    let taken = verify(types.build().expect("types"), Endian::NATIVE);
    assert_eq!(taken.err(), None);
}

/// Each structure has 64 of the one before, and all of them are looked into.
#[test]
fn structures_without_end_are_given_up() {
    let mut types = Builder::new();
    let int = types.int("int", 4, IntEncoding::SIGNED);
    let lock = types.structure("bpf_spin_lock", 4, &[NewMember::new("a", int, 0)]);
    let mut of = types.structure("empty", 0, &[]);
    for _ in 0..20 {
        let members = [NewMember::new("one", of, 0); 64];
        of = types.structure("more", 0, &members);
    }
    let members = [
        NewMember::new("lock", lock, 0),
        NewMember::new("more", of, 32),
    ];
    types.structure("last", 4, &members);
    let refused = verify(types.build().expect("types"), Endian::NATIVE).err();
    let why = refused.map(|refused| refused.why);
    assert_eq!(why, Some(Fault::Managed(crate::managed::Problem::Members)));
}
