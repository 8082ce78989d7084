//! Records that programs leave beside their instructions become what loaders know: CO-RE
//! relocations in `.BTF.ext`, with types of their own in `.BTF`; and, in [`externs`], what the kernel
//! is to provide.
//!
//! A record of CO-RE in [`SECTION`] is an instruction's address (8 bytes, filled in by a relocation), a kind
//! and the text's bytes (4 each), and the text, padded to 64, 128 or 256 bytes.

use skep_btf::{KindTag, TypeId};
use skep_isa::{Endian, InsnIndex, RawInsn, opcode};
use skep_object::{CoreKind, CoreRelocation, Error, ObjectFile, Place, Result};

use layout::{Layout, Path, Type};
use shape::{Access, Shape};

mod externs;
mod layout;
mod shape;
#[cfg(test)]
mod tests;
mod written;

/// Where `skep_ebpf::co_re` writes them.
const SECTION: &str = ".skep.core";

/// The kind of a record that only declares: a field of a type that is compared as a whole.
const DECLARED: u32 = 0xff;

/// A record, read.
struct Record {
    /// Where in its section it is, for errors.
    at: u64,
    /// The section and instruction that it is about; none if it only declares.
    insn: Option<(usize, u64)>,
    kind: Option<CoreKind>,
    access: Access,
}

pub(super) fn run(file: &mut ObjectFile) -> Result<()> {
    let mut records = Vec::new();
    for (index, section) in file.sections.iter().enumerate() {
        if section.name == SECTION {
            read(file, index, &mut records)?;
        }
    }
    let declared = externs::read(file)?;
    if records.is_empty() && declared.is_empty() {
        return Ok(());
    }

    let mut layout = Layout::default();
    let mut paths = Vec::with_capacity(records.len());
    for record in &records {
        let path = layout.access(&record.access);
        paths.push(path.map_err(|problem| malformed(record.at, problem))?);
    }
    let mut declared = externs::place(declared, &mut layout)?;
    layout.finish().map_err(|problem| malformed(0, problem))?;
    externs::measure(&mut declared, &mut layout)?;

    let endian = file.endian;
    let mut numbers = Vec::with_capacity(records.len());
    for (record, path) in records.iter().zip(&paths) {
        let number = match record.kind {
            Some(kind) => number(&mut layout, kind, path),
            None => Ok(0),
        };
        numbers.push(number.map_err(|problem| malformed(record.at, problem))?);
    }

    let local = local_types(file, &records)?;
    let mut types = file.types.clone();
    let mut written = layout.write(&mut types)?;
    let mut relocations = Vec::new();
    for (((record, path), number), local) in records.iter().zip(&paths).zip(numbers).zip(local) {
        let (Some((section, offset)), Some(kind)) = (record.insn, record.kind) else {
            continue;
        };
        let type_id = local.unwrap_or_else(|| written.id(&path.root));
        let spelled = match kind.is_type() {
            true => "0".to_owned(),
            false => layout.spelled(path),
        };
        let access = written.builder().string(&spelled);
        let insn = u32::try_from(offset / 8).unwrap_or(u32::MAX);
        relocations.push((
            section,
            CoreRelocation {
                insn: InsnIndex(insn),
                type_id,
                access,
                kind,
            },
        ));
        let code = file
            .sections
            .get_mut(section)
            .map(|section| &mut section.data);
        let slots = code.and_then(|code| code.get_mut(usize::try_from(offset).ok()?..));
        let Some(slots) = slots else { continue };
        let number = match kind {
            CoreKind::TypeIdLocal | CoreKind::TypeIdTarget => type_id.0.into(),
            _ => number,
        };
        put(slots, endian, number).map_err(|problem| malformed(record.at, problem))?;
    }
    let weak = externs::write(&declared, &mut written);
    drop(written);
    file.types = types;
    externs::weaken(file, &weak);
    for (section, relocation) in relocations {
        let Some(section) = file.sections.get(section) else {
            continue;
        };
        let records = file.records.entry(section.name.clone()).or_default();
        records.core.push(relocation);
    }
    for records in file.records.values_mut() {
        records.core.sort_by_key(|relocation| relocation.insn);
    }
    Ok(())
}

fn malformed(offset: u64, problem: impl Into<String>) -> Error {
    Error::Malformed {
        place: Place {
            section: SECTION.to_owned(),
            offset,
        },
        problem: problem.into(),
    }
}

/// Reads the records of a section.
fn read(file: &ObjectFile, index: usize, records: &mut Vec<Record>) -> Result<()> {
    let Some(section) = file.sections.get(index) else {
        return Ok(());
    };
    let mut at = 0_usize;
    while at < section.data.len() {
        let place = at as u64;
        let short = || malformed(place, "the section ends within a record");
        let rest = section.data.get(at..).unwrap_or_default();
        let (head, text) = rest.split_at_checked(16).ok_or_else(short)?;
        let (words, _) = head.as_chunks::<4>();
        let words: Vec<u32> = words.iter().map(|word| file.endian.u32(*word)).collect();
        let &[low, high, kind, len] = words.as_slice() else {
            return Err(short());
        };
        let addend = match file.endian {
            Endian::Little => u64::from(low) | u64::from(high) << 32,
            Endian::Big => u64::from(high) | u64::from(low) << 32,
        };
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let padded = match len {
            0..=64 => 64,
            65..=128 => 128,
            129..=256 => 256,
            _ => return Err(malformed(place, format!("a text of {len} bytes"))),
        };
        let text = text.get(..padded).ok_or_else(short)?;
        let text = text.get(..len).ok_or_else(short)?;
        let access = Access::parse(text).map_err(|problem| malformed(place, problem))?;
        let kind = match (kind, CoreKind::from_raw(kind)) {
            (DECLARED, _) => None,
            (_, Some(kind)) => Some(kind),
            _ => return Err(malformed(place, format!("unknown kind {kind}"))),
        };
        let insn = match kind {
            Some(_) => Some(instruction(file, index, place, addend)?),
            None => None,
        };
        records.push(Record {
            at: place,
            insn,
            kind,
            access,
        });
        at = at.saturating_add(16).saturating_add(padded);
    }
    Ok(())
}

/// The instruction that the address at `at` of a section of records stands for: its section, and
/// its offset there.
fn instruction(file: &ObjectFile, index: usize, at: u64, addend: u64) -> Result<(usize, u64)> {
    let section = file.sections.get(index);
    let mut relocations = section.into_iter().flat_map(|section| &section.relocations);
    let relocation = relocations.find(|relocation| relocation.offset == at);
    let symbol = relocation.and_then(|relocation| file.symbols.get(relocation.symbol));
    let symbol = symbol.ok_or_else(|| malformed(at, "a record of no instruction"))?;
    let code = symbol
        .section
        .and_then(|code| Some((code, file.sections.get(code)?)));
    let Some((code, section)) = code.filter(|(_, section)| section.is_code()) else {
        return Err(malformed(at, format!("`{}` is no code", symbol.name)));
    };
    let offset = symbol.value.saturating_add(addend);
    if offset % 8 != 0 || offset.saturating_add(8) > section.data.len() as u64 {
        let problem = format!("no instruction at {}+{offset:#x}", section.name);
        return Err(malformed(at, problem));
    }
    Ok((code, offset))
}

/// What the object's own types give for a relocation.
fn number(layout: &mut Layout, kind: CoreKind, path: &Path) -> Result<u64, String> {
    let fits = match kind {
        kind if kind.is_enumerator() => layout.value(path).is_some(),
        kind if kind.is_type() => path.parts.is_empty(),
        _ => layout.value(path).is_none() && !path.parts.is_empty(),
    };
    if !fits {
        return Err(format!("{kind} of something else"));
    }
    let bits = |bytes: u64| match bytes {
        1..=8 => Ok(bytes.saturating_mul(8)),
        _ => Err(format!("a bit field of {bytes} bytes")),
    };
    let bytes = match path.end {
        Type::Void => 0,
        ref end => layout.bytes(end)?,
    };
    Ok(match kind {
        CoreKind::FieldByteOffset => layout.offset(path)?,
        CoreKind::FieldByteSize | CoreKind::TypeSize => bytes,
        CoreKind::FieldSigned => layout.is_signed(&path.end).into(),
        // Of a field that is whole in memory, in either byte order.
        CoreKind::FieldLeftShift | CoreKind::FieldRightShift => 64_u64.saturating_sub(bits(bytes)?),
        CoreKind::EnumeratorValue => layout.value(path).unwrap_or_default(),
        CoreKind::FieldExists
        | CoreKind::EnumeratorExists
        | CoreKind::TypeExists
        | CoreKind::TypeMatches => 1,
        // Types are numbered later.
        _ => 0,
    })
}

/// For each record that asks for the id of a type of the program's own, which it is.
fn local_types(file: &ObjectFile, records: &[Record]) -> Result<Vec<Option<TypeId>>> {
    let btf = file.btf()?;
    let mut found = Vec::with_capacity(records.len());
    for record in records {
        let Shape::Local(name) = &record.access.root else {
            found.push(None);
            continue;
        };
        let id = btf.find(name, KindTag::Struct);
        let id = id.or_else(|| btf.find(name, KindTag::Union));
        let id = id.filter(|_| record.kind == Some(CoreKind::TypeIdLocal));
        found.push(Some(id.ok_or_else(|| {
            let problem = format!(
                "the object describes no type `{name}`: the compiler leaves out what no map, \
                 global or function has"
            );
            malformed(record.at, problem)
        })?));
    }
    Ok(found)
}

/// Puts a number where the instruction has one.
fn put(code: &mut [u8], endian: Endian, number: u64) -> Result<(), String> {
    let slot = |code: &[u8], at: usize| {
        let bytes = code.get(at..).and_then(<[u8]>::first_chunk::<8>);
        bytes.map(|bytes| RawInsn::from_bytes(*bytes, endian))
    };
    let mut first = slot(code, 0).ok_or("no instruction is there")?;
    let mut second = None;
    let wide = opcode::BPF_LD | opcode::BPF_IMM | opcode::BPF_DW;
    let low = number as u32;
    match first.opcode & 0x07 {
        opcode::BPF_ALU | opcode::BPF_ALU64 if first.opcode & opcode::BPF_X == opcode::BPF_K => {
            let fits = i32::try_from(number.cast_signed()).is_ok() || u32::try_from(number).is_ok();
            if !fits {
                return Err(format!("{number} is too large for an instruction"));
            }
            first.imm = low.cast_signed();
        }
        opcode::BPF_LDX | opcode::BPF_ST | opcode::BPF_STX => {
            first.offset = i16::try_from(number).map_err(|_| {
                format!("offset {number} is too large for a load: take its address")
            })?;
        }
        _ if first.opcode == wide => {
            let mut half = slot(code, 8).ok_or("half a load of 64 bits")?;
            first.imm = low.cast_signed();
            half.imm = ((number >> 32) as u32).cast_signed();
            second = Some(half);
        }
        _ => {
            let opcode = first.opcode;
            return Err(format!(
                "an instruction of opcode {opcode:#04x} has no number"
            ));
        }
    }
    for (at, slot) in [(0, Some(first)), (8, second)] {
        let place = code.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<8>);
        if let (Some(place), Some(slot)) = (place, slot) {
            *place = slot.to_bytes(endian);
        }
    }
    Ok(())
}
