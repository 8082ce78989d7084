//! `.BTF.ext`: function records, line records and CO-RE relocations of each program section, in
//! either byte order and of any record size.

use std::collections::BTreeMap;

use skep_btf::{Btf, StringOffset, TypeId};
use skep_isa::{Endian, InsnIndex};

use crate::{
    Error, Result,
    core::{CoreKind, CoreRelocation},
    error::Place,
};

/// A line of source and the first instruction that comes from it: uapi `struct bpf_line_info`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[doc(alias = "bpf_line_info")]
pub struct LineRecord {
    /// The instruction, from its function's start.
    pub insn: InsnIndex,
    /// The file's path, in the object's BTF.
    pub file: StringOffset,
    /// The line's text, in the object's BTF.
    pub text: StringOffset,
    /// The line in the upper 22 bits, the column in the lower 10.
    pub line_and_column: u32,
}

impl LineRecord {
    /// The line, from 1.
    pub fn line(&self) -> u32 {
        self.line_and_column >> 10
    }

    /// The column, from 1; 0 where it is not known.
    pub fn column(&self) -> u32 {
        self.line_and_column & 0x3ff
    }
}

/// The type of the function that begins at an instruction of a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FunctionRecord {
    pub(crate) insn: InsnIndex,
    pub(crate) type_id: TypeId,
}

/// The records of one section; instructions count from the section's start.
#[derive(Debug, Clone, Default)]
pub(crate) struct SectionRecords {
    pub(crate) functions: Vec<FunctionRecord>,
    pub(crate) lines: Vec<LineRecord>,
    pub(crate) core: Vec<CoreRelocation>,
}

/// All records, by section name, each list sorted by instruction.
pub(crate) type Records = BTreeMap<String, SectionRecords>;

pub(crate) const SECTION: &str = ".BTF.ext";
const MAGIC: u16 = 0xeb9f;
/// The header without the place of the CO-RE relocations, which older compilers leave out.
const SHORT_HEADER: u32 = 24;
const HEADER: u32 = 32;

/// Bytes of the records this crate reads; the section's own may be longer.
const FUNCTION_RECORD: u32 = 8;
const LINE_RECORD: u32 = 16;
const CORE_RECORD: u32 = 16;

pub(crate) fn parse(data: &[u8], endian: Endian, btf: &Btf) -> Result<Records> {
    let reader = Reader { data, endian, btf };
    let header_len = reader.header()?;
    let mut records = Records::new();

    reader.section(
        "function records",
        header_len,
        8,
        FUNCTION_RECORD,
        |name, at| {
            let record = FunctionRecord {
                insn: reader.insn(at)?,
                type_id: TypeId(reader.word(at.saturating_add(4))?),
            };
            records
                .entry(name.to_owned())
                .or_default()
                .functions
                .push(record);
            Ok(())
        },
    )?;
    reader.section("line records", header_len, 16, LINE_RECORD, |name, at| {
        let record = LineRecord {
            insn: reader.insn(at)?,
            file: StringOffset(reader.word(at.saturating_add(4))?),
            text: StringOffset(reader.word(at.saturating_add(8))?),
            line_and_column: reader.word(at.saturating_add(12))?,
        };
        records
            .entry(name.to_owned())
            .or_default()
            .lines
            .push(record);
        Ok(())
    })?;
    if header_len >= HEADER {
        reader.section(
            "CO-RE relocations",
            header_len,
            24,
            CORE_RECORD,
            |name, at| {
                let kind = reader.word(at.saturating_add(12))?;
                let record = CoreRelocation {
                    insn: reader.insn(at)?,
                    type_id: TypeId(reader.word(at.saturating_add(4))?),
                    access: StringOffset(reader.word(at.saturating_add(8))?),
                    kind: CoreKind::from_raw(kind).ok_or_else(|| {
                        malformed(
                            at,
                            format!("unknown CO-RE relocation kind {kind}, expected 0 to 12"),
                        )
                    })?,
                };
                records
                    .entry(name.to_owned())
                    .or_default()
                    .core
                    .push(record);
                Ok(())
            },
        )?;
    }

    for section in records.values_mut() {
        section.functions.sort_by_key(|record| record.insn);
        section.lines.sort_by_key(|record| record.insn);
        section.core.sort_by_key(|record| record.insn);
    }
    Ok(records)
}

/// The section of these records, by the place of each section's name in the BTF. `None` if it would
/// be too long for its format.
pub(crate) fn write(sections: &[(StringOffset, SectionRecords)], endian: Endian) -> Option<Vec<u8>> {
    let functions = table(FUNCTION_RECORD, sections, |records| {
        let records = records.functions.iter();
        records.map(|record| Some([offset(record.insn)?, record.type_id.0])).collect()
    })?;
    let lines = table(LINE_RECORD, sections, |records| {
        let words = |line: &LineRecord| {
            Some([offset(line.insn)?, line.file.0, line.text.0, line.line_and_column])
        };
        records.lines.iter().map(words).collect()
    })?;
    let core = table(CORE_RECORD, sections, |records| {
        let words = |core: &CoreRelocation| {
            Some([offset(core.insn)?, core.type_id.0, core.access.0, core.kind as u32])
        };
        records.core.iter().map(words).collect()
    })?;
    let (magic, version, flags) = (u32::from(MAGIC), 1, 0);
    let first = match endian {
        Endian::Little => magic | version << 16 | flags << 24,
        Endian::Big => magic << 16 | version << 8 | flags,
    };
    let mut words = vec![first, HEADER];
    let mut at = 0_u32;
    for table in [&functions, &lines, &core] {
        let len = u32::try_from(table.len()).ok()?.checked_mul(4)?;
        words.extend([at, len]);
        at = at.checked_add(len)?;
    }
    at.checked_add(HEADER)?;
    words.extend(functions.into_iter().chain(lines).chain(core));
    let bytes = words.into_iter().flat_map(|word| match endian {
        Endian::Little => word.to_le_bytes(),
        Endian::Big => word.to_be_bytes(),
    });
    Some(bytes.collect())
}

/// The words of all records of one kind; none if there are none.
fn table<const LEN: usize>(
    size: u32,
    sections: &[(StringOffset, SectionRecords)],
    of: impl Fn(&SectionRecords) -> Option<Vec<[u32; LEN]>>,
) -> Option<Vec<u32>> {
    let mut words = Vec::new();
    for (name, records) in sections {
        let records = of(records)?;
        if records.is_empty() {
            continue;
        }
        if words.is_empty() {
            words.push(size);
        }
        words.extend([name.0, u32::try_from(records.len()).ok()?]);
        words.extend(records.as_flattened());
    }
    Some(words)
}

/// An instruction as its offset in bytes.
fn offset(insn: InsnIndex) -> Option<u32> {
    insn.0.checked_mul(8)
}

struct Reader<'data> {
    data: &'data [u8],
    endian: Endian,
    btf: &'data Btf,
}

impl Reader<'_> {
    fn header(&self) -> Result<u32> {
        let short = || {
            malformed(
                0,
                format!("{} bytes, too few for a header", self.data.len()),
            )
        };
        let magic = self.data.first_chunk::<2>().ok_or_else(short)?;
        let magic = match self.endian {
            Endian::Little => u16::from_le_bytes(*magic),
            Endian::Big => u16::from_be_bytes(*magic),
        };
        if magic != MAGIC {
            return Err(malformed(
                0,
                format!("magic number {magic:#06x}, expected {MAGIC:#06x}"),
            ));
        }
        let header_len = self.word(4)?;
        if header_len < SHORT_HEADER {
            let problem = format!("header of {header_len} bytes, expected {SHORT_HEADER} or more");
            return Err(malformed(4, problem));
        }
        Ok(header_len)
    }

    fn word(&self, at: u32) -> Result<u32> {
        let bytes = usize::try_from(at)
            .ok()
            .and_then(|at| self.data.get(at..)?.first_chunk::<4>())
            .ok_or_else(|| malformed(at, "the section ends here, expected 4 more bytes".into()))?;
        Ok(match self.endian {
            Endian::Little => u32::from_le_bytes(*bytes),
            Endian::Big => u32::from_be_bytes(*bytes),
        })
    }

    /// The instruction that the byte offset at `at` stands for.
    fn insn(&self, at: u32) -> Result<InsnIndex> {
        let offset = self.word(at)?;
        match (offset / 8, offset % 8) {
            (insn, 0) => Ok(InsnIndex(insn)),
            _ => Err(malformed(
                at,
                format!("instruction offset {offset:#x} is no multiple of 8"),
            )),
        }
    }

    /// Calls `record` with the section name and the place of each record of one kind, whose
    /// offset and length stand at `field` of the header.
    fn section(
        &self,
        what: &str,
        header_len: u32,
        field: u32,
        least: u32,
        mut record: impl FnMut(&str, u32) -> Result<()>,
    ) -> Result<()> {
        let offset = self.word(field)?;
        let len = self.word(field.saturating_add(4))?;
        if len == 0 {
            return Ok(());
        }
        let bounds = header_len.checked_add(offset).and_then(|start| {
            let end = start.checked_add(len)?;
            (usize::try_from(end).ok()? <= self.data.len()).then_some((start, end))
        });
        let Some((start, end)) = bounds else {
            return Err(malformed(
                field,
                format!(
                    "{what} at {offset:#x}, {len:#x} bytes, lie outside the section of {:#x} bytes",
                    self.data.len()
                ),
            ));
        };
        let size = self.word(start)?;
        if size < least || size % 4 != 0 {
            let problem = format!("{what} of {size} bytes, expected {least} or more, by four");
            return Err(malformed(start, problem));
        }
        let mut at = start.saturating_add(4);
        while at < end {
            let name = StringOffset(self.word(at)?);
            let name = self
                .btf
                .string(name)
                .map_err(|_| malformed(at, format!("no section name at string offset {name}")))?;
            let count = self.word(at.saturating_add(4))?;
            at = at.saturating_add(8);
            let room = end.saturating_sub(at).checked_div(size).unwrap_or(0);
            if count == 0 || count > room {
                let problem = format!("{count} {what} for {name}, there is room for {room}");
                return Err(malformed(at.saturating_sub(4), problem));
            }
            for _ in 0..count {
                record(name, at)?;
                at = at.saturating_add(size);
            }
        }
        Ok(())
    }
}

fn malformed(at: u32, problem: String) -> Error {
    Error::Malformed {
        place: Place::new(SECTION, at.into()),
        problem,
    }
}
