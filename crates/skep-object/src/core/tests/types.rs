//! Enumerators and whole types.

use super::*;

/// An access to the enumerator `B___old` of `enum e___x`.
fn enumerator(kind: CoreKind, insns: Vec<RawInsn>) -> Case {
    let mut local = Types::new();
    let root = local
        .builder
        .enumeration("e___x", &[("A", 0), ("B___old", 7)]);
    Case {
        local,
        kind,
        root,
        access: "1",
        insns,
    }
}

#[test]
fn enumerators_are_found_by_name_in_either_width() {
    let narrow = || {
        let mut target = Types::new();
        target.builder.enumeration("e", &[("Z", 1), ("B", -3)]);
        target.btf()
    };
    let wide = || {
        let mut target = Types::new();
        let values = &[("Z", 1), ("B", 0x1_2345_6789)];
        target.builder.add(NewType::Enum64 {
            name: "e",
            size: 8,
            signed: false,
            values,
        });
        target.btf()
    };
    let value = CoreKind::EnumeratorValue;
    becomes(enumerator(value, mov(7)).against(narrow()), mov(-3));
    becomes(
        enumerator(value, mov64(7)).against(narrow()),
        mov64(-3_i64 as u64),
    );
    becomes(
        enumerator(value, mov64(7)).against(wide()),
        mov64(0x1_2345_6789),
    );
    becomes(
        enumerator(CoreKind::EnumeratorExists, mov(1)).against(wide()),
        mov(1),
    );

    let mut without = Types::new();
    without.builder.enumeration("e", &[("Z", 1)]);
    let without = without.btf();
    let exists = CoreKind::EnumeratorExists;
    becomes(
        enumerator(exists, mov(1)).against(Arc::clone(&without)),
        mov(0),
    );
    poisoned(
        enumerator(value, mov(7)).against(without),
        "enumval_value of enum e___x::B___old (1): no candidate has the enumerator `B`",
    );
}

#[test]
fn types_exist_have_sizes_and_ids() {
    let case = |kind, number| {
        let mut local = Types::new();
        let int = local.int;
        let root = local.structure("s", 4, &[("a", int, 0)]);
        let insns = mov(if kind == CoreKind::TypeIdLocal {
            root.0 as i32
        } else {
            number
        });
        Case {
            local,
            kind,
            root,
            access: "0",
            insns,
        }
    };
    let there = || target_struct(64, &[("other", 0)]);
    let gone = || Types::new().btf();
    becomes(case(CoreKind::TypeExists, 1).against(there()), mov(1));
    becomes(case(CoreKind::TypeExists, 1).against(gone()), mov(0));
    becomes(case(CoreKind::TypeSize, 4).against(there()), mov(64));
    becomes(case(CoreKind::TypeSize, 4).against(gone()), mov(0));
    becomes(case(CoreKind::TypeIdTarget, 77).against(there()), mov(4));
    becomes(case(CoreKind::TypeIdTarget, 77).against(gone()), mov(0));
    becomes(case(CoreKind::TypeIdLocal, 0).against(gone()), mov(4));
    becomes(case(CoreKind::TypeMatches, 1).against(there()), mov(0));
    becomes(
        case(CoreKind::TypeMatches, 1).against(target_struct(8, &[("a", 4)])),
        mov(0),
    );
    let mut same = Types::new();
    let int = same.int;
    same.structure("s", 8, &[("b", int, 0), ("a", int, 4)]);
    becomes(case(CoreKind::TypeMatches, 1).against(same.btf()), mov(1));
}

/// Whether `struct s { T m; }` of the object matches that of the target.
#[track_caller]
fn matches(
    local_member: fn(&mut Types) -> TypeId,
    target_member: fn(&mut Types) -> TypeId,
    expected: bool,
) {
    let make = |member: fn(&mut Types) -> TypeId| {
        let mut types = Types::new();
        let member = member(&mut types);
        let root = types.structure("s", 8, &[("m", member, 0)]);
        (types, root)
    };
    let (local, root) = make(local_member);
    let case = Case {
        local,
        kind: CoreKind::TypeMatches,
        root,
        access: "0",
        insns: mov(1),
    };
    becomes(
        case.against(make(target_member).0.btf()),
        mov(expected.into()),
    );
}

#[test]
fn types_match_by_rules_that_are_looser_behind_pointers() {
    matches(|types| types.int, |types| types.int, true);
    matches(|types| types.int, |types| types.uint, false);
    matches(|types| types.uint, |types| types.ulong, false);
    matches(
        |types| types.builder.typedef("t", types.int),
        |types| types.int,
        true,
    );
    // By value, members count; behind a pointer, the name and kind.
    fn inner(types: &mut Types) -> TypeId {
        let int = types.int;
        types.structure("inner", 8, &[("x", int, 0)])
    }
    fn other_inner(types: &mut Types) -> TypeId {
        let int = types.int;
        types.structure("inner", 8, &[("y", int, 0)])
    }
    matches(inner, other_inner, false);
    matches(
        |types| {
            let inner = inner(types);
            types.builder.pointer(inner)
        },
        |types| {
            let inner = other_inner(types);
            types.builder.pointer(inner)
        },
        true,
    );
    // A declaration stands for the struct behind a pointer, not for a union.
    fn declared(types: &mut Types, union: bool) -> TypeId {
        let declared = types.builder.add(NewType::Forward {
            name: "inner",
            union,
        });
        types.builder.pointer(declared)
    }
    fn defined(types: &mut Types) -> TypeId {
        let inner = inner(types);
        types.builder.pointer(inner)
    }
    matches(|types| declared(types, false), defined, true);
    matches(|types| declared(types, true), defined, false);
    matches(defined, |types| declared(types, false), true);
    // Arrays by length, prototypes by parameters, enumerations by names.
    fn array(types: &mut Types, len: u32) -> TypeId {
        types.builder.array(types.int, types.int, len)
    }
    matches(|types| array(types, 3), |types| array(types, 3), true);
    matches(|types| array(types, 3), |types| array(types, 4), false);
    fn callback(types: &mut Types, params: usize) -> TypeId {
        let params = vec![("p", types.int); params];
        let prototype = types.builder.prototype(types.int, &params);
        types.builder.pointer(prototype)
    }
    matches(|types| callback(types, 2), |types| callback(types, 2), true);
    matches(
        |types| callback(types, 2),
        |types| callback(types, 1),
        false,
    );
    matches(
        |types| types.builder.enumeration("e", &[("A", 1)]),
        |types| types.builder.enumeration("e", &[("B", 2), ("A", 9)]),
        true,
    );
    matches(
        |types| types.builder.enumeration("e", &[("A", 1)]),
        |types| types.builder.enumeration("e", &[("B", 1)]),
        false,
    );
}
