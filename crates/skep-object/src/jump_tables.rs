//! Jump tables, section `.jumptables`: for each `switch` that the compiler made a `gotox` of, the
//! places that it may jump to. Compilers make them since LLVM 22, kernels take them since 6.19.

use std::collections::BTreeMap;

use skep_isa::{Endian, InsnIndex};

use crate::{
    CodePlace, Error, ImageJumpTable, JumpTable, JumpTableIndex, Result,
    elf::{Elf, Section, Symbol},
    functions::SLOT,
    link::Relocated,
};

pub(crate) const SECTION: &str = ".jumptables";

/// What is wrong with tables that have more entries together than their section.
pub(crate) const OVERLAP: &str = "its jump table overlaps another";

/// Bytes of an entry, as LLVM writes them.
const ENTRY: usize = 8;

/// The jump tables that instructions refer to, each read once.
#[derive(Debug, Default)]
pub(crate) struct JumpTables {
    pub(crate) list: Vec<JumpTable>,
    by_offset: BTreeMap<u64, JumpTableIndex>,
    /// Entries of all of them.
    entries: usize,
}

impl JumpTables {
    /// The table that a symbol names; `Err` says what is wrong with it.
    pub(crate) fn at(
        &mut self,
        elf: &Elf<'_>,
        section: &Section<'_>,
        symbol: &Symbol<'_>,
    ) -> Result<JumpTableIndex, String> {
        if let Some(known) = self.by_offset.get(&symbol.value) {
            return Ok(*known);
        }
        let table = read(section, symbol, elf.endian)?;
        // A small file could have the same bytes read for many tables.
        self.entries = self.entries.saturating_add(table.targets.len());
        if self.entries > section.data.len() / ENTRY {
            return Err(OVERLAP.into());
        }
        let index = JumpTableIndex::from_usize(self.list.len());
        self.by_offset.insert(symbol.value, index);
        self.list.push(table);
        Ok(index)
    }
}

fn read(section: &Section<'_>, symbol: &Symbol<'_>, endian: Endian) -> Result<JumpTable, String> {
    let (start, size) = (symbol.value, symbol.size);
    let whole = start.is_multiple_of(SLOT) && size.is_multiple_of(SLOT) && size != 0;
    let bytes = usize::try_from(start).ok().zip(usize::try_from(size).ok());
    let bytes = bytes.and_then(|(start, size)| section.data.get(start..start.checked_add(size)?));
    let (true, Some(bytes), Ok(offset)) = (whole, bytes, u32::try_from(start)) else {
        return Err(format!(
            "a jump table of {size:#x} bytes at {start:#x} of {SECTION}, which has {:#x}; expected \
             whole entries of 8 bytes",
            section.data.len()
        ));
    };
    let mut targets = Vec::with_capacity(bytes.len() / ENTRY);
    for entry in bytes.as_chunks::<ENTRY>().0 {
        let place = match endian {
            Endian::Little => u64::from_le_bytes(*entry),
            Endian::Big => u64::from_be_bytes(*entry),
        };
        let slot = place
            .is_multiple_of(SLOT)
            .then(|| u32::try_from(place / SLOT).ok());
        targets.push(slot.flatten().ok_or_else(|| {
            format!("its jump table leads to {place:#x}, which is no instruction's start")
        })?);
    }
    Ok(JumpTable { offset, targets })
}

/// Those of one program, while it is put together.
#[derive(Debug, Default)]
pub(crate) struct Placed(BTreeMap<JumpTableIndex, ImageJumpTable>);

impl Placed {
    /// Notes that `insn` of the program refers to a table out of `function`, which begins at
    /// `start` of the program.
    pub(crate) fn refer(
        &mut self,
        (index, table): (JumpTableIndex, &JumpTable),
        insn: InsnIndex,
        function: &Relocated,
        start: InsnIndex,
        at: CodePlace,
    ) -> Result<()> {
        if let Some(known) = self.0.get_mut(&index) {
            known.references.push(insn);
            return Ok(());
        }
        let function = &function.function;
        let inside = |target: &u32| {
            let slot = target.checked_sub(function.section_offset)?;
            let len = u32::try_from(function.instructions.len()).ok()?;
            (slot < len).then(|| InsnIndex(start.0.saturating_add(slot)))
        };
        let targets: Option<Vec<InsnIndex>> = table.targets.iter().map(inside).collect();
        let targets = targets.ok_or_else(|| Error::Code {
            place: at,
            problem: format!(
                "its jump table ({SECTION}+{:#x}) leads out of the function",
                table.offset
            ),
        })?;
        let references = vec![insn];
        self.0.insert(
            index,
            ImageJumpTable {
                references,
                targets,
            },
        );
        Ok(())
    }

    /// All of them.
    pub(crate) fn finish(self) -> Vec<ImageJumpTable> {
        self.0.into_values().collect()
    }
}
