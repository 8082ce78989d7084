//! A linked image in a file: what a replay loads, since the kernel that it was linked for is not
//! there any more.

use std::sync::Arc;

use skep_abi::{AttachType, KernelVersion, MapCreateFlags, MapType, ProgLoadFlags, ProgramType};
use skep_btf::{Btf, TypeId};
use skep_isa::{Endian, InsnIndex, decode_slots};
use skep_object::{
    AttachBtf, Contents, Image, ImageFunction, ImageMap, ImageProgram, InfoRecords, MapIndex,
    MapReference, MapReferenceKind, Poisoned, ProgramIndex, SectionName, Slot, SlotValue,
};

use super::codec::{Reader, Writer};
use crate::Result;

/// How deep maps may be in maps: the kernel takes one.
const DEPTH: u32 = 4;

pub(crate) fn write(image: &Image, to: &mut Writer) {
    to.text(&image.name);
    to.option(image.btf.as_deref(), |to, btf| to.bytes(btf));
    to.count(image.settings.len());
    for (name, value) in &image.settings {
        to.text(name);
        to.text(value);
    }
    to.count(image.maps.len());
    for map in &image.maps {
        write_map(map, to);
    }
    to.count(image.programs.len());
    for program in &image.programs {
        write_program(program, image.endian, to);
    }
}

pub(crate) fn read(from: &mut Reader<'_>) -> Result<Image> {
    let name = from.text()?;
    let mut image = Image::new(&name, Endian::NATIVE);
    image.btf = from.option(|from| Ok(from.bytes()?.to_vec()))?;
    let btf = match &image.btf {
        Some(bytes) => match Btf::parse(bytes.clone()) {
            Ok(btf) => Some(Arc::new(btf)),
            Err(error) => return from.fault(format!("its types: {error}")),
        },
        None => None,
    };
    let settings = from.list(|from| Ok((from.text()?, from.text()?)))?;
    image.settings = settings.into_iter().collect();
    image.maps = from.list(|from| read_map(from, 0))?;
    image.programs = from.list(|from| read_program(from, btf.as_ref()))?;
    Ok(image)
}

fn write_map(map: &ImageMap, to: &mut Writer) {
    to.text(&map.name);
    to.text(&map.load_name);
    to.bool(map.create);
    to.u32(map.map_type.raw());
    for number in [map.key_size, map.value_size, map.max_entries] {
        to.u32(number);
    }
    to.u32(map.flags.bits());
    to.u64(map.map_extra);
    to.u32(map.key_type.unwrap_or_default().0);
    to.u32(map.value_type.unwrap_or_default().0);
    to.bool(map.frozen);
    to.option(map.inner.as_deref(), |to, inner| write_map(inner, to));
    match &map.contents {
        Contents::Data(bytes) => (to.u8(1), to.bytes(bytes)).1,
        Contents::Zeroes => to.u8(2),
        Contents::PerCpu(bytes) => (to.u8(3), to.bytes(bytes)).1,
        Contents::Slots(slots) => {
            to.u8(4);
            let maps = slots.iter().filter_map(|slot| match slot.value {
                SlotValue::Map(map) => Some((slot.key, map)),
                SlotValue::Program(_) => None,
            });
            let maps: Vec<_> = maps.collect();
            to.count(maps.len());
            for (key, map) in maps {
                to.u32(key);
                to.u32(map.0);
            }
        }
        _ => to.u8(0),
    }
}

fn read_map(from: &mut Reader<'_>, depth: u32) -> Result<ImageMap> {
    if depth > DEPTH {
        return from.fault("maps are too deep in maps");
    }
    let (name, load_name, create) = (from.text()?, from.text()?, from.bool()?);
    let number = from.u32()?;
    let Some(map_type) = MapType::from_raw(number) else {
        return from.fault(format!("map type {number} is not known"));
    };
    let mut map = ImageMap::new(&name, map_type, from.u32()?, from.u32()?, from.u32()?);
    map.load_name = load_name;
    map.create = create;
    map.flags = MapCreateFlags::from_bits_retain(from.u32()?);
    map.map_extra = from.u64()?;
    let mut named = || Ok(Some(TypeId(from.u32()?)).filter(|id| id.0 != 0));
    map.key_type = named()?;
    map.value_type = named()?;
    map.frozen = from.bool()?;
    map.inner = from.option(|from| Ok(Box::new(read_map(from, depth.saturating_add(1))?)))?;
    map.contents = match from.u8()? {
        0 => Contents::Empty,
        1 => Contents::Data(from.bytes()?.to_vec()),
        2 => Contents::Zeroes,
        3 => Contents::PerCpu(from.bytes()?.to_vec()),
        4 => Contents::Slots(from.list(|from| {
            Ok(Slot {
                key: from.u32()?,
                value: SlotValue::Map(MapIndex(from.u32()?)),
            })
        })?),
        other => return from.fault(format!("contents of kind {other} are not known")),
    };
    Ok(map)
}

fn write_program(program: &ImageProgram, endian: Endian, to: &mut Writer) {
    to.u32(program.index.0);
    to.text(&program.name);
    to.text(&program.load_name);
    to.text(program.section.as_str());
    to.u32(program.program_type.raw());
    to.option(program.attach_type, |to, kind| to.u32(kind.raw()));
    to.option(program.attach_target.as_deref(), Writer::text);
    to.u32(program.flags.bits());
    to.bool(program.autoattach);
    to.text(&program.license);
    to.u32(program.kernel_version.code());
    to.bytes(&program.instruction_bytes(endian));
    to.count(program.map_references.len());
    for reference in &program.map_references {
        to.u32(reference.insn.0);
        to.u32(reference.map.0);
        let offset = match reference.kind {
            MapReferenceKind::Map => None,
            MapReferenceKind::Value { offset } => Some(offset),
        };
        to.option(offset, Writer::u32);
    }
    to.count(program.functions.len());
    for function in &program.functions {
        to.text(&function.name);
        to.u32(function.start.0);
        to.u32(function.type_id.unwrap_or_default().0);
    }
    for records in [&program.func_info, &program.line_info] {
        to.u32(records.record_size);
        to.bytes(&records.bytes);
    }
    to.count(program.poisoned.len());
    for poisoned in &program.poisoned {
        to.u32(poisoned.insn.0);
        to.text(&poisoned.description);
    }
    to.option(program.attach_btf.as_ref(), |to, attach| {
        to.u32(attach.type_id.0);
        to.option(attach.module.as_deref(), Writer::text);
    });
}

fn read_program(from: &mut Reader<'_>, btf: Option<&Arc<Btf>>) -> Result<ImageProgram> {
    let index = ProgramIndex(from.u32()?);
    let (name, load_name, section) = (from.text()?, from.text()?, from.text()?);
    let Ok(section) = SectionName::parse(&section) else {
        return from.fault(format!("section `{section}` is not known"));
    };
    let number = from.u32()?;
    let Some(program_type) = ProgramType::from_raw(number) else {
        return from.fault(format!("program type {number} is not known"));
    };
    let mut program = ImageProgram::new(index, &name, section, program_type);
    program.load_name = load_name;
    program.attach_type = from
        .option(Reader::u32)?
        .map(|number| match AttachType::from_raw(number) {
            Some(kind) => Ok(kind),
            None => from.fault(format!("attach type {number} is not known")),
        })
        .transpose()?;
    program.attach_target = from.option(Reader::text)?;
    program.flags = ProgLoadFlags::from_bits_retain(from.u32()?);
    program.autoattach = from.bool()?;
    program.license = from.text()?;
    program.kernel_version = KernelVersion::from_code(from.u32()?);
    program.instructions = match decode_slots(from.bytes()?, Endian::NATIVE) {
        Ok(slots) => slots,
        Err(error) => return from.fault(format!("program `{name}`: {error}")),
    };
    program.map_references = from.list(|from| {
        Ok(MapReference {
            insn: InsnIndex(from.u32()?),
            map: MapIndex(from.u32()?),
            kind: match from.option(Reader::u32)? {
                Some(offset) => MapReferenceKind::Value { offset },
                None => MapReferenceKind::Map,
            },
        })
    })?;
    program.functions = from.list(|from| {
        Ok(ImageFunction {
            name: from.text()?,
            start: InsnIndex(from.u32()?),
            type_id: Some(TypeId(from.u32()?)).filter(|id| id.0 != 0),
        })
    })?;
    let mut records = || {
        Ok(InfoRecords {
            record_size: from.u32()?,
            bytes: from.bytes()?.to_vec(),
        })
    };
    program.func_info = records()?;
    program.line_info = records()?;
    program.poisoned = from.list(|from| {
        Ok(Poisoned {
            insn: InsnIndex(from.u32()?),
            description: from.text()?,
        })
    })?;
    program.attach_btf = from.option(|from| {
        Ok(AttachBtf {
            type_id: TypeId(from.u32()?),
            module: from.option(Reader::text)?,
        })
    })?;
    if let Some(btf) = btf {
        program.restore_source(btf, Endian::NATIVE);
    }
    Ok(program)
}
