//! Specs and images as text: one object with one of each thing. What differs from compiler to
//! compiler (instructions, ids) is left out.

mod common;

use std::fmt::Write;

use skep_abi::KernelVersion;
use skep_object::{
    Contents, Image, LinkOptions, Map, MapReferenceKind, Object, Program, ReferenceKind, SlotValue,
    Target,
};

fn type_name(object: &Object, id: Option<skep_btf::TypeId>) -> String {
    let Some(id) = id else { return "-".into() };
    let found = object.btf().unwrap().type_by_id(id).unwrap();
    match found.name() {
        "" => format!("{:?}", found.tag().unwrap()),
        name => name.to_owned(),
    }
}

fn describe_map(object: &Object, map: &Map) -> String {
    let mut text = format!(
        "{} in {}: {} key {} ({}) value {} ({}) entries {} flags {}",
        map.name,
        map.section,
        map.map_type,
        map.key_size,
        type_name(object, map.key_type),
        map.value_size,
        type_name(object, map.value_type),
        map.max_entries,
        map.flags
    );
    if map.map_extra != 0 {
        write!(text, " extra {}", map.map_extra).unwrap();
    }
    if map.frozen {
        text.push_str(" frozen");
    }
    if let Some(inner) = &map.inner {
        write!(text, "\n    of {}", describe_map(object, inner)).unwrap();
    }
    match &map.contents {
        Contents::Data(data) => write!(text, "\n    data {data:?}").unwrap(),
        Contents::Zeroes => text.push_str("\n    zeroes"),
        Contents::Slots(slots) => {
            for slot in slots {
                let value = match slot.value {
                    SlotValue::Map(map) => &object.maps()[map.as_usize()].name,
                    SlotValue::Program(program) => &object.program_at(program).unwrap().name,
                };
                write!(text, "\n    [{}] = {value}", slot.key).unwrap();
            }
        }
        _ => {}
    }
    let tags = object.decl_tags_of_map(&map.name);
    if !tags.is_empty() {
        write!(text, "\n    tags {tags:?}").unwrap();
    }
    text
}

fn describe_program(object: &Object, program: &Program) -> String {
    let function = object.function(program.function).unwrap();
    let names = program
        .subprograms
        .iter()
        .map(|index| &object.function(*index).unwrap().name);
    let mut text = format!(
        "{} in {}: {} attach {:?} target {:?} autoload {}\n    with {:?}",
        program.name,
        program.section,
        program.program_type(),
        program.attach_type(),
        program.section.target(),
        program.section.autoload(),
        names.collect::<Vec<_>>()
    );
    let mut references: Vec<String> = function
        .references
        .iter()
        .map(|reference| match reference.kind {
            ReferenceKind::Map(map) => format!("map {}", object.maps()[map.as_usize()].name),
            ReferenceKind::MapValue { map, offset } => {
                let map = &object.maps()[map.as_usize()].name;
                format!("value {map}+{offset}")
            }
            ReferenceKind::Call(function) => {
                format!("call {}", object.function(function).unwrap().name)
            }
            ReferenceKind::FunctionAddress(function) => {
                format!("address of {}", object.function(function).unwrap().name)
            }
            ReferenceKind::ExternCall(external) => {
                format!("call extern {}", object.externs()[external.as_usize()].name)
            }
            ReferenceKind::ExternAddress(external) => {
                format!("extern {}", object.externs()[external.as_usize()].name)
            }
            _ => unreachable!(),
        })
        .collect();
    references.sort();
    references.dedup();
    for reference in references {
        write!(text, "\n    {reference}").unwrap();
    }
    text
}

fn describe(object: &Object) -> String {
    let mut text = format!("license {:?}\n", object.license());
    text.push_str("\nprograms\n");
    for program in object.programs() {
        writeln!(text, "  {}", describe_program(object, program)).unwrap();
    }
    text.push_str("\nfunctions\n");
    let mut functions: Vec<String> = object
        .functions()
        .iter()
        .map(|function| {
            let of = type_name(object, function.type_id);
            format!(
                "  {} in {}: {:?}, type {of}",
                function.name, function.section, function.linkage
            )
        })
        .collect();
    functions.sort();
    text.push_str(&functions.join("\n"));
    text.push_str("\n\nmaps\n");
    let mut maps: Vec<String> = object
        .maps()
        .iter()
        .map(|map| format!("  {}", describe_map(object, map)))
        .collect();
    maps.sort();
    text.push_str(&maps.join("\n"));
    text.push_str("\n\nvariables\n");
    let mut variables: Vec<String> = object
        .variables()
        .iter()
        .map(|variable| {
            format!(
                "  {} in {}: {} bytes of {}, {:?}{}, starts as {:?}",
                variable.name,
                variable.section,
                variable.size,
                type_name(object, variable.type_id),
                variable.linkage,
                if variable.read_only {
                    ", read-only"
                } else {
                    ""
                },
                object.initial_value(variable)
            )
        })
        .collect();
    variables.sort();
    text.push_str(&variables.join("\n"));
    text.push_str("\n\nexterns\n");
    let mut externs: Vec<String> = object
        .externs()
        .iter()
        .map(|external| {
            let weak = if external.weak { ", weak" } else { "" };
            format!("  {}: {:?}{weak}", external.name, external.kind)
        })
        .collect();
    externs.sort();
    text.push_str(&externs.join("\n"));
    text.push('\n');
    text
}

#[test]
fn the_spec_of_an_object_with_one_of_each_thing() {
    for clang in common::clangs() {
        let bytes = common::compile(clang, "spec", &[]);
        let object = Object::parse_named(&bytes, "spec").unwrap();
        common::check_golden("spec.txt", &describe(&object));
    }
}

/// The same of a machine of the other byte order, which writes its numbers the other way round.
#[test]
fn the_spec_of_a_big_endian_object_is_the_same() {
    for clang in common::clangs() {
        let bytes = common::compile(clang, "spec", &["-target", "bpfeb"]);
        let object = Object::parse_named(&bytes, "spec").unwrap();
        assert_eq!(object.endian(), skep_isa::Endian::Big);
        let little = common::compile(clang, "spec", &["-target", "bpfel"]);
        let little = Object::parse_named(&little, "spec").unwrap();
        let without_data = |object: &Object| -> Vec<String> {
            let text = describe(object);
            let data = |line: &&str| !line.contains("data [") && !line.contains("starts as");
            text.lines().filter(data).map(str::to_owned).collect()
        };
        assert_eq!(without_data(&object), without_data(&little));
        for (big, little) in object.functions().iter().zip(little.functions()) {
            assert_eq!(big.instructions.len(), little.instructions.len());
            assert_eq!(big.references, little.references);
            let lines = |function: &skep_object::Function| {
                function
                    .lines
                    .iter()
                    .map(|line| (line.insn, line.line()))
                    .collect::<Vec<_>>()
            };
            assert_eq!(lines(big), lines(little));
        }
    }
}

fn linked(object: &Object, options: &LinkOptions) -> Image {
    let mut target = Target::new(KernelVersion::new(6, 18)).with_config_text(
        "# a comment\nCONFIG_BPF_SYSCALL=y\n# CONFIG_OTHER is not set\nCONFIG_HZ=250\n",
    );
    target.kernel_btf = Some(
        skep_btf::Btf::parse(skep_btf::Builder::new().build().unwrap())
            .unwrap()
            .into(),
    );
    object.link(options, &target).unwrap()
}

#[test]
fn options_choose_programs_sizes_and_values() {
    for clang in common::clangs() {
        let bytes = common::compile(clang, "spec", &[]);
        let object = Object::parse_named(&bytes, "spec").unwrap();

        let image = linked(&object, &LinkOptions::new());
        let names: Vec<_> = image
            .programs
            .iter()
            .map(|program| program.name.as_str())
            .collect();
        assert_eq!(names, ["tail", "jump", "enter", "enter_again"]);

        let mut options = LinkOptions::new();
        options.only_programs(["optional", "enter"]);
        options.map("events").max_entries(1 << 16);
        options
            .map("counts")
            .max_entries(7)
            .pin_path("/sys/fs/bpf/counts");
        options.variable("target_pid", 812_u32.to_ne_bytes());
        options.variable("total", 5_u64.to_ne_bytes());
        let image = linked(&object, &options);
        let names: Vec<_> = image
            .programs
            .iter()
            .map(|program| program.name.as_str())
            .collect();
        assert_eq!(names, ["enter", "optional"]);
        assert_eq!(image.map("events").unwrap().max_entries, 1 << 16);
        assert_eq!(
            image.map("counts").unwrap().pin_path.as_deref(),
            Some("/sys/fs/bpf/counts")
        );

        let value = |name: &str| {
            let variable = object.variable(name).unwrap();
            let Contents::Data(data) = &image.maps[variable.map.as_usize()].contents else {
                panic!("{name} has no data");
            };
            data[variable.offset as usize..][..variable.size as usize].to_vec()
        };
        assert_eq!(value("target_pid"), 812_u32.to_ne_bytes());
        assert_eq!(value("total"), 5_u64.to_ne_bytes());
        assert_eq!(value("limits")[4..8], 2_u32.to_ne_bytes());

        // Events have a type for us, and none for the kernel.
        let events = image.map("events").unwrap();
        assert_eq!(
            (events.key_size, events.value_size, events.value_type),
            (0, 0, None)
        );
        let perf = image.map("perf").unwrap();
        assert_eq!(
            (perf.key_size, perf.value_size, perf.value_type),
            (4, 4, None)
        );
        assert!(image.map("counts").unwrap().value_type.is_some());
        assert!(image.map("seen").unwrap().value_type.is_some());
    }
}

#[test]
fn options_that_do_not_fit_are_errors() {
    let Some(clang) = common::clangs().into_iter().next_back() else {
        return;
    };
    let object = Object::parse_named(&common::compile(clang, "spec", &[]), "spec").unwrap();
    let target = Target::new(KernelVersion::new(6, 18));
    let check = |edit: fn(&mut LinkOptions), expected: &str| {
        let mut options = LinkOptions::new();
        edit(&mut options);
        let text = object.link(&options, &target).unwrap_err().to_string();
        assert!(text.starts_with(expected), "{text}");
    };
    check(
        |options| {
            options.program("entre");
        },
        "the object has no program `entre`; it has tail,",
    );
    check(
        |options| {
            options.map("evnets");
        },
        "the object has no map `evnets`; it has ",
    );
    check(
        |options| {
            options.variable("pid", [0; 4]);
        },
        "the object has no variable `pid`; it has ",
    );
    check(
        |options| {
            options.variable("target_pid", [0; 8]);
        },
        "variable `target_pid` has 4 bytes, the value given has 8",
    );
    check(
        |options| {
            options.map("spec.bss").key_size(8);
        },
        "map `spec.bss`: it holds global variables",
    );
}

#[test]
fn configuration_and_maps_are_where_instructions_look() {
    for clang in common::clangs() {
        let bytes = common::compile(clang, "spec", &[]);
        let object = Object::parse_named(&bytes, "spec").unwrap();
        let image = linked(&object, &LinkOptions::new());
        let kconfig = image.map("spec.kconfig").unwrap();
        let Contents::Data(data) = &kconfig.contents else {
            panic!("{kconfig:?}")
        };
        // By alignment, size and name: CONFIG_NOT_THERE, LINUX_KERNEL_VERSION, CONFIG_BPF_SYSCALL.
        let mut expected = vec![0; 4];
        expected.extend(KernelVersion::new(6, 18).code().to_ne_bytes());
        expected.push(1);
        assert_eq!(*data, expected);

        let program = image.program("enter_again").unwrap();
        let version = program.map_references.iter().find(|reference| {
            image.maps[reference.map.as_usize()].name == "spec.kconfig"
                && reference.kind == MapReferenceKind::Value { offset: 4 }
        });
        let insn = version.unwrap().insn;
        assert_eq!(program.instructions[insn.as_usize()].src, 2);
        assert_eq!(program.instructions[insn.as_usize() + 1].imm, 4);
        // What is weak and missing is poisoned where it is called.
        let [poisoned] = program.poisoned.as_slice() else {
            panic!("{:?}", program.poisoned)
        };
        assert_eq!(
            poisoned.description,
            "`no_such_function` (a weak extern): the kernel has no function of that name in its BTF"
        );
    }
}

#[test]
fn a_section_of_unnamed_constants_gets_a_variable() {
    // Linux 5.10 takes no data section without one.
    let text = "struct event { u32 kind; char text[20]; };
        static long (*print)(const char *, u32, ...) = (void *)6;
        SEC(\"syscall\") int p(void *ctx) {
            struct event event = { .kind = 8, .text = \"some text here\" };
            print(event.text, sizeof(event.text));
            return 0;
        }";
    for clang in common::clangs() {
        let object = Object::parse(&common::compile_text(clang, text, &[])).unwrap();
        let image = linked(&object, &LinkOptions::new());
        let btf = skep_btf::Btf::parse(image.btf.unwrap()).unwrap();
        let id = btf.find(".rodata", skep_btf::KindTag::DataSection).unwrap();
        let skep_btf::Kind::DataSection(section) = btf.type_by_id(id).unwrap().kind() else {
            panic!("{id} is no data section")
        };
        assert_eq!((section.size, section.entries().len()), (24, 1));
    }
}

#[test]
fn instructions_lead_back_to_the_source() {
    for clang in common::clangs() {
        let bytes = common::compile(clang, "spec", &[]);
        let object = Object::parse_named(&bytes, "spec").unwrap();
        let image = linked(&object, &LinkOptions::new());
        let program = image.program("enter").unwrap();
        let source =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/c/spec.bpf.c"));
        let source = source.unwrap();
        let mut functions = Vec::new();
        for index in 0..program.instructions.len() {
            let line = program
                .source_at(skep_isa::InsnIndex(index as u32))
                .unwrap();
            if line.file.ends_with("spec.bpf.c") && line.line != 0 {
                let text = source.lines().nth(line.line as usize - 1).unwrap();
                assert_eq!(line.text, text);
            }
            functions.push(line.function.to_owned());
        }
        functions.dedup();
        assert_eq!(
            functions,
            [
                "enter",
                "helper_global",
                "helper_static",
                "helper_hidden",
                "callback"
            ]
        );
        assert_eq!(program.functions.len(), 5);
        assert_eq!(program.func_info.len(), 5);
        assert_eq!(program.func_info.record_size, 8);
        // The kernel's rules: each function begins with a line, and lines go up.
        let records: Vec<u32> = program
            .line_info
            .bytes
            .chunks(16)
            .map(|record| u32::from_ne_bytes(record[..4].try_into().unwrap()))
            .collect();
        assert!(records.is_sorted_by(|one, next| one < next));
        for function in &program.functions {
            assert!(records.contains(&function.start.0));
        }
    }
}
