//! What is left of hand-made types, by what is needed of them.

use crate::*;

/// `struct line { struct point from, to; struct line *next; struct point *mark; struct { int a; int
/// b; }; int none[0]; enum kind kind; }` and what it takes.
fn types() -> Btf {
    let mut types = Builder::new();
    types.int("long", 8, IntEncoding::SIGNED);
    let int = types.int("int", 4, IntEncoding::SIGNED);
    let xy = [NewMember::new("x", int, 0), NewMember::new("y", int, 32)];
    let point = types.structure("point", 8, &xy);
    let line = types.next_id();
    let after = |count| TypeId(line.0 + count);
    let members = [
        NewMember::new("from", point, 0),
        NewMember::new("to", point, 64),
        NewMember::new("next", after(1), 128),
        NewMember::new("mark", after(2), 192),
        NewMember::new("", after(3), 256),
        NewMember::new("none", after(4), 320),
        NewMember::new("kind", after(5), 320),
    ];
    types.structure("line", 48, &members);
    types.pointer(line);
    types.pointer(point);
    let ab = [NewMember::new("a", int, 0), NewMember::new("b", int, 32)];
    types.structure("", 8, &ab);
    types.array(int, int, 0);
    types.enumeration("kind", &[("THIN", 1), ("WIDE", 2), ("GONE", 3)]);
    types.typedef("line_t", line);
    Btf::parse(types.build().unwrap()).unwrap()
}

/// The declarations that are left of the composites and enumerations.
fn left(needs: &[(&str, KindTag, Need)]) -> Vec<String> {
    let btf = types();
    let mut minimizer = Minimizer::new(&btf);
    for (name, kind, need) in needs {
        let id = btf.find(name, *kind).unwrap();
        minimizer.keep(id, *need).unwrap();
    }
    let small = Btf::parse(minimizer.build().unwrap()).unwrap();
    assert_eq!(small.pointer_size(), 8);
    let raw = small.types().map(|one| RawType(one).to_string());
    raw.filter(|one| !one.contains(" INT ")).collect()
}

#[test]
fn nothing_is_needed_of_what_nobody_names() {
    assert_eq!(left(&[]), [""; 0]);
    let sizes = left(&[("line", KindTag::Struct, Need::Type)]);
    assert_eq!(sizes, ["[2] STRUCT 'line' size=48 vlen=0"]);
}

#[test]
fn members_stay_where_they_are() {
    assert_eq!(
        left(&[
            ("line", KindTag::Struct, Need::Element(1)),
            ("point", KindTag::Struct, Need::Element(1)),
        ]),
        [
            "[3] STRUCT 'point' size=8 vlen=1\n\t'y' type_id=2 bits_offset=32",
            "[4] STRUCT 'line' size=48 vlen=1\n\t'to' type_id=3 bits_offset=64",
        ]
    );
}

#[test]
fn pointers_lead_to_what_is_needed_or_to_void() {
    assert_eq!(
        left(&[
            ("line", KindTag::Struct, Need::Element(2)),
            ("line", KindTag::Struct, Need::Element(3)),
        ]),
        [
            "[2] STRUCT 'line' size=48 vlen=2\n\t'next' type_id=3 bits_offset=128\n\t'mark' type_id=4 bits_offset=192",
            "[3] PTR '(anon)' type_id=2",
            "[4] PTR '(anon)' type_id=0",
        ]
    );
}

#[test]
fn an_array_without_elements_does_not_become_the_last_member() {
    let line = left(&[("line", KindTag::Struct, Need::Element(5))]);
    assert!(line[0].contains("vlen=2\n\t'none'"), "{line:?}");
    assert!(line[0].contains("\n\t'kind' "), "{line:?}");
    // The enumeration is there for its size.
    assert!(
        line[2].contains("ENUM 'kind' ") && line[2].ends_with("vlen=0"),
        "{line:?}"
    );
}

#[test]
fn values_of_enumerations() {
    assert_eq!(
        left(&[("kind", KindTag::Enum, Need::Element(1))]),
        ["[2] ENUM 'kind' encoding=UNSIGNED size=4 vlen=1\n\t'WIDE' val=2"]
    );
}

#[test]
fn the_whole_has_names_of_what_it_points_to() {
    let all = left(&[("line_t", KindTag::Typedef, Need::Whole)]);
    let btf = types();
    // All but the two types that nothing else tells of stay as they were.
    assert_eq!(all.len(), btf.types().len() - 2, "{all:?}");
    assert!(all.iter().any(|one| one.contains("'GONE' val=3")));
    assert!(
        all.iter()
            .any(|one| one.contains("'b' type_id=2 bits_offset=32"))
    );
}

#[test]
fn what_is_not_there_is_an_error() {
    let btf = types();
    let mut minimizer = Minimizer::new(&btf);
    let mut message = |id, need| minimizer.keep(TypeId(id), need).unwrap_err().to_string();
    assert_eq!(
        message(99, Need::Type),
        "there is no type 99, the last type is 10"
    );
    let element = |id| format!("type {id} is not a type with such an element");
    assert_eq!(message(3, Need::Element(2)), element(3));
    assert_eq!(message(9, Need::Element(3)), element(9));
    assert_eq!(message(2, Need::Element(0)), element(2));
}
