//! Deduplication of what clang makes of several files, beside what `bpftool gen object` (libbpf)
//! leaves of it; and of this kernel's BTF, which was deduplicated when it was made.

mod common;

use common::{btf_section, compile, installed, kernel_btf};
use skep_btf::{Btf, Builder, KindTag, c_header, dedup};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the files share: cycles, anonymous types, function pointers, enumerations, arrays.
const SHARED: &str = r#"
typedef unsigned int u32;
typedef unsigned long long u64;
enum state { IDLE, BUSY = 5, GONE = -1 };
struct list { struct list *next, **previous; };
typedef int (*compare_t)(const struct list *, const struct list *, void *);
struct tree {
    struct tree *left, *right;
    struct list items;
    union { u32 number; struct { unsigned short low, high; }; } value;
    enum state state : 3;
    u32 flags : 5;
    compare_t compare;
    const volatile char name[16];
    struct owner *owner;
};
"#;

/// The files: what one only declares, another defines.
const FILES: [&str; 3] = [
    r#"
struct owner;
struct only_declared;
struct event { u64 time; struct tree tree; struct only_declared *more; };
static u32 count;
__attribute__((noinline)) static int length(struct list *list) { return list->next != 0; }
__attribute__((section("xdp"))) int first(struct event *event)
{
    struct owner *owner = event->tree.owner;
    count++;
    return length(&event->tree.items) + (owner != 0) + count;
}
"#,
    r#"
struct owner { u32 id; struct tree *trees[4]; struct group *group; };
static u32 count;
__attribute__((noinline)) static int length(struct list *list) { return list->next == list; }
__attribute__((section("xdp"))) int second(struct owner *owner)
{
    count += 2;
    return length(&owner->trees[0]->items) + owner->id + count;
}
"#,
    r#"
struct group { struct owner **owners; u64 size; enum state state; };
struct other { struct tree *tree; long long wide; };
__attribute__((section("xdp"))) int third(struct group *group)
{
    return (group->owners[0] != 0) + group->size + group->state;
}
__attribute__((section("xdp"))) int fourth(struct other *other)
{
    return other->tree->flags + other->wide;
}
"#,
];

fn objects(clang: &str, dir: &Path) -> Vec<PathBuf> {
    let compile = |(index, file): (usize, &&str)| {
        let source = format!("struct owner; struct group;\n{SHARED}{file}");
        let made = compile(clang, &source, &["-target", "bpfel"], dir);
        let object = dir.join(format!("{index}.o"));
        std::fs::rename(made, &object).unwrap();
        object
    };
    FILES.iter().enumerate().map(compile).collect()
}

fn btf_of(object: &Path) -> Btf {
    let object = std::fs::read(object).unwrap();
    Btf::parse(btf_section(&object).unwrap().to_vec()).unwrap()
}

fn appended<'a>(all: impl IntoIterator<Item = &'a Btf>) -> Btf {
    let mut builder = Builder::new();
    for one in all {
        builder.append(one).unwrap();
    }
    Btf::parse(builder.build().unwrap()).unwrap()
}

/// How many types there are of each kind. Data sections are left out: a linker makes one of those
/// of one name, deduplication does not.
fn kinds(btf: &Btf) -> BTreeMap<KindTag, usize> {
    let mut kinds = BTreeMap::new();
    for tag in btf.types().filter_map(|one| one.tag()) {
        *kinds.entry(tag).or_default() += usize::from(tag != KindTag::DataSection);
    }
    kinds
}

/// The definitions of the header, without declarations.
fn definitions(btf: &Btf) -> BTreeSet<String> {
    let mut header = String::new();
    c_header(btf, None, &mut header).unwrap();
    let parts = header.split("\n\n").filter(|part| part.contains('\n'));
    parts.map(str::to_owned).collect()
}

#[test]
fn as_few_types_are_left_as_a_linker_leaves() {
    let linker = installed(&["bpftool"]);
    for clang in installed(&["clang-14", "clang-19", "clang"]) {
        let dir = tempfile::tempdir().unwrap();
        let objects = objects(&clang, dir.path());
        let before: Vec<Btf> = objects.iter().map(|object| btf_of(object)).collect();
        let all = appended(&before);
        let after = dedup(&all).unwrap().btf;

        let mut expected = BTreeSet::new();
        for one in &before {
            expected.extend(definitions(one));
        }
        assert_eq!(definitions(&after), expected, "{clang}");
        assert!(after.type_count() < all.type_count() * 2 / 3);
        assert!(after.find("owner", KindTag::Forward).is_none());
        assert!(after.find("only_declared", KindTag::Forward).is_some());

        for bpftool in &linker {
            let linked = dir.path().join("linked.o");
            let run = Command::new(bpftool)
                .args(["gen", "object"])
                .arg(&linked)
                .args(&objects)
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&run.stderr);
            assert!(run.status.success(), "{clang}: {said}");
            // Before libbpf 1.2, declarations that nothing else told to be a definition stayed,
            // and with each the pointer to it.
            let theirs = btf_of(&linked);
            let mut left = kinds(&theirs);
            let ours = kinds(&after);
            let declared = left[&KindTag::Forward] - ours[&KindTag::Forward];
            *left.get_mut(&KindTag::Forward).unwrap() -= declared;
            *left.get_mut(&KindTag::Pointer).unwrap() -= declared;
            assert_eq!(ours, left, "{clang}");
            assert_eq!(ours, kinds(&dedup(&theirs).unwrap().btf), "{clang}");
        }
    }
}

#[test]
fn the_kernels_types_are_distinct_already() {
    let Some(bytes) = kernel_btf() else { return };
    let kernel = Btf::parse(bytes).unwrap();
    let once = dedup(&kernel).unwrap();
    let (left, all) = (once.btf.type_count(), kernel.type_count());
    println!("{left} of {all} types of the kernel are left");
    assert!(left > all - all / 100, "{left} of {all} types are left");

    // Twice the kernel is the kernel, but for variables: each has a place of its own.
    let twice = dedup(&appended([&kernel, &kernel])).unwrap();
    let mut expected = kinds(&once.btf);
    *expected.get_mut(&KindTag::Variable).unwrap() *= 2;
    assert_eq!(kinds(&twice.btf), expected);
    let unchanged = dedup(&once.btf).unwrap();
    assert_eq!(unchanged.btf.bytes(), once.btf.bytes());
}
