//! Objects that must be refused, and what is said of them.

mod common;

use skep_abi::KernelVersion;
use skep_btf::{Btf, Builder};
use skep_object::{Error, LinkOptions, Object, Target};

/// Checks the error of a text, with each compiler.
#[track_caller]
fn refused(text: &str, expected: &str) {
    refused_with(text, &[], expected);
}

#[track_caller]
fn refused_with(text: &str, flags: &[&str], expected: &str) {
    for clang in common::clangs() {
        let error = common::parse_error(clang, text, flags);
        assert!(error.contains(expected), "{clang}: {error}");
    }
}

/// Checks the error of linking a text for a kernel without any types.
#[track_caller]
fn not_linked(text: &str, expected: &str) {
    for clang in common::clangs() {
        let object = Object::parse(&common::compile_text(clang, text, &[])).unwrap();
        let btf = Btf::parse(Builder::new().build().unwrap()).unwrap();
        let target = Target::new(KernelVersion::new(6, 18)).with_kernel_btf(btf.into());
        let error = object
            .link(&LinkOptions::new(), &target)
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{clang}: {error}");
    }
}

#[test]
fn an_unknown_section_is_named_with_its_program() {
    refused(
        "SEC(\"kprbe/do_exit\") int p(void *c) { return 0; }",
        "unknown section `kprbe/do_exit` (program `p`); did you mean `kprobe/do_exit`?; known \
         names start with kprobe, kretprobe,",
    );
}

#[test]
fn maps_without_btf_ask_for_debug_information() {
    refused_with(
        "struct { __uint(type, 1); __type(key, int); __type(value, int); } m SEC(\".maps\");",
        &["-g0"],
        "section .maps needs BTF, and the object has none: compile with -g",
    );
}

#[test]
fn programs_need_no_btf() {
    for clang in common::clangs() {
        let text = "int count = 1; SEC(\"socket\") int p(void *c) { return count; }";
        let object = Object::parse(&common::compile_text(clang, text, &["-g0"])).unwrap();
        let target = Target::new(KernelVersion::new(6, 18));
        let image = object.link(&LinkOptions::new(), &target).unwrap();
        assert_eq!(image.btf, None);
        assert_eq!(image.maps.len(), 1);
        assert_eq!(object.variable("count").unwrap().size, 4);
        assert_eq!(image.program("p").unwrap().map_references.len(), 1);
    }
}

#[test]
fn map_definitions_say_what_is_wrong_with_them() {
    let map = |body: &str| format!("struct {{ {body} }} m SEC(\".maps\");");
    refused(
        &map("__uint(type, 1); __uint(speed, 3);"),
        "map `m`: unknown attribute `speed`; known are",
    );
    refused(&map("__uint(max_entries, 1);"), "map `m`: it has no `type`");
    refused(
        &map("__uint(type, 999);"),
        "map `m`: no map type has number 999",
    );
    refused(
        &map("__uint(type, 1); int key;"),
        "map `m`: `key` is not given by __type()",
    );
    refused(
        &map("__uint(type, 1); int max_entries;"),
        "`max_entries` is not given by __uint()",
    );
    refused(
        &map("__uint(type, 1); __type(key, int); __uint(key_size, 8);"),
        "map `m`: its key has 4 bytes by one attribute, 8 by another",
    );
    refused(
        &map("__uint(type, 1); __uint(pinning, 2);"),
        "map `m`: pinning 2, expected 0 (none)",
    );
    refused(
        &map("__uint(type, 1); __array(values, int (void *));"),
        "map `m`: `values` of this type do not fit a hash",
    );
    refused(
        &map("__uint(max_entries, 3); __array(values, int (void *));"),
        "map `m`: `values` before `type`",
    );
    refused(
        &map("__uint(type, 1); __type(value, struct undefined);"),
        "map `m`: the size of its value is not known",
    );
}

#[test]
fn a_map_is_not_its_own_inner_map() {
    refused(
        "struct endless { __uint(type, MAP_ARRAY_OF_MAPS); __uint(max_entries, 1);
                          struct endless *values[]; };
         struct endless m SEC(\".maps\");",
        "map `m.inner`: an inner map can be neither pinned nor a map of maps or programs",
    );
}

#[test]
fn a_map_has_no_hundreds_of_attributes() {
    let many: String = (0..64)
        .map(|number| format!("__uint(a{number}, 1); "))
        .collect();
    refused(
        &format!("struct {{ __uint(type, 1); {many} }} m SEC(\".maps\");"),
        "map `m`: its definition has 65 attributes, the limit is 64",
    );
}

#[test]
fn only_programs_go_in_slots_of_programs() {
    refused(
        "SEC(\"socket\") static NOINLINE int own(void *c) { return 1; }
         struct { __uint(type, MAP_PROG_ARRAY); __uint(max_entries, 2); __uint(key_size, 4);
                  __array(values, int (void *)); } m SEC(\".maps\") = { .values = { [1] = own } };
         SEC(\"socket\") int p(void *c) { return own(c); }",
        ".maps+0x20 refers to `socket`: it is no program; only programs go in a prog_array",
    );
}

#[test]
fn a_weak_map_may_have_attributes_of_the_future() {
    for clang in common::clangs() {
        let text = "struct { __uint(type, 1); __uint(speed, 3); } m SEC(\".maps\") WEAK;";
        let object = Object::parse(&common::compile_text(clang, text, &[])).unwrap();
        assert_eq!(object.map("m").unwrap().map_type, skep_abi::MapType::Hash);
    }
}

#[test]
fn sections_of_long_names_have_maps_of_their_own() {
    let text = "int a SEC(\".data.a_long_name_1\") = 1; int b SEC(\".data.a_long_name_2\") = 2;
        SEC(\"socket\") int p(void *c) { return a + b; }";
    for clang in common::clangs() {
        let bytes = common::compile_text(clang, text, &[]);
        let object = Object::parse_named(&bytes, "an-object-of-long-name").unwrap();
        let image = object
            .link(&LinkOptions::new(), &Target::new(KernelVersion::new(6, 18)))
            .unwrap();
        assert_eq!(
            image.map(".data.a_long_name_2").unwrap().load_name,
            ".data.a_long_na"
        );
        let text = "const volatile int x = 1; SEC(\"socket\") int p(void *c) { return x; }";
        let bytes = common::compile_text(clang, text, &[]);
        let object = Object::parse_named(&bytes, "an-object-of-long-name").unwrap();
        assert!(
            object.map("an_objec.rodata").is_some(),
            "{:?}",
            object.maps()
        );
    }
}

/// Each way in which compilers and assemblers write a call down leads to the same function.
#[test]
fn calls_are_followed_with_and_without_relocations() {
    let text = "
        SEC(\"socket\") static NOINLINE int near(int x) { return x * 3; }
        static NOINLINE int far(int x) { return x * 5; }
        static NOINLINE int farther(int x) { return x * 7; }
        WEAK NOINLINE int weak(int x) { return x * 9; }
        SEC(\"socket\") int p(int *c) { return near(*c) + far(*c) + farther(*c) + weak(*c); }
        SEC(\"socket\") int q(int *c) { return near(*c); }";
    for clang in common::clangs() {
        let object = Object::parse(&common::compile_text(clang, text, &[])).unwrap();
        let image = object
            .link(&LinkOptions::new(), &Target::new(KernelVersion::new(6, 18)))
            .unwrap();
        let called = |name: &str| {
            let program = image.program(name).unwrap();
            let calls = program
                .instructions
                .iter()
                .enumerate()
                .filter(|(_, insn)| insn.opcode == 0x85 && insn.src == 1);
            let name = |(at, insn): (usize, &skep_isa::RawInsn)| {
                let start = (at as i32 + 1 + insn.imm) as u32;
                let function = program
                    .functions
                    .iter()
                    .find(|function| function.start.0 == start);
                function.expect("a call of a function's start").name.clone()
            };
            calls.map(name).collect::<Vec<_>>()
        };
        assert_eq!(called("p"), ["near", "far", "farther", "weak"], "{clang}");
        assert_eq!(called("q"), ["near"], "{clang}");
    }
}

#[test]
fn undefined_symbols_are_named() {
    refused(
        "extern int elsewhere; SEC(\"socket\") int p(void *c) { return elsewhere; }",
        "socket+0x0 refers to `elsewhere`: it is neither defined nor declared as an extern",
    );
    not_linked(
        "int elsewhere(void); SEC(\"socket\") int p(void *c) { return elsewhere(); }",
        "extern `elsewhere` not provided: the kernel has no function of that name in its BTF (used \
         in `p`, instruction 0)",
    );
    not_linked(
        "extern const int k KSYM; SEC(\"socket\") int p(void *c) { return k; }",
        "extern `k` not provided: the kernel has no variable of that name in its BTF",
    );
    not_linked(
        "extern const void k KSYM; SEC(\"socket\") int p(void *c) { return &k == c; }",
        "extern `k` not provided: the kernel has no symbol of that name",
    );
    not_linked(
        "extern int CONFIG_HZ KCONFIG; SEC(\"socket\") int p(void *c) { return CONFIG_HZ; }",
        "extern `CONFIG_HZ` not provided: the target's configuration does not have it (used in",
    );
}

#[test]
fn attach_targets_that_are_not_there_are_named() {
    let program = |section: &str| format!("SEC(\"{section}\") int p(u64 *c) {{ return 0; }}");
    not_linked(
        &program("fentry/no_such"),
        "program `p` (`fentry/no_such`): the kernel has no function `no_such` in its BTF",
    );
    not_linked(
        &program("tp_btf/no_such"),
        "the kernel has no tracepoint `no_such` in its BTF (`btf_trace_no_such`)",
    );
    not_linked(
        &program("lsm/no_such"),
        "no LSM hook `no_such` in its BTF (`bpf_lsm_no_such`)",
    );
    not_linked(
        &program("iter/no_such"),
        "no iterator `no_such` in its BTF (`bpf_iter_no_such`)",
    );
    not_linked(&program("fexit"), "it names no function: SEC(\"fexit/…\")");
    not_linked(
        &program("fentry/mod:f"),
        "module `mod` has no function `f` in its BTF",
    );
    let text = program("fentry/f");
    for clang in common::clangs() {
        let object = Object::parse(&common::compile_text(clang, &text, &[])).unwrap();
        let target = Target::new(KernelVersion::new(6, 18));
        let error = object
            .link(&LinkOptions::new(), &target)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("needs the target's kernel BTF, and it has none"),
            "{error}"
        );
    }
}

#[test]
fn other_files_are_refused() {
    let check = |bytes: &[u8], expected: &str| {
        let error = Object::parse(bytes).unwrap_err().to_string();
        assert_eq!(error, expected);
    };
    check(b"", "not a BPF object: the file is empty");
    check(
        b"hello",
        "not a BPF object: no ELF file (it does not start with 7f 45 4c 46)",
    );
    check(
        b"BC\xc0\xde....",
        "not a BPF object: LLVM bitcode: compile with -c to an object file",
    );
    let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    let error = Object::parse(&own).unwrap_err().to_string();
    assert!(
        error.contains("expected 247 (EM_BPF): compile with -target bpf"),
        "{error}"
    );
    let error = Object::open("/no/such/file.o").unwrap_err().to_string();
    assert_eq!(
        error,
        "cannot read /no/such/file.o: No such file or directory (os error 2)"
    );
}

#[test]
fn the_file_is_named_where_it_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.bpf.o");
    let file = path.display().to_string();
    let write = |clang: &str, text: &str, flags: &[&str]| {
        std::fs::write(&path, common::compile_text(clang, text, flags)).unwrap();
    };
    for clang in common::clangs() {
        let program = "SEC(\"socket\") int p(void *c) { return 0; }";
        write(clang, &program.replace("socket", "scoket"), &[]);
        let error = Object::open(&path).unwrap_err();
        let expected = format!("{file}: unknown section `scoket` (program `p`)");
        assert!(error.to_string().starts_with(&expected), "{error}");
        assert!(matches!(error.without_file(), Error::UnknownSection { .. }));

        write(clang, program, &["-target", "bpfeb"]);
        let object = Object::open(&path).unwrap();
        assert_eq!(object.file(), Some(file.as_str()));
        let target = Target::new(KernelVersion::new(6, 18));
        let error = object.link(&LinkOptions::new(), &target).unwrap_err();
        let expected = format!("{file}: the object is big-endian, the target little-endian: ");
        assert!(error.to_string().starts_with(&expected), "{error}");
    }
}

#[test]
fn the_other_byte_order_is_refused_with_the_compiler_s_flag() {
    for clang in common::clangs() {
        let text = "SEC(\"socket\") int p(void *c) { return 0; }";
        let object =
            Object::parse(&common::compile_text(clang, text, &["-target", "bpfeb"])).unwrap();
        let error = object
            .link(&LinkOptions::new(), &Target::new(KernelVersion::new(6, 18)))
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "the object is big-endian, the target little-endian: compile with -target bpfel"
        );
    }
}
