//! Sections of one name become one: the bytes of each file behind those of the files before.

use std::collections::BTreeMap;

use object::elf;

use super::{input::Input, symbols::Key};
use crate::{Error, Result, elf::Section};

/// Bytes between the parts of sections, all together: a small file can ask for many.
const MAX_PADDING: u64 = 1 << 24;

/// The flags that mean something to those who load objects: not those of groups, which are undone.
pub(crate) const KEPT_FLAGS: u64 = elf::SHF_WRITE.0
    | elf::SHF_ALLOC.0
    | elf::SHF_EXECINSTR.0
    | elf::SHF_MERGE.0
    | elf::SHF_STRINGS.0;

/// The sections of the result, and where each file's went.
#[derive(Debug, Default)]
pub(crate) struct Sections<'a> {
    pub(crate) list: Vec<Merged<'a>>,
    by_name: BTreeMap<&'a str, usize>,
    placed: BTreeMap<(usize, usize), Placed>,
}

/// A section of the result.
#[derive(Debug)]
pub(crate) struct Merged<'a> {
    pub(crate) name: &'a str,
    pub(crate) executable: bool,
    pub(crate) zeroed: bool,
    pub(crate) flags: u64,
    pub(crate) align: u64,
    pub(crate) entry_size: u64,
    /// Bytes in memory.
    pub(crate) size: u64,
    /// Empty for a section of zeroes.
    pub(crate) data: Vec<u8>,
    /// By offset.
    pub(crate) relocations: Vec<Rebased>,
    /// The file that has it first.
    pub(crate) first: usize,
}

/// A relocation of the result.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rebased {
    pub(crate) offset: u64,
    pub(crate) kind: u32,
    pub(crate) symbol: Key,
}

/// Where a file's section is in the result.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Placed {
    /// Which of [`Sections::list`].
    pub(crate) section: usize,
    /// Where in it.
    pub(crate) offset: u64,
    /// Whether another file's stands there, which says the same: a licence.
    pub(crate) shared: bool,
}

impl Sections<'_> {
    /// Where section `index` of a file went; `None` if it was left out.
    pub(super) fn placed(&self, input: usize, index: usize) -> Option<Placed> {
        self.placed.get(&(input, index)).copied()
    }

    /// The section of this name.
    pub(super) fn named(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }
}

/// Whether all files that have such a section must say the same in it.
fn is_stated_once(name: &str) -> bool {
    matches!(name, "license" | "version")
}

pub(super) fn merge<'a>(inputs: &'a [Input<'_>]) -> Result<Sections<'a>> {
    let mut sections = Sections::default();
    let mut padding = 0_u64;
    for (input_index, input) in inputs.iter().enumerate() {
        for (index, section) in input.sections() {
            let at = *sections.by_name.entry(section.name).or_insert_with(|| {
                sections.list.push(Merged::new(input_index, section));
                sections.list.len().saturating_sub(1)
            });
            let Some(merged) = sections.list.get_mut(at) else {
                continue;
            };
            let first = inputs.get(merged.first).unwrap_or(input);
            merged.agree(section, first, input)?;
            let shared = is_stated_once(section.name) && merged.size != 0;
            let offset = if shared {
                0
            } else {
                merged.append(section, &mut padding)?
            };
            let placed = Placed {
                section: at,
                offset,
                shared,
            };
            sections.placed.insert((input_index, index), placed);
        }
    }
    Ok(sections)
}

impl<'a> Merged<'a> {
    fn new(first: usize, section: &Section<'a>) -> Self {
        Self {
            name: section.name,
            executable: section.executable,
            zeroed: section.zeroed,
            flags: section.flags & KEPT_FLAGS,
            align: 1,
            entry_size: section.entry_size,
            size: 0,
            data: Vec::new(),
            relocations: Vec::new(),
            first,
        }
    }

    /// Makes of two files' flags one, or says why it can't be.
    fn agree(
        &mut self,
        section: &Section<'_>,
        first: &Input<'_>,
        second: &Input<'_>,
    ) -> Result<()> {
        let differ = |problem: String| Error::Inputs {
            first: first.name.clone(),
            second: second.name.clone(),
            problem,
        };
        let holds = |executable, zeroed| match (executable, zeroed) {
            (true, _) => "code",
            (_, true) => "zeroes",
            _ => "data",
        };
        let (here, there) = (
            holds(self.executable, self.zeroed),
            holds(section.executable, section.zeroed),
        );
        if here != there {
            return Err(differ(format!(
                "section `{}` holds {here} in the first and {there} in the second: rename one",
                self.name
            )));
        }
        // Strings of one file may be merged with each other, which is nothing that must be kept.
        let mergeable = elf::SHF_MERGE.0 | elf::SHF_STRINGS.0;
        let flags = section.flags & KEPT_FLAGS;
        let same = (self.flags ^ flags) & mergeable == 0 && self.entry_size == section.entry_size;
        self.flags |= flags;
        if !same {
            self.flags &= !mergeable;
            self.entry_size = 0;
        }
        if is_stated_once(self.name) && self.size != 0 && stated(&self.data) != stated(section.data)
        {
            return Err(differ(format!(
                "section `{}` is {} in the first and {} in the second: make them the same",
                self.name,
                shown(&self.data),
                shown(section.data),
            )));
        }
        Ok(())
    }

    /// Puts a file's bytes behind the others, and says where.
    fn append(&mut self, section: &Section<'_>, padding: &mut u64) -> Result<u64> {
        let too_large = |count: u64, limit: u64| Error::Budget {
            what: "bytes in a section of the linked object",
            count,
            limit,
        };
        let limit = u64::from(u32::MAX);
        // By the alignment of the whole so far, as libbpf does: an object is laid out the same.
        let align = section.align.max(self.align);
        let offset = self
            .size
            .checked_next_multiple_of(align)
            .unwrap_or(u64::MAX);
        let size = offset.saturating_add(section.size);
        if size > limit {
            return Err(too_large(size, limit));
        }
        *padding = padding.saturating_add(offset.saturating_sub(self.size));
        if *padding > MAX_PADDING {
            return Err(Error::Budget {
                what: "bytes of alignment between sections",
                count: *padding,
                limit: MAX_PADDING,
            });
        }
        if !self.zeroed {
            let start = usize::try_from(offset).map_err(|_| too_large(offset, limit))?;
            self.data.resize(start, 0);
            self.data.extend_from_slice(section.data);
        }
        self.align = align;
        self.size = size;
        Ok(offset)
    }
}

/// What a section of one text says: without the NULs after it.
fn stated(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte != 0);
    end.map_or(&[], |end| bytes.get(..=end).unwrap_or(bytes))
}

fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(stated(bytes));
    format!("{:?}", text.chars().take(40).collect::<String>())
}
