//! What is said of objects that contradict each other: the files, the places in them, the remedy.

use skep_object::{Error, Object, StaticLinker};

use super::{common, compile_texts, link, link_all};

/// The error of linking these texts, by each compiler.
#[track_caller]
fn refused(texts: &[&str], expect: &[&str]) {
    for clang in common::clangs() {
        let objects = compile_texts(clang, texts);
        let error = link_all(&objects).expect_err("they contradict each other");
        let text = error.to_string();
        for part in expect {
            assert!(text.contains(part), "{clang}: no {part:?} in: {text}");
        }
    }
}

#[track_caller]
fn taken(texts: &[&str]) {
    for clang in common::clangs() {
        let linked = link_all(&compile_texts(clang, texts));
        linked.unwrap_or_else(|error| panic!("{clang}: {error}"));
    }
}

const MAP: &str = "struct { __uint(type, MAP_ARRAY); __uint(max_entries, 4); __type(key, u32);
    __type(value, u64); } m";
const DECLARED: &str = "__attribute__((section(\".maps\")))";
const USES_MAP: &str = "SEC(\"socket\") int p(void *c) { int k = 0; return !map_lookup(&m, &k); }";

#[test]
fn nothing_to_link() {
    assert!(matches!(
        StaticLinker::new().finish(),
        Err(Error::NothingToLink)
    ));
}

#[test]
fn what_is_no_object_is_named() {
    let mut linker = StaticLinker::new();
    let error = linker.add("notes.txt", b"no ELF").unwrap_err().to_string();
    assert_eq!(
        error,
        "notes.txt: not a BPF object: no ELF file (it does not start with 7f 45 4c 46)"
    );
}

#[test]
fn byte_orders_must_agree() {
    let Some(clang) = common::clangs().pop() else {
        return;
    };
    let objects =
        ["bpfel", "bpfeb"].map(|target| common::compile(clang, "kinds", &["-target", target]));
    let error = link([("a.o", objects[0].as_slice()), ("b.o", &objects[1])]).unwrap_err();
    assert!(
        matches!(&error, Error::Inputs { first, second, .. } if first == "a.o" && second == "b.o")
    );
    assert!(
        error
            .to_string()
            .contains("compile both with -target bpfel"),
        "{error}"
    );
}

#[test]
fn strong_names_are_defined_once() {
    refused(
        &[
            "NOINLINE int f(int x) { return x; }",
            "\nNOINLINE int f(int x) { return -x; }",
        ],
        &[
            "`f` is defined in a.o (",
            "a.bpf.c:2) and in b.o (",
            "b.bpf.c:3): rename one, or make it `static`",
        ],
    );
    refused(
        &["u64 a; int v = 2;", "int v = 1;"],
        &["`v` is defined in a.o (.data+0x0) and in b.o (.data+0x0)"],
    );
    refused(
        &["int v = 2;", "NOINLINE int v(void) { return 1; }"],
        &["`v` is defined in a.o"],
    );
    refused(
        &["int v HIDDEN = 2;", "int v HIDDEN = 2;"],
        &["`v` is defined in a.o"],
    );
    taken(&["int v WEAK = 2;", "int v = 1;"]);
    taken(&[
        "static int v = 2; int *a(void) { return &v; }",
        "int v = 1;",
    ]);
}

#[test]
fn functions_agree_by_their_prototypes() {
    let calls = "extern int f(int x, long y); SEC(\"socket\") int p(void *c) { return f(1, 2); }";
    refused(
        &[calls, "NOINLINE int f(int x, int y) { return x + y; }"],
        &[
            "`f` is not the same in b.o (",
            "b.bpf.c:2) and in a.o: parameter 2: `int` in the first, `long",
        ],
    );
    refused(
        &[calls, "NOINLINE int f(int x) { return x; }"],
        &[
            "and in a.o: the number of parameters is 1 in the first, 2 in the second; let both include",
        ],
    );
    refused(
        &[calls, "NOINLINE long f(int x, long y) { return x; }"],
        &[
            "what it returns: `long",
            "` in the first, `int` in the second",
        ],
    );
    refused(
        &[calls, "int f = 1;"],
        &["`int f;` in the first, `int f(int, long", ")"],
    );
    taken(&[
        calls,
        "typedef int number; NOINLINE number f(const number y, volatile s64 x) { return x; }",
    ]);
    let weak = |kind: &str| format!("WEAK NOINLINE int f({kind} x) {{ return x; }}");
    refused(
        &[&weak("long"), &weak("char")],
        &["in a.o (", "parameter 1: `long", "`char` in the second"],
    );
}

#[test]
fn structures_agree_by_their_members_but_not_behind_pointers() {
    let user = |members: &str| {
        format!(
            "struct s {{ {members} }}; extern struct s v;
        SEC(\"socket\") int p(void *c) {{ return v.a; }}"
        )
    };
    let owner = "struct s { int a; struct { long b; }; }; struct s v = { 1, { 2 } };";
    taken(&[&user("int a; struct { long b; };"), owner]);
    refused(
        &[&user("int a; int b;"), owner],
        &["`struct s` has 16 bytes in the first, 8 in the second"],
    );
    refused(
        &[&user("int a; long b;"), owner],
        &["`struct s` has `` at bit 64 in the first, `b` at bit 64"],
    );
    refused(
        &[&user("int a; struct { u64 b; };"), owner],
        &[
            "member `` of `struct s`: member `b` of",
            "`long` in the first, `unsigned long",
        ],
    );
    let calls =
        "struct s; extern int f(struct s *s); SEC(\"socket\") int p(void *c) { return f(c); }";
    taken(&[
        calls,
        "struct s { int a; }; NOINLINE int f(struct s *s) { return s ? s->a : 0; }",
    ]);
    refused(
        &[
            calls,
            "struct t { int a; }; NOINLINE int f(struct t *s) { return s ? s->a : 0; }",
        ],
        &["parameter 1: what it points to: `struct t` in the first, `struct s` in the second"],
    );
}

#[test]
fn arrays_agree_where_both_say_their_length() {
    let user = |len: &str| {
        format!("extern int v[{len}]; SEC(\"socket\") int p(void *c) {{ return v[1]; }}")
    };
    taken(&[&user(""), "int v[8] = { 1 };"]);
    refused(
        &[&user("4"), "int v[8] = { 1 };"],
        &["`int[8]` in the first, `int[4]` in the second"],
    );
}

#[test]
fn maps_agree_by_all_that_defines_them() {
    let user = format!("extern {MAP} {DECLARED}; {USES_MAP}");
    let refused = |changed: &str, to: &str, expect: &str| {
        let owner = format!("{} SEC(\".maps\");", MAP.replace(changed, to));
        refused(
            &[&user, &owner],
            &[
                "`m` is not the same in b.o (.maps+0x0) and in a.o: ",
                expect,
            ],
        );
    };
    refused(
        "max_entries, 4",
        "max_entries, 5",
        "its max_entries is 5 in the first, 4 in the second",
    );
    refused(
        "MAP_ARRAY",
        "MAP_HASH",
        "its type is hash in the first, array in the second",
    );
    refused(
        "value, u64",
        "value, s64",
        "its value: `long long` in the first, `unsigned long long`",
    );
    refused(
        "key, u32",
        "key, u64",
        "its key's size is 8 in the first, 4 in the second",
    );
    refused(
        "__type(value",
        "__uint(map_flags, 1); __type(value",
        "its map_flags is 1 in the first",
    );
    refused(
        "__type(value",
        "__uint(pinning, 1); __type(value",
        "its pinning is by name in the first",
    );
    refused(
        "__type(key, u32)",
        "__uint(key_size, 4)",
        "its key is given by its size alone in the first, given by its type in the second",
    );
    let owner = format!("{} SEC(\".maps\");", MAP.replace("u64", "unsigned long"));
    taken(&[&user, &owner]);
    super::errors::refused(
        &[&user, "int m = 1;"],
        &["a function or variable of an object in the first, a map (SEC(\".maps\")) in the second"],
    );
}

#[test]
fn what_the_kernel_provides_is_asked_for_in_one_way() {
    let user = |section: &str, name: &str| {
        format!("extern int v {section}; SEC(\"socket\") int {name}(void *c) {{ return v; }}")
    };
    refused(
        &[&user("KCONFIG", "p"), &user("KSYM", "q")],
        &["(__kconfig) in the first, a symbol of the kernel (__ksym) in the second"],
    );
    refused(
        &[&user("KCONFIG", "p"), "int v = 3;"],
        &["(__kconfig) in the second"],
    );
    taken(&[&user("KSYM", "p"), "int v = 3;"]);
    taken(&[&user("KSYM", "p"), &user("KSYM WEAK", "q")]);
}

#[test]
fn licences_and_versions_say_the_same() {
    let license = |text: &str| format!("char license_[] SEC(\"license\") = \"{text}\";");
    refused(
        &[&license("GPL"), &license("MIT")],
        &[
            "a.o and b.o can't be linked: section `license` is \"GPL\" in the first and \"MIT\" in the second",
        ],
    );
    taken(&[&license("GPL"), "char other[8] SEC(\"license\") = \"GPL\";"]);
    taken(&[&license("GPL"), "int none;"]);
    let version = |number: u32| format!("u32 version_ SEC(\"version\") = {number};");
    refused(&[&version(1), &version(2)], &["section `version` is"]);
    taken(&[&version(1), &version(1)]);
}

#[test]
fn sections_hold_one_kind_of_thing() {
    refused(
        &[
            "int a SEC(\"mine\") = 1;",
            "SEC(\"mine\") int b(void *c) { return 1; }",
        ],
        &[
            "a.o and b.o can't be linked: section `mine` holds data in the first and code in the second",
        ],
    );
}

#[test]
fn what_other_objects_define_is_looked_for_there() {
    let Some(clang) = common::clangs().pop() else {
        return;
    };
    let user = format!("extern {MAP} {DECLARED}; {USES_MAP}");
    let alone = compile_texts(clang, &[&user]);
    let linked = link_all(&alone).unwrap();
    let error = Object::parse(&linked).unwrap_err().to_string();
    assert!(
        error.contains("if another object defines it, `skep link` makes one of both"),
        "{error}"
    );
    // It may come later.
    let owner = format!("{MAP} SEC(\".maps\");");
    let owner = compile_texts(clang, &[&owner]);
    let both = link([("user.o", linked.as_slice()), ("owner.o", &owner[0].1)]).unwrap();
    assert_eq!(Object::parse(&both).unwrap().maps().len(), 1);
}
