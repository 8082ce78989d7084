//! A program's instructions in one piece: its own, then its subprograms', with calls, references
//! and debug records moved along.

use std::collections::BTreeMap;

use skep_abi::LoaderFeature as Feature;
use skep_isa::{Endian, InsnIndex, RawInsn};

use crate::{
    CodePlace, Error, FunctionIndex, ImageFunction, ImageMap, InfoRecords, LineRecord,
    MapReference, ModuleReference, Object, Poisoned, Program, Result, downgrade, features::Lacking,
    jump_tables::Placed, link::Relocated, refer::Referring, references::LD_IMM64,
    resolve::Resolver, source::SourceTable,
};

/// What a kernel processes at most, and so the longest program that any takes.
const MAX_INSTRUCTIONS: usize = 1_000_000;
/// All programs of an image together.
const MAX_TOTAL: usize = 16 * MAX_INSTRUCTIONS;

/// How many instructions all programs of an image have so far.
#[derive(Debug, Default)]
pub(crate) struct Budget(usize);

/// A program's instructions and what belongs to them.
#[derive(Debug, Default)]
pub(crate) struct Code {
    pub(crate) instructions: Vec<RawInsn>,
    pub(crate) map_references: Vec<MapReference>,
    pub(crate) module_references: Vec<ModuleReference>,
    pub(crate) functions: Vec<ImageFunction>,
    pub(crate) func_info: InfoRecords,
    pub(crate) line_info: InfoRecords,
    pub(crate) poisoned: Vec<Poisoned>,
    pub(crate) jump_tables: Placed,
    pub(crate) source: SourceTable,
}

pub(crate) fn assemble(
    object: &Object,
    program: &Program,
    functions: &BTreeMap<FunctionIndex, Relocated>,
    resolver: &mut Resolver<'_>,
    maps: &[ImageMap],
    lacking: &mut Lacking,
    budget: &mut Budget,
) -> Result<Code> {
    let mut code = Code::default();
    let mut starts = BTreeMap::new();
    let parts: Vec<(FunctionIndex, &Relocated)> = std::iter::once(&program.function)
        .chain(&program.subprograms)
        .filter_map(|index| Some((*index, functions.get(index)?)))
        .collect();
    for (index, part) in &parts {
        let start = InsnIndex(u32::try_from(code.instructions.len()).unwrap_or(u32::MAX));
        starts.insert(*index, start);
        code.instructions
            .extend_from_slice(&part.function.instructions);
        budget.0 = budget.0.saturating_add(part.function.instructions.len());
        if code.instructions.len() > MAX_INSTRUCTIONS {
            return Err(Error::Code {
                place: CodePlace {
                    function: program.name.clone(),
                    insn: start,
                },
                problem: format!(
                    "the program has more than {MAX_INSTRUCTIONS} instructions, which no kernel takes"
                ),
            });
        }
        if budget.0 > MAX_TOTAL {
            let (count, limit) = (budget.0 as u64, MAX_TOTAL as u64);
            return Err(Error::Budget {
                what: "instructions in all programs",
                count,
                limit,
            });
        }
        code.functions.push(ImageFunction {
            name: part.function.name.clone(),
            start,
            type_id: part.function.type_id,
        });
        code.poisoned
            .extend(part.poisoned.iter().map(|poisoned| Poisoned {
                insn: shifted(start, poisoned.insn),
                description: poisoned.description.clone(),
            }));
    }
    for (index, part) in &parts {
        let start = starts.get(index).copied().unwrap_or_default();
        let referring = Referring {
            object,
            part,
            start,
            starts: &starts,
            maps,
        };
        referring.refer(&mut code, resolver, lacking)?;
    }
    if lacking.is(Feature::ProbeReads) {
        downgrade::probe_reads(&mut code.instructions, lacking);
    }
    records(object, &mut code, &parts, &starts);
    if lacking.is(Feature::Btf) || lacking.is(Feature::BtfFunctions) {
        (code.func_info, code.line_info) = Default::default();
    }
    Ok(code)
}

pub(crate) fn shifted(start: InsnIndex, insn: InsnIndex) -> InsnIndex {
    InsnIndex(start.0.saturating_add(insn.0))
}

/// Moves function and line records along, and makes them what kernels ask for: each function has
/// a type and begins with a line, lines go up and are of whole instructions; else none are given.
fn records(
    object: &Object,
    code: &mut Code,
    parts: &[(FunctionIndex, &Relocated)],
    starts: &BTreeMap<FunctionIndex, InsnIndex>,
) {
    let mut lines = Vec::new();
    let mut lines_everywhere = true;
    for (index, part) in parts {
        let start = starts.get(index).copied().unwrap_or_default();
        let own = whole_lines(part);
        lines_everywhere &= !own.is_empty();
        lines.extend(own.into_iter().map(|line| LineRecord {
            insn: shifted(start, line.insn),
            ..line
        }));
    }
    let types: Option<Vec<u32>> = code
        .functions
        .iter()
        .map(|function| function.type_id.map(|type_id| type_id.0))
        .collect();
    if let (Some(types), Some(_)) = (types, &object.btf) {
        let mut writer = Writer::new(8, code.functions.len(), object.endian);
        for (function, type_id) in code.functions.iter().zip(types) {
            writer.record(&[function.start.0, type_id]);
        }
        code.func_info = writer.records;
        if lines_everywhere {
            let mut writer = Writer::new(16, lines.len(), object.endian);
            for line in &lines {
                writer.record(&[line.insn.0, line.file.0, line.text.0, line.line_and_column]);
            }
            code.line_info = writer.records;
        }
    }
    code.source = SourceTable {
        btf: object.btf.clone(),
        functions: code
            .functions
            .iter()
            .map(|function| (function.start, function.name.clone()))
            .collect(),
        lines,
    };
}

/// The lines of a function, one an instruction, the first one's at its start.
fn whole_lines(part: &Relocated) -> Vec<LineRecord> {
    let slots = &part.function.instructions;
    let mut lines: Vec<LineRecord> = Vec::with_capacity(part.function.lines.len());
    for line in &part.function.lines {
        let at = line.insn.as_usize();
        let first_half = at.checked_sub(1).and_then(|before| slots.get(before));
        let in_second_half = slots.get(at).is_some_and(|slot| slot.opcode == 0)
            && first_half.is_some_and(|slot| slot.opcode == LD_IMM64);
        let repeated = lines.last().is_some_and(|last| last.insn >= line.insn);
        if at < slots.len() && !in_second_half && !repeated {
            lines.push(*line);
        }
    }
    if let Some(first) = lines.first_mut() {
        first.insn = InsnIndex(0);
    }
    lines
}

/// Writes records of words.
struct Writer {
    records: InfoRecords,
    endian: Endian,
}

impl Writer {
    fn new(record_size: u32, count: usize, endian: Endian) -> Self {
        let len = count.saturating_mul(record_size as usize);
        Self {
            records: InfoRecords {
                record_size,
                bytes: Vec::with_capacity(len),
            },
            endian,
        }
    }

    fn record(&mut self, words: &[u32]) {
        for word in words {
            let bytes = match self.endian {
                Endian::Little => word.to_le_bytes(),
                Endian::Big => word.to_be_bytes(),
            };
            self.records.bytes.extend_from_slice(&bytes);
        }
    }
}
