//! Deduplication of hand-made types: cycles, declarations, split BTF, sizes.

use super::dedup;
use crate::*;
use std::sync::Arc;
use std::time::Instant;

fn build(make: impl FnOnce(&mut Builder)) -> Btf {
    let mut builder = Builder::new();
    make(&mut builder);
    Btf::parse(builder.build().unwrap()).unwrap()
}

/// A structure with one pointer to each of these types; the pointers come before it.
fn pointers(types: &mut Builder, name: &str, targets: &[TypeId]) -> TypeId {
    let pointers: Vec<_> = targets
        .iter()
        .map(|target| types.pointer(*target))
        .collect();
    let members: Vec<_> = (0..)
        .zip(&pointers)
        .map(|(index, pointer)| NewMember::new("to", *pointer, index * 64))
        .collect();
    types.structure(name, 8 * targets.len() as u32, &members)
}

fn forward(types: &mut Builder, name: &str) -> TypeId {
    types.add(NewType::Forward { name, union: false })
}

fn lines(btf: &Btf) -> Vec<String> {
    let raw = RawDump(&dedup(btf).unwrap().btf).to_string();
    raw.lines().map(|line| line.trim().to_owned()).collect()
}

#[test]
fn a_list_is_one_however_far_it_was_written_out() {
    let btf = build(|types| {
        // node → pointer → node → pointer → the first node.
        let second = types.structure("node", 8, &[NewMember::new("next", TypeId(4), 0)]);
        let pointer = types.pointer(second);
        types.structure("node", 8, &[NewMember::new("next", pointer, 0)]);
        types.pointer(TypeId(3));
    });
    assert_eq!(
        lines(&btf),
        [
            "[1] STRUCT 'node' size=8 vlen=1",
            "'next' type_id=2 bits_offset=0",
            "[2] PTR '(anon)' type_id=1"
        ]
    );
}

#[test]
fn declarations_become_the_definition() {
    // Three units that know more and less of `one` and `two`, which lead to each other: what is
    // declared in the one is defined in the other.
    let btf = build(|types| {
        let two = forward(types, "two");
        pointers(types, "one", &[two]);
        let one = forward(types, "one");
        pointers(types, "two", &[one]);
        let next = types.next_id();
        // pointer, one, pointer, two
        pointers(types, "one", &[TypeId(next.0 + 3)]);
        pointers(types, "two", &[TypeId(next.0 + 1)]);
        types.add(NewType::Forward {
            name: "one",
            union: true,
        });
        types.enumeration("level", &[]);
        types.enumeration("level", &[("LOW", 0)]);
    });
    assert_eq!(
        lines(&btf),
        [
            "[1] PTR '(anon)' type_id=4",
            "[2] STRUCT 'one' size=8 vlen=1",
            "'to' type_id=1 bits_offset=0",
            "[3] PTR '(anon)' type_id=2",
            "[4] STRUCT 'two' size=8 vlen=1",
            "'to' type_id=3 bits_offset=0",
            "[5] FWD 'one' fwd_kind=union",
            "[6] ENUM 'level' encoding=UNSIGNED size=4 vlen=1",
            "'LOW' val=0",
        ]
    );
}

#[test]
fn declarations_of_what_is_defined_twice_stay() {
    let btf = build(|types| {
        let small = types.structure("odd", 1, &[]);
        let large = types.structure("odd", 2, &[]);
        let declared = forward(types, "odd");
        let again = forward(types, "odd");
        // Of these, only the last two are equal: they refer to the same declaration. That tells
        // the ones of the same name apart, too, and a declaration of those.
        for to in [small, large, declared, again] {
            let user = pointers(types, "user", &[to]);
            pointers(types, "user_of_user", &[user]);
        }
        let user = forward(types, "user");
        pointers(types, "unsure", &[user]);
    });
    let deduped = dedup(&btf).unwrap();
    let count = |name: &str| deduped.btf.find_by_name(name).count();
    assert_eq!((count("odd"), count("user")), (3, 4));
    assert_eq!((count("user_of_user"), count("unsure")), (3, 1));
    let new = |id| deduped.ids.get(TypeId(id)).unwrap();
    assert_eq!(new(3), new(4));
    assert_ne!(new(1), new(3));
}

#[test]
fn variables_and_sections_have_places_of_their_own() {
    let btf = build(|types| {
        let int = types.int("int", 4, IntEncoding::SIGNED);
        for _ in 0..2 {
            let variable = types.variable("count", int, VariableLinkage::Static);
            let entry = SectionEntry {
                type_id: variable,
                offset: 0,
                size: 4,
            };
            types.add(NewType::DataSection {
                name: ".bss",
                size: 4,
                entries: &[entry],
            });
        }
    });
    let deduped = dedup(&btf).unwrap();
    assert_eq!(deduped.btf.bytes(), btf.bytes());
}

#[test]
fn a_split_leaves_its_base_alone() {
    let base = Arc::new(build(|types| {
        let int = types.int("int", 4, IntEncoding::SIGNED);
        types.pointer(int);
        let declared = forward(types, "late");
        pointers(types, "user", &[declared]);
        types.structure("early", 4, &[NewMember::new("x", int, 0)]);
    }));
    let mut types = Builder::split(&base);
    let int = types.int("int", 4, IntEncoding::SIGNED);
    let own = types.pointer(int);
    let late = types.structure("late", 4, &[NewMember::new("x", int, 0)]);
    let early = forward(&mut types, "early");
    let user = pointers(&mut types, "user", &[late, early]);
    let split = Btf::parse_split(types.build().unwrap(), base.clone()).unwrap();

    let deduped = dedup(&split).unwrap();
    assert_eq!(deduped.btf.first_id(), split.first_id());
    let in_base = |id| deduped.ids.get(id).filter(|new| *new < split.first_id());
    assert_eq!(in_base(int), base.find("int", KindTag::Int));
    assert_eq!(in_base(own), Some(TypeId(2)));
    assert_eq!(in_base(early), base.find("early", KindTag::Struct));
    assert_eq!((in_base(late), in_base(user)), (None, None));
    // The base's strings serve the split: of its own it needs none but what the base lacks.
    assert_eq!(deduped.btf.strings(), b"");
    let texts = ["late", "user", "x"];
    let found = texts.map(|text| deduped.btf.find_by_name(text).count());
    assert_eq!(found, [2, 2, 0]);
}

#[test]
fn kinds_and_counts_of_later_kernels() {
    // More elements than 16 bits count (Linux 7.1), twice.
    let names: Vec<String> = (0..70_000).map(|one| format!("V{one}")).collect();
    let values: Vec<_> = (0..)
        .zip(&names)
        .map(|(value, name)| (name.as_str(), value))
        .collect();
    let btf = build(|types| {
        types.enumeration("wide", &values);
        types.enumeration("wide", &values);
    });
    let deduped = dedup(&btf).unwrap().btf;
    assert_eq!(deduped.type_count(), 1);
    let Kind::Enum(found) = deduped.type_by_id(TypeId(1)).unwrap().kind() else {
        panic!()
    };
    assert_eq!(found.values().len(), 70_000);
}

#[test]
fn what_is_not_sound_is_refused() {
    let sound = build(|types| {
        types.pointer(TypeId::VOID);
    });
    let mut bytes = sound.bytes().to_vec();
    bytes[24 + 8] = 9;
    let btf = Btf::parse_trusted(bytes, None).unwrap();
    let expected = "reference to type 9 at .BTF+0x20 (type 1), but the last type is 1";
    assert_eq!(dedup(&btf).unwrap_err().to_string(), expected);
    let mut builder = Builder::new();
    assert_eq!(builder.append(&btf).unwrap_err().to_string(), expected);
    assert_eq!(builder.next_id(), TypeId(1));
}

/// Chains and wide types made to need many rounds, or to be looked at again in each, take time in
/// proportion to their size: seconds would be minutes otherwise.
#[test]
fn adversarial_graphs_take_no_longer() {
    let start = Instant::now();
    const LEN: u32 = 100_000;
    let chain = build(|types| {
        let mut last = types.int("end", 4, IntEncoding::SIGNED);
        for _ in 0..LEN {
            last = types.pointer(last);
        }
        // All of the chain's distances at once.
        let members: Vec<_> = (0..LEN)
            .map(|id| NewMember::new("", TypeId(id + 1), 0))
            .collect();
        types.structure("wide", 8, &members);
        // A declaration that leads to a family for each link.
        for _ in 0..2 {
            let mut next = types.structure("", 1, &[]);
            for index in 0..LEN / 10 {
                let name = format!("family{index}");
                forward(types, &name);
                next = pointers(types, &name, &[next]);
            }
        }
        let mut next = types.structure("", 2, &[]);
        for index in 0..LEN / 10 {
            next = pointers(types, &format!("family{index}"), &[next]);
        }
    });
    let deduped = dedup(&chain).unwrap();
    assert!(deduped.btf.type_count() > LEN);
    assert_eq!(deduped.btf.find_by_name("family9").count(), 3);
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
}

#[test]
fn overlapping_names_are_not_multiplied() {
    // Declarations whose names are the ends of one long name: 36 KB and 60 KB, but 180 MB apart.
    let (count, long) = (3_000_u32, 60_000_u32);
    let mut bytes = vec![0x9f, 0xeb, 1, 0];
    for word in [24, 0, count * 12, count * 12, long + 2] {
        bytes.extend_from_slice(&u32::to_le_bytes(word));
    }
    for name in 1..=count {
        for word in [name, (KindTag::Forward as u32) << 24, 0] {
            bytes.extend_from_slice(&u32::to_le_bytes(word));
        }
    }
    bytes.push(0);
    bytes.resize(bytes.len() + long as usize, b'n');
    bytes.push(0);
    let btf = Btf::parse(bytes).unwrap();
    let refused = |result: Result<()>| {
        let error = result.unwrap_err().to_string();
        assert!(error.contains("the length of all names"), "{error}");
    };
    refused(dedup(&btf).map(drop));
    let mut builder = Builder::new();
    refused(builder.append(&btf).map(drop));
    assert_eq!(builder.next_id(), TypeId(1));
}
