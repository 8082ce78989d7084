//! Rewriting a linked program: putting instructions around those that it has, and moving all that
//! names a place in it (jumps, calls, references, function and line records) to where the place is
//! then. For passes that watch or change what a program does; each is a list of edits.

use std::collections::BTreeMap;

use skep_isa::{DecodeError, Endian, Insn, InsnIndex, RawInsn, decode_program};

use crate::{ImageProgram, InfoRecords, MapIndex, MapReference, MapReferenceKind};

/// Bytes of an instruction's place at the start of a function or line record.
const PLACE: usize = 4;

/// Instructions to put into a program. Jumps in them stay in them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snippet {
    slots: Vec<RawInsn>,
    maps: Vec<(usize, MapIndex, u32)>,
}

impl Snippet {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends an instruction.
    pub fn push(&mut self, insn: Insn) -> &mut Self {
        self.slots.extend_from_slice(&insn.encode());
        self
    }

    /// Appends the load of a map's address, which the host puts in.
    pub fn push_map(&mut self, dst: skep_isa::Reg, map: MapIndex) -> &mut Self {
        self.maps.push((self.slots.len(), map, u32::MAX));
        let value = skep_isa::Imm64::MapFd { fd: 0 };
        self.push(Insn::LoadImm64 { dst, value })
    }

    /// Appends the load of the address of a place in a map's first value.
    pub fn push_map_value(&mut self, dst: skep_isa::Reg, map: MapIndex, offset: u32) -> &mut Self {
        self.maps.push((self.slots.len(), map, offset));
        let value = skep_isa::Imm64::MapValue { fd: 0, offset };
        self.push(Insn::LoadImm64 { dst, value })
    }

    /// How many slots it takes.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Appends another.
    pub fn append(&mut self, other: Self) -> &mut Self {
        let shift = self.slots.len();
        self.slots.extend(other.slots);
        let maps = other.maps.into_iter();
        self.maps
            .extend(maps.map(|(at, map, offset)| (at.saturating_add(shift), map, offset)));
        self
    }

    /// Lets the jump at slot `at` go to the end of what is there now.
    ///
    /// Nothing happens where there is no jump, or one that can't reach so far.
    pub fn land(&mut self, at: usize) {
        let distance = self.slots.len().saturating_sub(at).saturating_sub(1);
        if let (Some(slot), Ok(distance)) = (self.slots.get_mut(at), i16::try_from(distance)) {
            slot.offset = distance;
        }
    }
}

/// What is put where into a program.
#[derive(Debug, Clone, Default)]
pub struct Rewrite {
    edits: BTreeMap<InsnIndex, Edit>,
}

/// What is put around one instruction.
#[derive(Debug, Clone, Default)]
struct Edit {
    entry: Snippet,
    before: Snippet,
    instead: Option<Snippet>,
    after: Snippet,
}

/// Why a program can't be rewritten.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RewriteError {
    /// It is no program.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// An edit is for a place where no instruction begins.
    #[error("no instruction begins at {at}")]
    NoInstruction {
        /// The place.
        at: InsnIndex,
    },
    /// A jump would have to go further than its 16 bits reach, or goes out of the program.
    #[error("the jump at instruction {at} would have to go {distance} slots far")]
    Jump {
        /// The jump, in the program as it was.
        at: InsnIndex,
        /// How far.
        distance: i64,
    },
    /// It would have more instructions than can be counted.
    #[error("the program would be too long")]
    TooLong,
}

impl Rewrite {
    /// Nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    fn edit(&mut self, at: InsnIndex) -> &mut Edit {
        self.edits.entry(at).or_default()
    }

    /// Runs once when the function that begins at `at` is entered; a jump to its first
    /// instruction does not run it.
    pub fn at_entry(&mut self, at: InsnIndex, snippet: Snippet) {
        self.edit(at).entry.append(snippet);
    }

    /// Runs before the instruction, however it is reached.
    pub fn before(&mut self, at: InsnIndex, snippet: Snippet) {
        self.edit(at).before.append(snippet);
    }

    /// Runs in place of the instruction.
    pub fn instead(&mut self, at: InsnIndex, snippet: Snippet) {
        self.edit(at).instead = Some(snippet);
    }

    /// Runs after the instruction, where it goes on to the next one.
    pub fn after(&mut self, at: InsnIndex, snippet: Snippet) {
        self.edit(at).after.append(snippet);
    }

    /// The program with all edits made; records are read and written in the image's byte order.
    ///
    /// # Errors
    /// The program does not decode, an edit has no place, or a jump would be too long.
    pub fn apply(
        &self,
        program: &ImageProgram,
        endian: Endian,
    ) -> Result<ImageProgram, RewriteError> {
        let places = Places::new(self, program)?;
        let mut made = ImageProgram {
            instructions: Vec::with_capacity(places.len as usize),
            map_references: Vec::new(),
            ..program.clone()
        };
        for item in decode_program(&program.instructions) {
            let (at, insn) = item?;
            let edit = self.edits.get(&at);
            if let Some(edit) = edit {
                put(&mut made, &edit.entry);
                put(&mut made, &edit.before);
            }
            match edit.and_then(|edit| edit.instead.as_ref()) {
                Some(instead) => put(&mut made, instead),
                None => {
                    let references = program.map_references.iter();
                    let here = position(&made);
                    for reference in references.filter(|reference| reference.insn == at) {
                        made.map_references.push(MapReference {
                            insn: here,
                            ..*reference
                        });
                    }
                    let insn = places.aimed(at, insn)?;
                    made.instructions.extend_from_slice(&insn.encode());
                }
            }
            if let Some(edit) = edit {
                put(&mut made, &edit.after);
            }
        }
        places.move_all(self, &mut made, endian);
        Ok(made)
    }
}

fn position(program: &ImageProgram) -> InsnIndex {
    InsnIndex(u32::try_from(program.instructions.len()).unwrap_or(u32::MAX))
}

fn put(program: &mut ImageProgram, snippet: &Snippet) {
    let start = position(program).0;
    for (at, map, offset) in &snippet.maps {
        let at = u32::try_from(*at).unwrap_or(u32::MAX);
        program.map_references.push(MapReference {
            insn: InsnIndex(start.saturating_add(at)),
            map: *map,
            kind: match *offset {
                u32::MAX => MapReferenceKind::Map,
                offset => MapReferenceKind::Value { offset },
            },
        });
    }
    program.instructions.extend_from_slice(&snippet.slots);
}

/// Where each instruction of the old program is in the new one.
struct Places {
    /// What runs when a function is entered there.
    entries: BTreeMap<InsnIndex, InsnIndex>,
    /// What runs when a jump goes there.
    groups: BTreeMap<InsnIndex, InsnIndex>,
    /// The instruction itself.
    insns: BTreeMap<InsnIndex, InsnIndex>,
    len: u32,
}

impl Places {
    fn new(rewrite: &Rewrite, program: &ImageProgram) -> Result<Self, RewriteError> {
        let mut places = Self {
            entries: BTreeMap::new(),
            groups: BTreeMap::new(),
            insns: BTreeMap::new(),
            len: 0,
        };
        let none = Edit::default();
        for item in decode_program(&program.instructions) {
            let (at, insn) = item?;
            let edit = rewrite.edits.get(&at).unwrap_or(&none);
            places.entries.insert(at, InsnIndex(places.len));
            places.grow(edit.entry.len())?;
            places.groups.insert(at, InsnIndex(places.len));
            places.grow(edit.before.len())?;
            places.insns.insert(at, InsnIndex(places.len));
            let own = insn.slots() as usize;
            places.grow(edit.instead.as_ref().map_or(own, Snippet::len))?;
            places.grow(edit.after.len())?;
        }
        match rewrite
            .edits
            .keys()
            .find(|at| !places.insns.contains_key(at))
        {
            Some(at) => Err(RewriteError::NoInstruction { at: *at }),
            None => Ok(places),
        }
    }

    fn grow(&mut self, slots: usize) -> Result<(), RewriteError> {
        let slots = u32::try_from(slots).map_err(|_| RewriteError::TooLong)?;
        self.len = self.len.checked_add(slots).ok_or(RewriteError::TooLong)?;
        Ok(())
    }

    /// The instruction that was at `at`, aimed at where its target is now.
    fn aimed(&self, at: InsnIndex, insn: Insn) -> Result<Insn, RewriteError> {
        let target = match insn.subprogram(at) {
            Some(function) => self.entries.get(&function),
            None if insn.is_jump() && insn.jump_offset().is_some() => {
                insn.target(at).and_then(|target| self.groups.get(&target))
            }
            None => return Ok(insn),
        };
        let from = i64::from(self.insns.get(&at).map_or(0, |at| at.0));
        let Some(target) = target else {
            return Err(RewriteError::Jump {
                at,
                distance: insn.jump_offset().unwrap_or_default().into(),
            });
        };
        let distance = i64::from(target.0).saturating_sub(from).saturating_sub(1);
        let aimed = i32::try_from(distance).ok();
        aimed
            .and_then(|distance| insn.with_relative_offset(distance))
            .ok_or(RewriteError::Jump { at, distance })
    }

    fn entry(&self, at: InsnIndex) -> InsnIndex {
        self.entries.get(&at).copied().unwrap_or(at)
    }

    /// Moves all that names places.
    fn move_all(&self, rewrite: &Rewrite, made: &mut ImageProgram, endian: Endian) {
        let kept = |at: &InsnIndex| {
            let edit = rewrite.edits.get(at);
            edit.is_none_or(|edit| edit.instead.is_none())
        };
        let insn = |at: InsnIndex| self.insns.get(&at).copied().unwrap_or(at);
        made.module_references.retain(|it| kept(&it.insn));
        for reference in &mut made.module_references {
            reference.insn = insn(reference.insn);
        }
        for table in &mut made.jump_tables {
            table.references.retain(kept);
            for reference in &mut table.references {
                *reference = insn(*reference);
            }
            for target in &mut table.targets {
                *target = self.groups.get(target).copied().unwrap_or(*target);
            }
        }
        made.poisoned.retain(|it| kept(&it.insn));
        for poisoned in &mut made.poisoned {
            poisoned.insn = insn(poisoned.insn);
        }
        for function in &mut made.functions {
            function.start = self.entry(function.start);
        }
        for (start, _) in &mut made.source.functions {
            *start = self.entry(*start);
        }
        for line in &mut made.source.lines {
            line.insn = self.entry(line.insn);
        }
        self.move_records(&mut made.func_info, endian);
        self.move_records(&mut made.line_info, endian);
    }

    fn move_records(&self, records: &mut InfoRecords, endian: Endian) {
        let size = usize::try_from(records.record_size).unwrap_or(usize::MAX);
        for record in records.bytes.chunks_exact_mut(size.max(PLACE)) {
            if let Some(place) = record.first_chunk_mut::<PLACE>() {
                let moved = self.entry(InsnIndex(endian.u32(*place))).0;
                *place = match endian {
                    Endian::Little => moved.to_le_bytes(),
                    Endian::Big => moved.to_be_bytes(),
                };
            }
        }
    }
}

#[cfg(test)]
mod tests;
