//! What holds of every link: the same bytes each time, in whatever steps; and what becomes of names,
//! tags, sections and calls that compilers seldom make.

use skep_btf::{Kind, KindTag};
use skep_object::{Contents, Linkage, Object, ReferenceKind, SlotValue};

use super::{common, compile, compile_texts, link, link_all};

/// The pairs of `c`, by each compiler.
fn pairs(mut check: impl FnMut(&str, &[u8], &[u8])) {
    for clang in common::clangs() {
        let folder = tempfile::tempdir().unwrap();
        for [one, two] in [
            ["one", "two"],
            ["ops_one", "ops_two"],
            ["core_one", "core_two"],
        ] {
            let read = |name| std::fs::read(compile(folder.path(), clang, name, &[])).unwrap();
            check(&format!("{one} by {clang}"), &read(one), &read(two));
        }
    }
}

#[test]
fn a_result_is_the_same_each_time_and_linked_again() {
    pairs(|name, one, two| {
        let first = link([("one.o", one), ("two.o", two)]).unwrap();
        assert_eq!(first, link([("1", one), ("2", two)]).unwrap(), "{name}");
        assert_eq!(
            first,
            link([("linked.o", first.as_slice())]).unwrap(),
            "{name}"
        );
    });
}

#[test]
fn files_may_be_linked_in_steps() {
    for clang in common::clangs() {
        let call = |name: &str, next: &str| {
            format!(
                "static NOINLINE int own(int x) {{ return x + 1; }} extern int {next}(int x);
                struct pair {{ int a, b; }}; struct pair {name}_data = {{ 1, 2 }};
                NOINLINE int {name}(int x) {{ return own({next}(x)) + {name}_data.b; }}"
            )
        };
        let last = "NOINLINE int last(int x) { return x; } WEAK int a_data_ = 3;
            SEC(\"socket\") int p(void *c) { return a(1); }";
        let last = format!("extern int a(int x); {last}");
        let objects = compile_texts(clang, &[&call("a", "b"), &call("b", "last"), &last]);
        let [a, b, c] = [0, 1, 2].map(|index| objects[index].1.as_slice());
        let at_once = link([("a", a), ("b", b), ("c", c)]).unwrap();
        let ab = link([("a", a), ("b", b)]).unwrap();
        let bc = link([("b", b), ("c", c)]).unwrap();
        assert_eq!(
            at_once,
            link([("ab", ab.as_slice()), ("c", c)]).unwrap(),
            "{clang}"
        );
        // Names come in another order then, and mean the same.
        let (left, right) = (
            Object::parse(&at_once).unwrap(),
            Object::parse(&link([("a", a), ("bc", bc.as_slice())]).unwrap()).unwrap(),
        );
        assert_eq!(left.programs(), right.programs());
        let code = |object: &Object| {
            let functions = object.functions().iter();
            functions
                .map(|function| {
                    (
                        function.name.clone(),
                        function.instructions.clone(),
                        function.references.clone(),
                    )
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(code(&left), code(&right));
        assert_eq!(left.program("p").unwrap().subprograms.len(), 5);
    }
}

#[test]
fn compilers_may_differ() {
    let [old, new] = common::clangs()[..] else {
        skep_testing::lacks("clang and clang-19");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let read = |clang, name| std::fs::read(compile(folder.path(), clang, name, &[])).unwrap();
    let linked = link([
        ("one.o", read(old, "one").as_slice()),
        ("two.o", &read(new, "two")),
    ])
    .unwrap();
    assert_eq!(Object::parse(&linked).unwrap().programs().len(), 3);
}

#[test]
fn names_become_what_their_definitions_are() {
    for clang in common::clangs() {
        let folder = tempfile::tempdir().unwrap();
        let read = |name| std::fs::read(compile(folder.path(), clang, name, &[])).unwrap();
        let linked = link([("one.o", read("one").as_slice()), ("two.o", &read("two"))]).unwrap();
        let object = Object::parse(&linked).unwrap();
        let linkage = |name: &str| {
            let mut found = object
                .functions()
                .iter()
                .filter(|function| function.name == name);
            let linkage = found.next().unwrap().linkage;
            (linkage, 1 + found.count())
        };
        assert_eq!(linkage("twice"), (Linkage::Static, 2));
        assert_eq!(linkage("chosen"), (Linkage::Global, 1));
        assert_eq!(linkage("first_of_weak"), (Linkage::Weak, 1));
        assert_eq!(linkage("hidden_here"), (Linkage::Hidden, 1));
        let value = |name: &str| {
            let variable = object.variable(name).unwrap();
            object.initial_value(variable).unwrap()[0]
        };
        assert_eq!(
            (value("contested"), value("settled"), value("start")),
            (100, 2, 5)
        );
        let own: Vec<_> = object
            .variables()
            .iter()
            .filter(|variable| variable.name == "own")
            .map(|variable| object.initial_value(variable).unwrap()[0])
            .collect();
        assert_eq!(own, [11, 22]);
        let externs: Vec<_> = object
            .externs()
            .iter()
            .map(|one| one.name.as_str())
            .collect();
        assert_eq!(
            externs
                .iter()
                .filter(|name| **name == "LINUX_KERNEL_VERSION")
                .count(),
            1
        );
        assert_eq!(externs.len(), 6, "{externs:?}");

        // Each name is in the types once, as what it is: kernels refuse externs.
        let btf = object.btf().unwrap();
        for name in ["chosen", "add_all", "pid_of", "hidden_here"] {
            let found: Vec<_> = btf.find_by_name(name).collect();
            let [id] = found[..] else {
                panic!("{name}: {found:?}")
            };
            let Kind::Function(function) = btf.type_by_id(id).unwrap().kind() else {
                panic!()
            };
            assert_eq!(
                function.linkage,
                skep_btf::FunctionLinkage::Global,
                "{name}"
            );
        }
        for name in [
            "results",
            "totals",
            "either",
            "start",
            "contested",
            "LINUX_KERNEL_VERSION",
        ] {
            assert_eq!(btf.find_by_name(name).count(), 1, "{name}");
        }
        assert_eq!(
            object.decl_tags_of_variable("unused_tag_holder"),
            ["from one"]
        );
        let pid_of = btf.find("pid_of", KindTag::Function).unwrap();
        let tags: Vec<_> = btf.decl_tags(pid_of, Some(0)).collect();
        assert_eq!(tags, ["a task"]);
        for name in [
            ".maps",
            ".data",
            ".bss",
            ".rodata",
            ".data.mine",
            ".kconfig",
            ".ksyms",
            "license",
        ] {
            assert_eq!(btf.find_by_name(name).count(), 1, "{name}");
        }
    }
}

#[test]
fn what_a_declaration_is_tagged_with_its_definition_is() {
    for clang in common::clangs() {
        let objects = compile_texts(
            clang,
            &[
                "extern int f(int x) TAG(\"declared\"); SEC(\"socket\") int p(void *c) { return f(1); }",
                "NOINLINE TAG(\"defined\") int f(int x) { return x; }",
            ],
        );
        let object = Object::parse(&link_all(&objects).unwrap()).unwrap();
        let btf = object.btf().unwrap();
        let f = btf.find("f", KindTag::Function).unwrap();
        let tags: Vec<_> = btf.decl_tags(f, None).collect();
        assert!(tags.contains(&"defined"), "{tags:?}");
        // clang 14 has no tags of mere declarations.
        assert!(
            tags.len() == 1 || tags == ["declared", "defined"],
            "{tags:?}"
        );
    }
}

#[test]
fn slots_refer_to_what_other_files_define() {
    for clang in common::clangs() {
        let inner =
            "struct inner { __uint(type, MAP_ARRAY); __uint(max_entries, 1); __type(key, u32);
            __type(value, u32); };";
        let objects = compile_texts(
            clang,
            &[
                &format!("{inner} struct inner before SEC(\".maps\"); int a(void *c);
                    SEC(\"socket\") int unrelated(void *c) {{ return 0; }}"),
                &format!("{inner} extern struct inner before __attribute__((section(\".maps\")));
                    struct inner own SEC(\".maps\");
                    SEC(\"socket\") int p(void *c) {{ return 1; }}
                    struct {{ __uint(type, MAP_ARRAY_OF_MAPS); __uint(max_entries, 4); __type(key, u32);
                        __array(values, struct inner); }}
                    outer SEC(\".maps\") = {{ .values = {{ [1] = &own, [2] = (void *)&before }} }};
                    struct {{ __uint(type, MAP_PROG_ARRAY); __uint(max_entries, 4); __type(key, u32);
                        __array(values, int (void *)); }}
                    programs SEC(\".maps\") = {{ .values = {{ [3] = (void *)&p }} }};"),
            ],
        );
        let object = Object::parse(&link_all(&objects).unwrap()).unwrap();
        let slots = |name: &str| match &object.map(name).unwrap().contents {
            Contents::Slots(slots) => slots
                .iter()
                .map(|slot| (slot.key, slot.value))
                .collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        };
        let map = |name: &str| SlotValue::Map(object.map_index(name).unwrap());
        assert_eq!(slots("outer"), [(1, map("own")), (2, map("before"))]);
        let [(3, SlotValue::Program(program))] = slots("programs")[..] else {
            panic!()
        };
        assert_eq!(object.program_at(program).unwrap().name, "p");
    }
}

/// Assembly has references that compilers don't make: by a section's symbol, from data, and calls
/// without a relocation.
#[test]
fn references_by_sections_move_along() {
    let Some(clang) = common::clangs().pop() else {
        return;
    };
    let text = |value: u32| {
        format!(
            "__asm__(\".section socket,\\\"ax\\\",@progbits\\n .globl p{value}\\n .type p{value},@function\\n\"
            \"p{value}: r1 = own ll\\n r2 = .data + 8 ll\\n call helper\\n call static_helper\\n exit\\n\"
            \" .size p{value}, . - p{value}\\n\"
            \" .type helper,@function\\nhelper: r0 = {value}\\n exit\\n .size helper, . - helper\\n\"
            \".text\\n .type static_helper,@function\\n\"
            \"static_helper: r0 = {value}\\n exit\\n .size static_helper, . - static_helper\\n\"
            \".data\\n .p2align 3\\n .type own,@object\\n own: .quad 1\\n .size own, 8\\n\"
            \" .quad .data + 8\\n .long .data + 4\\n .long {value}\\n\");"
        )
    };
    let objects = compile_texts(clang, &[&text(7), &text(9)]);
    let linked = link_all(&objects).unwrap();
    let object = Object::parse(&linked).unwrap();
    for (value, offset) in [(7, 0), (9, 24)] {
        let program = object.program(&format!("p{value}")).unwrap();
        let function = object.function(program.function).unwrap();
        let mut called = Vec::new();
        let mut data = Vec::new();
        for reference in &function.references {
            match reference.kind {
                ReferenceKind::Call(callee) => {
                    let callee = object.function(callee).unwrap();
                    called.push((callee.name.as_str(), callee.instructions[0].imm));
                }
                ReferenceKind::MapValue { offset, .. } => data.push(offset),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(called, [("helper", value), ("static_helper", value)]);
        assert_eq!(data, [offset, offset + 8]);
    }
    let data = object.map("object.data").unwrap().contents.bytes().unwrap();
    let word = |at: usize| u32::from_le_bytes(data[at..at + 4].try_into().unwrap());
    assert_eq!([word(8), word(16), word(20)], [8, 4, 7]);
    assert_eq!(
        [word(24 + 8), word(24 + 16), word(24 + 20)],
        [24 + 8, 24 + 4, 9]
    );
}

/// The entries of jump tables count from their section's start. No compiler here makes such.
#[test]
fn jump_tables_move_with_their_code() {
    let Some(clang) = common::clangs().pop() else {
        return;
    };
    let text = |name: &str| {
        format!(
            "__asm__(\".section socket,\\\"ax\\\",@progbits\\n .globl {name}\\n .type {name},@function\\n\"
            \"{name}: r1 = table_{name} ll\\n r0 = 1\\n r0 = 2\\n exit\\n .size {name}, . - {name}\\n\"
            \".section .jumptables,\\\"\\\",@progbits\\n .globl table_{name}\\n .type table_{name},@object\\n\"
            \"table_{name}: .quad 16\\n .quad 24\\n .size table_{name}, 16\\n\");"
        )
    };
    let linked = link_all(&compile_texts(clang, &[&text("p"), &text("q")])).unwrap();
    let object = Object::parse(&linked).unwrap();
    let targets: Vec<_> = object
        .jump_tables()
        .iter()
        .map(|table| table.targets.clone())
        .collect();
    assert_eq!(targets, [[2, 3], [5 + 2, 5 + 3]]);
}

#[test]
fn objects_without_types_are_linked_too() {
    let Some(clang) = common::clangs().pop() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let compile = |name: &str, text: &str, flag: &str| {
        let text = format!("#include \"test.h\"\n{text}");
        let path = common::compile_in(folder.path(), clang, name, Some(&text), &[flag]);
        std::fs::read(path).unwrap()
    };
    const USER: &str = "extern int f(int x); SEC(\"socket\") int p(void *c) { return f(1); }";
    const OWNER: &str = "NOINLINE int f(int x) { return x + 1; }";
    let user = compile("user", USER, "-g0");
    let owner = compile("owner", OWNER, "-g");
    for objects in [[("a", &user), ("b", &owner)], [("b", &owner), ("a", &user)]] {
        let linked = link(objects.map(|(name, bytes)| (name, bytes.as_slice()))).unwrap();
        let object = Object::parse(&linked).unwrap();
        assert_eq!(object.program("p").unwrap().subprograms.len(), 1);
        let f = object
            .functions()
            .iter()
            .find(|function| function.name == "f")
            .unwrap();
        assert!(f.type_id.is_some() && !f.lines.is_empty());
    }
    // What has no type where it is defined is no extern for that.
    let user = compile("user", USER, "-g");
    let owner = compile("owner", OWNER, "-g0");
    let linked = link([("a", user.as_slice()), ("b", &owner)]).unwrap();
    let object = Object::parse(&linked).unwrap();
    assert_eq!(object.program("p").unwrap().subprograms.len(), 1);
    assert_eq!(object.btf().unwrap().find_by_name("f").count(), 0);
}
