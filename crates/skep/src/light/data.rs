//! Writes an image as a static of `skep-light`.

use std::fmt::Write as _;

use skep_object::{
    AttachKind, Contents, ImageMap, ImageProgram, InfoRecords, MapReferenceKind, Pinning,
    ProgramIndex, Slot, SlotValue,
};

use super::{Light, Types, modules, spell};

/// The last part of the module: the data. Writing to a string does not fail.
pub(super) fn write(light: &Light<'_>, out: &mut String) {
    let made_for = &light.made_for;
    let image = &light.image;
    let modules = modules(image);
    let _ = write!(
        out,
        "\n#[rustfmt::skip]\nstatic IMAGE: Image = Image {{\n    name: {:?},\n    made_for: MadeFor {{\n        \
         release: {:?},\n        version: KernelVersion::new({}, {}),\n        same_release: {},\n        types: ",
        image.name,
        made_for.release,
        made_for.version.major,
        made_for.version.minor,
        made_for.same_release,
    );
    match &made_for.types {
        Some(types) => {
            let _ = write!(out, "Some({})", self::types(types));
        }
        None => out.push_str("None"),
    }
    let of_modules: Vec<String> = made_for.modules.iter().map(|(_, one)| types(one)).collect();
    let _ = write!(
        out,
        ",\n        modules: &[{}],\n    }},\n    btf: {},\n    modules: &{modules:?},\n    maps: &[",
        of_modules.join(", "),
        spell::bytes(image.btf.as_deref().unwrap_or_default()),
    );
    for (_, map) in light.maps() {
        write_map(light, map, &modules, out);
    }
    out.push_str("],\n    programs: &[");
    for program in &image.programs {
        write_program(light, program, &modules, out);
    }
    out.push_str("],\n};\n");
}

fn types(types: &Types) -> String {
    format!(
        "Types {{ len: {}, fingerprint: {:#x}, build_id: {} }}",
        types.len,
        types.fingerprint,
        spell::bytes(&types.build_id)
    )
}

fn module(modules: &[String], name: Option<&String>) -> Option<usize> {
    modules.iter().position(|module| Some(module) == name)
}

fn write_map(light: &Light<'_>, map: &ImageMap, modules: &[String], out: &mut String) {
    let template = match map.inner.as_deref() {
        Some(inner) => format!("Some(&{})", how(inner, modules)),
        None => "None".into(),
    };
    let _ = write!(
        out,
        "MapImage {{\n        name: {:?},\n        inner: {},\n        template: {template},\n        contents: {},\n        \
         frozen: {}, pin: {},\n    }}, ",
        map.name,
        how(map, modules),
        contents(light, &map.contents),
        map.frozen,
        pin(map),
    );
}

fn pin(map: &ImageMap) -> String {
    match (&map.pin_path, map.pinning) {
        (Some(path), _) => format!("Pin::At({path:?})"),
        (None, Pinning::ByName) => "Pin::ByName".into(),
        _ => "Pin::None".into(),
    }
}

/// How a map is made.
fn how(map: &ImageMap, modules: &[String]) -> String {
    let kernel = map.kernel_value_type.as_ref().map(|kernel| {
        let module = module(modules, kernel.module.as_ref());
        format!(
            "KernelValue {{ type_id: {}, module: {module:?} }}",
            kernel.type_id.0
        )
    });
    format!(
        "Inner {{\n            load_name: {:?}, map_type: MapType::{:?}, key_size: {}, value_size: {},\n            \
         max_entries: {}, flags: {:#x}, map_extra: {:#x}, numa_node: {:?},\n            \
         key_type: {}, value_type: {}, kernel_value: {},\n        }}",
        map.load_name,
        map.map_type,
        map.key_size,
        map.value_size,
        map.max_entries,
        // The host sets the flag by the node.
        map.flags
            .difference(skep_abi::MapCreateFlags::NUMA_NODE)
            .bits(),
        map.map_extra,
        map.numa_node,
        map.key_type.map_or(0, |key| key.0),
        map.value_type.map_or(0, |value| value.0),
        option(kernel),
    )
}

fn option(text: Option<String>) -> String {
    text.map_or_else(|| "None".into(), |text| format!("Some({text})"))
}

fn contents(light: &Light<'_>, contents: &Contents) -> String {
    match contents {
        Contents::Data(data) => format!("Contents::Data({})", spell::bytes(data)),
        Contents::PerCpu(data) => format!("Contents::PerCpu({})", spell::bytes(data)),
        Contents::Arena(data) => format!("Contents::Arena({})", spell::bytes(data)),
        Contents::Slots(slots) => {
            let slots = slots.iter().filter_map(|slot| self::slot(light, slot));
            format!(
                "Contents::Slots(&[{}])",
                slots.collect::<Vec<_>>().join(", ")
            )
        }
        Contents::StructOps {
            data,
            programs,
            by_link,
        } => {
            let places = programs.iter().filter_map(|(offset, index)| {
                Some(format!("({offset}, {})", program_place(light, *index)?))
            });
            format!(
                "Contents::StructOps {{ data: {}, programs: &[{}], by_link: {by_link} }}",
                spell::bytes(data),
                places.collect::<Vec<_>>().join(", ")
            )
        }
        _ => "Contents::Empty".into(),
    }
}

/// A slot; `None` if what is to be in it is not loaded.
fn slot(light: &Light<'_>, Slot { key, value }: &Slot) -> Option<String> {
    let value = match value {
        SlotValue::Map(index) => format!("Map({})", light.place_of(index.as_usize())?),
        SlotValue::Program(index) => format!("Program({})", program_place(light, *index)?),
    };
    Some(format!("Slot {{ key: {key}, value: SlotValue::{value} }}"))
}

fn program_place(light: &Light<'_>, index: ProgramIndex) -> Option<usize> {
    let mut programs = light.image.programs.iter();
    programs.position(|program| program.index == index)
}

fn write_program(light: &Light<'_>, program: &ImageProgram, modules: &[String], out: &mut String) {
    let signed = light.signed(program);
    let is_signed = signed.is_some();
    let unsigned = || (&[][..], program.instruction_bytes(light.image.endian));
    let (signature, code) = signed.unwrap_or_else(unsigned);
    let maps = program.map_references.iter().filter(|_| !is_signed);
    let maps = maps.filter_map(|reference| {
        let place = light.place_of(reference.map.as_usize())?;
        let offset = match reference.kind {
            MapReferenceKind::Value { offset } => Some(offset),
            _ => None,
        };
        Some(format!(
            "MapReference {{ insn: {}, map: {place}, offset: {offset:?} }}",
            reference.insn.as_usize()
        ))
    });
    let of_modules = program.module_references.iter().filter(|_| !is_signed);
    let of_modules = of_modules.filter_map(|reference| {
        let insn = reference.insn.as_usize();
        // `call`; the other is `ld_imm64`.
        let call = code.get(insn * 8) == Some(&0x85);
        let place = module(modules, Some(&reference.module))?;
        Some(format!(
            "ModuleReference {{ insn: {insn}, module: {place}, call: {call} }}"
        ))
    });
    let functions = program.functions.iter().filter_map(|function| {
        let type_id = function.type_id?;
        Some(format!("({:?}, {})", function.name, type_id.0))
    });
    let target = program.attach_btf.as_ref();
    let attach_module = target.and_then(|target| module(modules, target.module.as_ref()));
    let _ = write!(
        out,
        "ProgramImage {{\n        name: {:?}, load_name: {:?},\n        program_type: ProgramType::{:?}, attach_type: {},\n        \
         attach_member: {:?}, attach_btf_id: {}, attach_module: {attach_module:?},\n        flags: {:#x}, license: {:?}, \
         kernel_version: {:#x},\n        instructions: {},\n        map_references: &[{}],\n        module_references: &[{}],\n        signature: {},\n        \
         functions: &[{}], on_program: {},\n        func_info: {},\n        line_info: {},\n        place: {},\n    }}, ",
        program.name,
        program.load_name,
        program.program_type,
        option(
            program
                .attach_type
                .map(|kind| format!("AttachType::{kind:?}"))
        ),
        program.attach_member,
        target.map_or(0, |target| target.type_id.0),
        program.flags.bits(),
        program.license,
        program.kernel_version.code(),
        spell::bytes(&code),
        maps.collect::<Vec<_>>().join(", "),
        of_modules.collect::<Vec<_>>().join(", "),
        spell::bytes(signature),
        functions.collect::<Vec<_>>().join(", "),
        on_program(program),
        records(&program.func_info),
        records(&program.line_info),
        place(program),
    );
}

/// Whether it is on a function of another program, which is told when it is loaded.
pub(super) fn on_program(program: &ImageProgram) -> bool {
    match program.section.kind() {
        AttachKind::Freplace => true,
        AttachKind::Fentry | AttachKind::Fexit | AttachKind::FmodRet | AttachKind::Fsession => {
            program.attach_btf.is_none()
        }
        _ => false,
    }
}

fn records(records: &InfoRecords) -> String {
    let size = if records.is_empty() {
        0
    } else {
        records.record_size
    };
    format!(
        "Records {{ size: {size}, bytes: {} }}",
        spell::bytes(&records.bytes)
    )
}

/// Where the section's name says it is attached, as far as it takes no file and no choice.
fn place(program: &ImageProgram) -> String {
    let open = |how: &str| format!("Place::Open({how:?})");
    let target = program.attach_target.as_deref();
    let kind = program.section.kind();
    if !program.autoattach {
        return "Place::Never".into();
    }
    let probe = |text: &str, at_return: bool| {
        let (function, offset) = text.split_once('+').unwrap_or((text, "0"));
        match crate::binary::parse_number(offset) {
            Some(offset) => format!("Place::Kprobe({function:?}, {offset:#x}, {at_return})"),
            None => open("its section says no offset that can be read"),
        }
    };
    let by_btf = program.section.attach_type();
    match (kind, target) {
        (AttachKind::Tracepoint, Some(target)) => match target.split_once('/') {
            Some((category, name)) => format!("Place::Tracepoint({category:?}, {name:?})"),
            None => open("its section names no category and tracepoint"),
        },
        (AttachKind::RawTracepoint, Some(name)) => format!("Place::RawTracepoint({name:?})"),
        (
            AttachKind::TracepointBtf
            | AttachKind::Fentry
            | AttachKind::Fexit
            | AttachKind::FmodRet
            | AttachKind::Fsession
            | AttachKind::Lsm,
            _,
        ) => match by_btf {
            Some(kind) => {
                let section = program.section.to_string();
                format!("Place::Tracing(AttachType::{kind:?}, {section:?})")
            }
            None => open("its section says no attach type"),
        },
        (AttachKind::Kprobe, Some(target)) => probe(target, false),
        (AttachKind::Kretprobe, Some(target)) => probe(target, true),
        (AttachKind::Freplace, Some(function)) => format!("Place::Replace({function:?})"),
        (AttachKind::Freplace, None) => "Place::Replace(\"a function\")".into(),
        (AttachKind::Iterator, _) => "Place::Iterator".into(),
        (AttachKind::Syscall | AttachKind::StructOps | AttachKind::Manual, _) => {
            "Place::Never".into()
        }
        _ => open(
            "its section does not say all of the place: describe it (`Program::attach_to` with an \
             `AttachPoint`), or leave the program out of `attach` (its section with a `?`, or \
             programs attached one by one)",
        ),
    }
}
