//! `.BTF.ext`: function records, line records and CO-RE relocations of each program section, in
//! either byte order and of any record size.

use std::collections::BTreeMap;

use skep_btf::{Btf, StringOffset, TypeId};
use skep_isa::{Endian, InsnIndex};

use crate::{
    Error, Result,
    core::{CoreKind, CoreRelocation},
    error::Place,
    order,
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

    let insn = |at, offset| reader.insn(at, offset);
    let functions = |at| {
        let [offset, type_id] = reader.words(at)?;
        let insn = insn(at, offset)?;
        let type_id = TypeId(type_id);
        Ok(FunctionRecord { insn, type_id })
    };
    let lines = |at| {
        let [offset, file, text, line_and_column] = reader.words(at)?;
        Ok(LineRecord {
            insn: insn(at, offset)?,
            file: StringOffset(file),
            text: StringOffset(text),
            line_and_column,
        })
    };
    let core = |at| {
        let [offset, type_id, access, kind] = reader.words(at)?;
        let unknown = || {
            let problem = format!("unknown CO-RE relocation kind {kind}, expected 0 to 12");
            malformed(at, problem)
        };
        Ok(CoreRelocation {
            insn: insn(at, offset)?,
            type_id: TypeId(type_id),
            access: StringOffset(access),
            kind: CoreKind::from_raw(kind).ok_or_else(unknown)?,
        })
    };
    let table = reader.table("function records", header_len, 8, FUNCTION_RECORD)?;
    reader.read(table, &mut records, |of| &mut of.functions, functions)?;
    let table = reader.table("line records", header_len, 16, LINE_RECORD)?;
    reader.read(table, &mut records, |of| &mut of.lines, lines)?;
    if header_len >= HEADER {
        let table = reader.table("CO-RE relocations", header_len, 24, CORE_RECORD)?;
        reader.read(table, &mut records, |of| &mut of.core, core)?;
    }
    for section in records.values_mut() {
        order::by_key(&mut section.functions, |record| record.insn.0);
        order::by_key(&mut section.lines, |record| record.insn.0);
        order::by_key(&mut section.core, |record| record.insn.0);
    }
    Ok(records)
}

/// The section of these records, by the place of each section's name in the BTF. `None` if it would
/// be too long for its format.
pub(crate) fn write(
    sections: &[(StringOffset, SectionRecords)],
    endian: Endian,
) -> Option<Vec<u8>> {
    let functions = table(FUNCTION_RECORD, sections, |records| {
        let records = records.functions.iter();
        records
            .map(|record| Some([offset(record.insn)?, record.type_id.0]))
            .collect()
    })?;
    let lines = table(LINE_RECORD, sections, |records| {
        let words = |line: &LineRecord| {
            Some([
                offset(line.insn)?,
                line.file.0,
                line.text.0,
                line.line_and_column,
            ])
        };
        records.lines.iter().map(words).collect()
    })?;
    let core = table(CORE_RECORD, sections, |records| {
        let words = |core: &CoreRelocation| {
            Some([
                offset(core.insn)?,
                core.type_id.0,
                core.access.0,
                core.kind as u32,
            ])
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
        let [word] = self.words(at)?;
        Ok(word)
    }

    fn words<const LEN: usize>(&self, at: u32) -> Result<[u32; LEN]> {
        let bytes = usize::try_from(at).ok().and_then(|at| self.data.get(at..));
        let words = bytes.and_then(|bytes| bytes.as_chunks::<4>().0.first_chunk::<LEN>());
        let words = words.ok_or_else(|| {
            let needed = LEN.saturating_mul(4);
            malformed(
                at,
                format!("the section ends here, expected {needed} more bytes"),
            )
        })?;
        Ok(words.map(|bytes| match self.endian {
            Endian::Little => u32::from_le_bytes(bytes),
            Endian::Big => u32::from_be_bytes(bytes),
        }))
    }

    /// The instruction that the byte offset at `at` stands for.
    fn insn(&self, at: u32, offset: u32) -> Result<InsnIndex> {
        match (offset / 8, offset % 8) {
            (insn, 0) => Ok(InsnIndex(insn)),
            _ => Err(malformed(
                at,
                format!("instruction offset {offset:#x} is no multiple of 8"),
            )),
        }
    }

    /// The table of records of one kind, whose offset and length stand at `field` of the header;
    /// none if it is empty.
    fn table(
        &self,
        what: &'static str,
        header_len: u32,
        field: u32,
        least: u32,
    ) -> Result<Option<Table>> {
        let [offset, len] = self.words(field)?;
        if len == 0 {
            return Ok(None);
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
        Ok(Some(Table {
            what,
            size,
            at: start.saturating_add(4),
            end,
        }))
    }

    /// The section that the records at the table's position are of, and their number; moves behind
    /// both.
    fn next<'btf>(&'btf self, table: &mut Table) -> Result<(&'btf str, u32)> {
        let [name, count] = self.words(table.at)?;
        let name = StringOffset(name);
        let unnamed = |_| malformed(table.at, format!("no section name at string offset {name}"));
        let name = self.btf.string(name).map_err(unnamed)?;
        let (what, place) = (table.what, table.at.saturating_add(4));
        table.at = table.at.saturating_add(8);
        let room = table.end.saturating_sub(table.at);
        let room = room.checked_div(table.size).unwrap_or(0);
        if count == 0 || count > room {
            let problem = format!("{count} {what} for {name}, there is room for {room}");
            return Err(malformed(place, problem));
        }
        Ok((name, count))
    }

    /// Reads each record by `record`, which takes its place, into its section's list.
    fn read<T>(
        &self,
        table: Option<Table>,
        records: &mut Records,
        list: impl Fn(&mut SectionRecords) -> &mut Vec<T>,
        record: impl Fn(u32) -> Result<T>,
    ) -> Result<()> {
        let Some(mut table) = table else {
            return Ok(());
        };
        while table.at < table.end {
            let (name, count) = self.next(&mut table)?;
            if !records.contains_key(name) {
                records.insert(name.to_owned(), SectionRecords::default());
            }
            let Some(section) = records.get_mut(name) else {
                continue;
            };
            let list = list(section);
            // There is room for so many in the section.
            list.reserve(count as usize);
            for _ in 0..count {
                list.push(record(table.at)?);
                table.at = table.at.saturating_add(table.size);
            }
        }
        Ok(())
    }
}

/// A table of records of one kind.
struct Table {
    what: &'static str,
    /// Bytes of a record.
    size: u32,
    /// Where reading is.
    at: u32,
    end: u32,
}

fn malformed(at: u32, problem: String) -> Error {
    Error::Malformed {
        place: Place::new(SECTION, at.into()),
        problem,
    }
}
