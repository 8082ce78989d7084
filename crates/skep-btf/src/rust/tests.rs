//! Small types, and what is written of them.

use crate::{Btf, Builder, IntEncoding, NewMember, NewType, TypeId, rust_module};

/// The declarations without what stands before them.
fn declared(types: &Builder, roots: Option<&[TypeId]>) -> String {
    let btf = Btf::parse(types.build().unwrap()).unwrap();
    let mut text = String::new();
    rust_module(&btf, roots, &mut text).unwrap();
    text.split_once("kernel;\n\n").unwrap().1.to_owned()
}

#[test]
fn all_kinds_of_fields() {
    let mut types = Builder::new();
    let int = types.int("int", 4, IntEncoding::SIGNED);
    let char = types.int("char", 1, IntEncoding::SIGNED);
    let bool = types.int("_Bool", 1, IntEncoding::BOOL);
    let index = types.int("__ARRAY_SIZE_TYPE__", 4, IntEncoding::UNSIGNED);
    let name = types.array(char, index, 16);
    let rows = types.array(name, index, 2);
    let void = types.pointer(TypeId::VOID);
    let mm = types.structure("mm_struct", 4, &[NewMember::new("users", int, 0)]);
    let mm_const = types.add(NewType::Const { target: mm });
    let mm_pointer = types.pointer(mm_const);
    let counter = types.structure("", 4, &[NewMember::new("counter", int, 0)]);
    let atomic = types.typedef("atomic_t", counter);
    let inner = types.union(
        "",
        4,
        &[
            NewMember::new("rcu", int, 0),
            NewMember::new("type", int, 0),
        ],
    );
    let own = types.structure("", 4, &[NewMember::new("self", int, 0)]);
    let handler = types.prototype(int, &[("", int)]);
    let handler = types.pointer(handler);
    let state = types.enumeration("state", &[("IDLE", 0), ("BUSY", 5)]);
    let task = types.structure(
        "task_struct",
        128,
        &[
            NewMember::new("pid", int, 0),
            NewMember {
                bitfield_size: 3,
                ..NewMember::new("mode", int, 32)
            },
            NewMember::new("comm", name, 64),
            NewMember::new("rows", rows, 192),
            NewMember::new("dead", bool, 448),
            NewMember::new("data", void, 512),
            NewMember::new("mm", mm_pointer, 576),
            NewMember::new("usage", atomic, 640),
            NewMember::new("", inner, 672),
            NewMember::new("own", own, 704),
            NewMember::new("handler", handler, 768),
            NewMember::new("state", state, 832),
        ],
    );
    let text = declared(&types, Some(&[task]));
    assert_eq!(
        text,
        "#[kernel]
pub struct task_struct {
    pid: i32,
    #[bits]
    mode: i32,
    comm: [u8; 16],
    rows: [[u8; 16]; 2],
    dead: bool,
    data: *mut c_void,
    mm: *const mm_struct,
    usage: atomic_t,
    rcu: i32,
    r#type: i32,
    own: task_struct_own,
    handler: *mut c_void,
    state: state,
}

#[kernel(typedef)]
pub struct atomic_t {
    counter: i32,
}

#[kernel]
pub struct task_struct_own {
    #[name = \"self\"]
    self_: i32,
}

#[kernel]
pub enum state {
    IDLE = 0,
    BUSY = 5,
}

#[kernel]
pub struct mm_struct {}
"
    );
    let text = declared(&types, None);
    assert!(
        text.contains("pub struct mm_struct {\n    users: i32,\n}"),
        "{text}"
    );
}

#[test]
fn one_name_for_each() {
    let mut types = Builder::new();
    let int = types.int("int", 4, IntEncoding::SIGNED);
    types.structure("thing", 4, &[NewMember::new("a", int, 0)]);
    types.union("thing", 4, &[NewMember::new("b", int, 0)]);
    types.structure("u8", 4, &[]);
    types.structure("move", 4, &[]);
    types.add(NewType::Forward {
        name: "thing",
        union: false,
    });
    types.add(NewType::Forward {
        name: "elsewhere",
        union: true,
    });
    types.enumeration("", &[("ONE", 1), ("fn", 2)]);
    let text = declared(&types, None);
    for part in [
        "pub struct thing {\n    a: i32,\n}",
        "pub union thing___2 {\n    b: i32,\n}",
        "pub struct u8___2 {}",
        "pub struct r#move {}",
        "pub union elsewhere {}",
        "pub const ONE: u32 = 1;",
        "pub const r#fn: u32 = 2;",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(text.matches("thing {").count(), 1, "{text}");
}

#[test]
fn types_without_end_are_refused() {
    let mut types = Builder::new();
    let id = types.next_id();
    types.structure("", 4, &[NewMember::new("", id, 0)]);
    types.structure("outer", 4, &[NewMember::new("", id, 0)]);
    let btf = Btf::parse(types.build().unwrap());
    // Wherever it is noticed.
    let refused = btf.and_then(|btf| rust_module(&btf, None, &mut String::new()));
    assert!(refused.is_err());
}
