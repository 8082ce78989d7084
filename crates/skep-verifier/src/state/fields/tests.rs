//! Managed fields: where the kernel finds them, and what it does not take.

use skep_btf::{Btf, Builder, IntEncoding, NewMember, NewType, TypeId};

use super::*;

/// Types that fields are made of.
struct Types {
    builder: Builder,
    int: TypeId,
    lock: TypeId,
    head: TypeId,
    node: TypeId,
}

impl Types {
    fn new() -> Self {
        let mut builder = Builder::new();
        let int = builder.int("int", 4, IntEncoding::SIGNED);
        let lock = builder.structure("bpf_spin_lock", 4, &[NewMember::new("val", int, 0)]);
        let head = builder.structure("bpf_list_head", 16, &[]);
        let node = builder.structure("bpf_list_node", 24, &[]);
        Self {
            builder,
            int,
            lock,
            head,
            node,
        }
    }

    /// A pointer to a struct with a type tag.
    fn pointer(&mut self, tag: &str) -> TypeId {
        let target = self.builder.structure("task_struct", 8, &[]);
        let target = self.builder.add(NewType::TypeTag {
            name: tag,
            target,
            attribute: false,
        });
        self.builder.pointer(target)
    }

    fn fields(&self, of: TypeId) -> Fields {
        let btf = Btf::parse(self.builder.build().expect("types")).expect("BTF");
        Fields::of(&btf, of)
    }
}

fn places(fields: &Fields) -> Vec<u32> {
    fields.fields.iter().map(|field| field.offset).collect()
}

#[test]
fn nested_structures_and_arrays_are_looked_into() {
    let mut types = Types::new();
    let pointer = types.pointer("kptr");
    let pair = types.builder.array(pointer, types.int, 2);
    let inner = types.builder.structure(
        "inner",
        24,
        &[
            NewMember::new("x", types.int, 0),
            NewMember::new("pair", pair, 64),
        ],
    );
    let inners = types.builder.array(inner, types.int, 2);
    let value = types.builder.structure(
        "value",
        56,
        &[
            NewMember::new("lock", types.lock, 0),
            NewMember::new("inners", inners, 64),
        ],
    );
    let fields = types.fields(value);
    assert_eq!(fields.problem, None);
    assert_eq!(places(&fields), [0, 16, 24, 40, 48]);
    assert_eq!(fields.at(0).map(|field| field.size), Some(4));
    assert!(fields.overlapping(20, 1).is_some());
    assert!(fields.overlapping(32, 8).is_none());
}

#[test]
fn kinds_of_pointers_are_told_by_their_tags() {
    for (tag, expected) in [
        ("kptr", Some((false, false, false))),
        ("kptr_untrusted", Some((true, false, false))),
        ("percpu_kptr", Some((false, true, false))),
        ("uptr", Some((false, false, true))),
        ("user", None),
    ] {
        let mut types = Types::new();
        let pointer = types.pointer(tag);
        let member = [NewMember::new("pointer", pointer, 0)];
        let value = types.builder.structure("value", 8, &member);
        let fields = types.fields(value);
        let found = fields.fields.first().map(|field| match field.kind {
            FieldKind::KernelPointer {
                untrusted,
                percpu,
                user,
                ..
            } => (untrusted, percpu, user),
            _ => panic!("no pointer: {field:?}"),
        });
        assert_eq!(found, expected, "{tag}");
        assert_eq!(fields.problem.is_some(), expected.is_none(), "{tag}");
    }
}

#[test]
fn a_list_says_what_it_contains_and_has_a_lock() {
    for (tag, locked, fine) in [
        (Some("contains:object:node"), true, true),
        (Some("contains:object:node"), false, false),
        (Some("contains:object:other"), true, false),
        (Some("contains:nothing:node"), true, false),
        (None, true, false),
    ] {
        let mut types = Types::new();
        let object =
            types
                .builder
                .structure("object", 32, &[NewMember::new("node", types.node, 64)]);
        let mut members = vec![NewMember::new("head", types.head, 64)];
        if locked {
            members.insert(0, NewMember::new("lock", types.lock, 0));
        }
        let value = types.builder.structure("value", 24, &members);
        if let Some(name) = tag {
            types.builder.add(NewType::DeclTag {
                name,
                target: value,
                component: Some(u32::from(locked)),
                attribute: false,
            });
        }
        let fields = types.fields(value);
        assert_eq!(
            fields.problem.is_none(),
            fine,
            "{tag:?} {:?}",
            fields.problem
        );
        if fine {
            let head = fields.at(8).map(|field| field.kind.clone());
            assert_eq!(head, Some(FieldKind::ListHead { object, node: 8 }));
        }
    }
}

#[test]
fn one_lock_is_enough() {
    let mut types = Types::new();
    let members = [
        NewMember::new("first", types.lock, 0),
        NewMember::new("second", types.lock, 32),
    ];
    let value = types.builder.structure("value", 8, &members);
    assert!(types.fields(value).problem.is_some());
    // Of an array, too.
    let locks = types.builder.array(types.lock, types.int, 2);
    let value = types
        .builder
        .structure("values", 8, &[NewMember::new("locks", locks, 0)]);
    assert!(types.fields(value).problem.is_some());
}

#[test]
fn there_are_no_more_fields_than_the_kernel_keeps() {
    for (count, fine) in [(11, true), (12, false)] {
        let mut types = Types::new();
        let pointer = types.pointer("kptr");
        let all = types.builder.array(pointer, types.int, count);
        let value = types
            .builder
            .structure("value", count * 8, &[NewMember::new("all", all, 0)]);
        assert_eq!(types.fields(value).problem.is_none(), fine, "{count}");
    }
}

/// Each structure has 64 of the one before: more than the universe has atoms.
#[test]
fn types_without_end_are_given_up() {
    let mut types = Types::new();
    let mut of = types.builder.structure("empty", 0, &[]);
    for _ in 0..20 {
        let members = [NewMember::new("one", of, 0); 64];
        of = types.builder.structure("more", 0, &members);
    }
    assert!(types.fields(of).problem.is_some());
}
