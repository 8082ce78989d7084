//! Maps beside those of `.maps`: legacy ones, per-CPU and arena variables, jump tables, structs of
//! functions; and maps that are left out.

mod common;

use skep_abi::{KernelVersion, MapCreateFlags, MapType};
use skep_btf::{Btf, Builder, IntEncoding, NewMember};
use skep_isa::InsnIndex;
use skep_object::{
    AttachBtf, Contents, Image, LinkOptions, MapReferenceKind, Object, ProgramIndex, Target,
};

fn objects(text: &str) -> Vec<Object> {
    let compiled = common::clangs().into_iter();
    compiled
        .map(|clang| Object::parse(&common::compile_text(clang, text, &[])).unwrap())
        .collect()
}

fn target() -> Target {
    Target::new(KernelVersion::new(6, 18))
}

#[track_caller]
fn refused(text: &str, expected: &str) {
    for clang in common::clangs() {
        let error = common::parse_error(clang, text, &[]);
        assert!(error.contains(expected), "{clang}: {error}");
    }
}

#[test]
fn legacy_maps_are_read() {
    let text = "
        struct def { u32 type, key, value, entries, flags; };
        struct def first SEC(\"maps\") = { MAP_HASH, 4, 8, 10, 1 };
        struct def second SEC(\"maps\") = { MAP_ARRAY, 4, 16, 3 };
        struct { u32 a, b, c, d; } short_one SEC(\"maps/of_four\") = { MAP_ARRAY, 4, 4, 1 };
        struct { u32 a[9]; } long_one SEC(\"maps/long\") = { { MAP_ARRAY, 4, 4, 2 } };
        SEC(\"socket\") int p(void *c) {
            u32 key = 0; return !map_lookup(&first, &key) + !map_lookup(&second, &key); }";
    for object in objects(text) {
        let shape = |name: &str| {
            let map = object.map(name).unwrap();
            let sizes = (map.key_size, map.value_size, map.max_entries);
            (map.map_type, sizes, map.flags.bits())
        };
        assert_eq!(shape("first"), (MapType::Hash, (4, 8, 10), 1));
        assert_eq!(shape("second"), (MapType::Array, (4, 16, 3), 0));
        assert_eq!(shape("short_one"), (MapType::Array, (4, 4, 1), 0));
        assert_eq!(shape("long_one"), (MapType::Array, (4, 4, 2), 0));
        let image = object.link(&LinkOptions::new(), &target()).unwrap();
        let used: Vec<&str> = image.programs[0]
            .map_references
            .iter()
            .map(|reference| image.maps[reference.map.as_usize()].name.as_str())
            .collect();
        assert_eq!(used, ["first", "second"]);
    }
}

#[test]
fn malformed_legacy_maps_are_told() {
    refused(
        "struct { u32 a, b; } m SEC(\"maps\") = { MAP_HASH, 4 };",
        "malformed object at maps+0x0: the legacy definition of map `m` has 0x8 bytes",
    );
    refused(
        "struct { u32 a, b, c, d; } m SEC(\"maps\") = { 0, 4, 4, 1 };",
        "map `m`: no map type has number 0",
    );
    refused(
        "struct { u32 a[9]; } m SEC(\"maps\") = { { MAP_HASH, 4, 4, 1, 0, 0, 2 } };",
        "malformed object at maps+0x18: the legacy definition of map `m` says more",
    );
}

#[test]
fn variables_of_each_cpu_have_a_map() {
    let text = "
        int mine SEC(\".percpu\") = 3; u64 big SEC(\".percpu.more\");
        SEC(\"socket\") int p(void *c) { big++; return mine; }";
    for object in objects(text) {
        let map = object.map(".percpu").unwrap();
        assert_eq!(map.map_type, MapType::PercpuArray);
        assert_eq!((map.value_size, map.max_entries), (4, 1));
        assert!(!map.flags.contains(MapCreateFlags::MMAPABLE));
        assert_eq!(map.contents, Contents::PerCpu(vec![3, 0, 0, 0]));
        let variable = object.variable("mine").unwrap();
        assert_eq!(object.initial_value(variable), Some(&[3, 0, 0, 0][..]));
        assert_eq!(object.map(".percpu.more").unwrap().value_size, 8);
        let mut options = LinkOptions::new();
        options.variable("mine", 4_u32.to_le_bytes());
        let image = object.link(&options, &target()).unwrap();
        let map = image.map(".percpu").unwrap();
        assert_eq!(map.contents, Contents::PerCpu(vec![4, 0, 0, 0]));
        let kinds = image.programs[0].map_references.iter();
        assert!(kinds.clone().count() >= 2);
        assert!(
            kinds
                .clone()
                .all(|reference| reference.kind == MapReferenceKind::Value { offset: 0 })
        );
    }
}

#[test]
fn variables_of_an_arena_need_one() {
    let arena = |name: &str| {
        format!(
            "struct {{ __uint(type, 33); __uint(map_flags, 1024); __uint(max_entries, 4); }} {name} \
             SEC(\".maps\");"
        )
    };
    let data = "int here SEC(\".addr_space.1\") = 7; int there SEC(\".addr_space.1\") = 8;
        SEC(\"socket\") int p(int *c) { return *c ? here : there; }";
    refused(
        data,
        "malformed object at .addr_space.1+0x0: variables of an arena, and the object has none",
    );
    refused(
        &format!("{}{}{data}", arena("one"), arena("two")),
        "the object has two, `one` and `two`",
    );
    for object in objects(&format!("{}{data}", arena("only"))) {
        let map = object.map("only").unwrap();
        let Contents::Arena(bytes) = &map.contents else {
            panic!("{map:?}");
        };
        assert_eq!(bytes[..], [7, 0, 0, 0, 8, 0, 0, 0]);
        let variable = object.variable("there").unwrap();
        assert_eq!((variable.offset, variable.size), (4, 4));
        assert_eq!(object.maps()[variable.map.as_usize()].name, "only");
    }
}

#[test]
fn all_of_them_link_together() {
    for clang in common::clangs() {
        let object = Object::parse(&common::compile(clang, "definitions", &[])).unwrap();
        let image = object.link(&LinkOptions::new(), &ops_kernel()).unwrap();
        let left_out: Vec<&str> = image
            .maps
            .iter()
            .filter(|map| !map.create)
            .map(|map| map.name.as_str())
            .collect();
        assert_eq!(left_out, ["on_request"], "{clang}");
        let program = image.program("p").unwrap();
        let targets = [InsnIndex(0), InsnIndex(1)];
        assert_eq!(program.jump_tables[0].targets, targets, "{clang}");
    }
}

/// A kernel with `struct ops`, whose members stand elsewhere than in the objects of these tests.
fn kernel_with_ops(into: &mut Builder) {
    let (char_type, u32_type) = (
        into.int("char", 1, IntEncoding::SIGNED),
        into.int("unsigned int", 4, IntEncoding::UNSIGNED),
    );
    let u64_type = into.int("unsigned long long", 8, IntEncoding::UNSIGNED);
    let name = into.array(char_type, u32_type, 8);
    let prototype = into.prototype(u32_type, &[("c", u64_type)]);
    let function = into.pointer(prototype);
    let data = into.pointer(u64_type);
    let ops = into.structure(
        "ops",
        48,
        &[
            NewMember::new("name", name, 0),
            NewMember::new("stop", function, 64),
            NewMember::new("data", data, 128),
            NewMember::new("run", function, 192),
            NewMember::new("flags", u32_type, 256),
            NewMember::new("wide", u64_type, 320),
        ],
    );
    let members = [
        NewMember::new("common", u64_type, 0),
        NewMember::new("data", ops, 512),
    ];
    into.structure("bpf_struct_ops_ops", 112, &members);
}

fn ops_kernel() -> Target {
    let mut builder = Builder::new();
    kernel_with_ops(&mut builder);
    target().with_kernel_btf(Btf::parse(builder.build().unwrap()).unwrap().into())
}

const PROGRAMS: &str = "
    SEC(\"struct_ops/run\") int run(void *c) { return 0; }
    SEC(\"struct_ops.s/stop\") int stop(void *c) { return 1; }";

/// What becomes of a struct of this definition for the kernel of `ops_kernel`.
fn ops(definition: &str, options: &LinkOptions) -> Vec<Result<Image, String>> {
    let text = format!("{PROGRAMS} {definition}");
    let linked = objects(&text).into_iter();
    linked
        .map(|object| {
            object
                .link(options, &ops_kernel())
                .map_err(|error| error.to_string())
        })
        .collect()
}

#[test]
fn structs_of_functions_get_the_kernel_s_layout() {
    let definition = "
        struct ops___ours { int (*run)(void *); u64 gone; u32 flags; char name[8];
                            int (*stop)(void *); };
        SEC(\".struct_ops.link\") struct ops___ours mine =
            { .run = run, .flags = 5, .name = \"abc\", .stop = stop };";
    for image in ops(definition, &LinkOptions::new()) {
        let image = image.unwrap();
        let map = image.map("mine").unwrap();
        assert_eq!((map.key_size, map.value_size, map.max_entries), (4, 112, 1));
        assert!(map.flags.contains(MapCreateFlags::LINK));
        let Contents::StructOps {
            data,
            programs,
            by_link: true,
        } = &map.contents
        else {
            panic!("{map:?}");
        };
        let mut expected = [0; 112];
        expected[64..67].copy_from_slice(b"abc");
        expected[96] = 5;
        assert_eq!(data[..], expected);
        let (run, stop) = (ProgramIndex(0), ProgramIndex(1));
        assert_eq!(programs[..], [(64 + 24, run), (64 + 8, stop)]);

        let kernel = ops_kernel().kernel_btf.unwrap();
        let id = |name| kernel.find(name, skep_btf::KindTag::Struct).unwrap();
        let of = |type_id| {
            Some(AttachBtf {
                type_id,
                module: None,
            })
        };
        assert_eq!(map.kernel_value_type, of(id("bpf_struct_ops_ops")));
        for (name, member) in [("run", 3), ("stop", 1)] {
            let program = image.program(name).unwrap();
            assert_eq!(program.attach_btf, of(id("ops")));
            assert_eq!(program.attach_member, Some(member));
        }
    }
}

#[test]
fn structs_of_functions_are_found_in_modules() {
    let definition = "struct ops { int (*run)(void *); int (*stop)(void *); };
        SEC(\".struct_ops\") struct ops mine = { run, stop };";
    let kernel = std::sync::Arc::new(Btf::parse(Builder::new().build().unwrap()).unwrap());
    let mut module = Builder::split(&kernel);
    kernel_with_ops(&mut module);
    let module = Btf::parse_split(module.build().unwrap(), kernel.clone()).unwrap();
    let target = target()
        .with_kernel_btf(kernel)
        .with_module("plug", module.into());
    for object in objects(&format!("{PROGRAMS} {definition}")) {
        let image = object.link(&LinkOptions::new(), &target).unwrap();
        let kernel_type = image
            .map("mine")
            .unwrap()
            .kernel_value_type
            .as_ref()
            .unwrap();
        assert_eq!(kernel_type.module.as_deref(), Some("plug"));
        let program = image.program("run").unwrap().attach_btf.as_ref().unwrap();
        assert_eq!(program.module.as_deref(), Some("plug"));
    }
}

#[test]
fn structs_of_functions_that_do_not_fit_are_told() {
    let check = |members: &str, values: &str, expected: &str| {
        let definition = format!(
            "struct ops {{ int (*run)(void *); int (*stop)(void *); {members} }};
            SEC(\".struct_ops\") struct ops mine = {{ .run = run, .stop = stop, {values} }};"
        );
        for image in ops(&definition, &LinkOptions::new()) {
            match image {
                Ok(_) => assert_eq!(expected, "", "{definition}"),
                Err(error) => assert!(!expected.is_empty() && error.contains(expected), "{error}"),
            }
        }
    };
    check(
        "u64 gone;",
        ".gone = 1",
        "struct_ops map `mine` (.struct_ops): member `gone`: the kernel's struct has no such \
         member; leave it zero",
    );
    check("u64 gone;", "", "");
    check(
        "u64 flags;",
        ".flags = 1",
        "member `flags`: INT of 8 bytes in the object, INT of 4 bytes in the kernel",
    );
    check("u64 flags;", "", "");
    check("char *name;", "", "");
    check("u32 wide : 3;", ".wide = 1", "member `wide`: a bit field");
    check(
        "int (*data)(void *);",
        ".data = run",
        "member `data`: it is no function in the kernel's struct",
    );
    check(
        "int (*later)(void *);",
        ".later = run",
        "member `later`: the kernel's struct has no such member",
    );
    let twice = "struct ops { int (*run)(void *); int (*stop)(void *); };
        SEC(\".struct_ops\") struct ops mine = { .run = run, .stop = run };
        SEC(\".struct_ops\") struct ops other = { .stop = stop };";
    for image in ops(twice, &LinkOptions::new()) {
        let error = image.unwrap_err();
        assert!(
            error.contains("program `run` is in different members"),
            "{error}"
        );
    }
    let unknown = "struct other { int (*run)(void *); int (*stop)(void *); };
        SEC(\".struct_ops\") struct other mine = { run, stop };";
    for image in ops(unknown, &LinkOptions::new()) {
        let error = image.unwrap_err();
        assert!(
            error.contains("no struct `bpf_struct_ops_other` in its BTF"),
            "{error}"
        );
    }
    for image in ops("", &LinkOptions::new()) {
        let error = image.unwrap_err();
        assert!(
            error.contains("no struct_ops map that is created holds it"),
            "{error}"
        );
    }
}

#[test]
fn programs_go_with_their_structs_of_functions() {
    let definition = "struct ops { int (*run)(void *); int (*stop)(void *); };
        SEC(\".struct_ops\") struct ops mine = { .run = run };
        SEC(\"?.struct_ops.link\") struct ops on_request = { .run = run, .stop = stop };";
    let loaded = |options: &LinkOptions| -> Vec<Vec<String>> {
        let images = ops(definition, options).into_iter().map(Result::unwrap);
        let names = |image: Image| {
            let programs = image.programs.into_iter().map(|program| program.name);
            let maps = image.maps.into_iter().filter(|map| map.create);
            programs.chain(maps.map(|map| map.name)).collect()
        };
        images.map(names).collect()
    };
    let check = |options: &LinkOptions, expected: &[&str]| {
        for names in loaded(options) {
            assert_eq!(names, expected);
        }
    };
    check(&LinkOptions::new(), &["run", "mine"]);
    let mut options = LinkOptions::new();
    options.map("on_request").autocreate(true);
    check(&options, &["run", "stop", "mine", "on_request"]);
    options.map("mine").autocreate(false);
    check(&options, &["run", "stop", "on_request"]);
    options.program("stop").autoload(false);
    check(&options, &["run", "on_request"]);
    let mut options = LinkOptions::new();
    options.only_programs(["run"]);
    check(&options, &["run", "mine"]);
    options.only_programs(Vec::<String>::new());
    check(&options, &[]);
}

#[test]
fn what_refers_to_a_map_left_out_is_poisoned() {
    let text = "
        struct { __uint(type, MAP_HASH); __uint(max_entries, 1); __type(key, u32);
                 __type(value, u32); } extra SEC(\".maps\");
        int number = 5;
        SEC(\"socket\") int p(void *c) {
            u32 key = 0; return !map_lookup(&extra, &key) + number; }";
    for object in objects(text) {
        let mut options = LinkOptions::new();
        options.map("extra").autocreate(false);
        options.map("object.data").autocreate(false);
        let image = object.link(&options, &target()).unwrap();
        let program = image.program("p").unwrap();
        assert!(program.map_references.is_empty());
        let extra = object.map_index("extra").unwrap();
        let told: Vec<&str> = program
            .poisoned
            .iter()
            .map(|poisoned| poisoned.description.as_str())
            .collect();
        assert_eq!(
            told,
            [
                "map `extra`, which was not created",
                "map `object.data`, which was not created"
            ]
        );
        let at = program.poisoned[0].insn.as_usize();
        for half in &program.instructions[at..at + 2] {
            assert_eq!((half.opcode, half.src), (0x85, 0));
            assert_eq!(half.imm, 2_001_000_000 + extra.0 as i32);
        }
    }
}

#[test]
fn a_map_in_a_slot_must_be_created() {
    let text = "
        struct inner { __uint(type, MAP_ARRAY); __uint(max_entries, 1); __type(key, u32);
                       __type(value, u32); };
        struct inner one SEC(\".maps\");
        struct { __uint(type, MAP_ARRAY_OF_MAPS); __uint(max_entries, 4); __type(key, u32);
                 __array(values, struct inner); } outer SEC(\".maps\") = { .values = { [2] = &one } };";
    for object in objects(text) {
        let mut options = LinkOptions::new();
        options.map("one").autocreate(false);
        let error = object.link(&options, &target()).unwrap_err().to_string();
        assert_eq!(
            error,
            "map `outer`: its slot 2 holds map `one`, which is not created"
        );
        options.map("outer").autocreate(false);
        object.link(&options, &target()).unwrap();
    }
}
