//! A program's instructions in one piece: its own, then its subprograms', with calls, references
//! and debug records moved along.

use std::collections::BTreeMap;

use skep_isa::{Endian, InsnIndex, RawInsn, opcode};

use crate::{
    CodePlace, Error, FunctionIndex, ImageFunction, InfoRecords, LineRecord, MapReference,
    MapReferenceKind, ModuleReference, Object, Poisoned, Program, ReferenceKind, Result,
    link::Relocated,
    references::LD_IMM64,
    resolve::{Resolved, Resolver},
    source::SourceTable,
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
    pub(crate) source: SourceTable,
}

pub(crate) fn assemble(
    object: &Object,
    program: &Program,
    functions: &BTreeMap<FunctionIndex, Relocated>,
    resolver: &mut Resolver<'_>,
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
        refer(&mut code, part, start, &starts, resolver)?;
    }
    records(object, &mut code, &parts, &starts);
    Ok(code)
}

fn shifted(start: InsnIndex, insn: InsnIndex) -> InsnIndex {
    InsnIndex(start.0.saturating_add(insn.0))
}

/// Writes into a function's instructions what they refer to.
fn refer(
    code: &mut Code,
    part: &Relocated,
    start: InsnIndex,
    starts: &BTreeMap<FunctionIndex, InsnIndex>,
    resolver: &mut Resolver<'_>,
) -> Result<()> {
    for reference in &part.function.references {
        let insn = shifted(start, reference.insn);
        let place = || CodePlace {
            function: part.function.name.clone(),
            insn: reference.insn,
        };
        let slots = code
            .instructions
            .get_mut(insn.as_usize()..)
            .unwrap_or_default();
        let (first, mut second) = match slots {
            [first, second, ..] => (first, Some(second)),
            [first] => (first, None),
            [] => continue,
        };
        let mut set = |src: u8, low: i32, high: i32| {
            first.src = src;
            first.imm = low;
            if let Some(second) = &mut second {
                second.imm = high;
            }
        };
        match reference.kind {
            ReferenceKind::Map(map) => {
                set(opcode::BPF_PSEUDO_MAP_FD, 0, 0);
                let kind = MapReferenceKind::Map;
                code.map_references.push(MapReference { insn, map, kind });
            }
            ReferenceKind::MapValue { map, offset } => {
                set(opcode::BPF_PSEUDO_MAP_VALUE, 0, offset.cast_signed());
                let kind = MapReferenceKind::Value { offset };
                code.map_references.push(MapReference { insn, map, kind });
            }
            ReferenceKind::Call(callee) => {
                first.src = opcode::BPF_PSEUDO_CALL;
                first.imm = distance(insn, callee, starts).ok_or_else(|| too_far(place()))?;
            }
            ReferenceKind::FunctionAddress(function) => {
                first.src = opcode::BPF_PSEUDO_FUNC;
                first.imm = distance(insn, function, starts).ok_or_else(|| too_far(place()))?;
            }
            ReferenceKind::ExternCall(external) => {
                match resolver.function(external, place())? {
                    Resolved::Btf { type_id, module } => {
                        first.src = opcode::BPF_PSEUDO_KFUNC_CALL;
                        first.offset = 0;
                        first.imm = type_id.0.cast_signed();
                        code.module_references
                            .extend(module.map(|module| ModuleReference { insn, module }));
                    }
                    Resolved::Missing(why) => {
                        // As libbpf marks a weak function that is not there: no helper has this
                        // number, so it is refused where it is reached.
                        const MISSING_FUNCTION: u32 = 2_002_000_000;
                        let imm = MISSING_FUNCTION.saturating_add(external.0).cast_signed();
                        *first = RawInsn {
                            opcode: first.opcode,
                            imm,
                            ..RawInsn::default()
                        };
                        code.poisoned.push(Poisoned {
                            insn,
                            description: why,
                        });
                    }
                    Resolved::Kconfig { .. } | Resolved::Address(_) => {}
                }
            }
            ReferenceKind::ExternAddress(external) => {
                match resolver.address(external, place())? {
                    Resolved::Btf { type_id, module } => {
                        set(opcode::BPF_PSEUDO_BTF_ID, type_id.0.cast_signed(), 0);
                        code.module_references
                            .extend(module.map(|module| ModuleReference { insn, module }));
                    }
                    Resolved::Kconfig { map, offset } => {
                        set(opcode::BPF_PSEUDO_MAP_VALUE, 0, offset.cast_signed());
                        let kind = MapReferenceKind::Value { offset };
                        code.map_references.push(MapReference { insn, map, kind });
                    }
                    Resolved::Address(address) => {
                        let [a, b, c, d, e, f, g, h] = address.to_le_bytes();
                        set(
                            0,
                            i32::from_le_bytes([a, b, c, d]),
                            i32::from_le_bytes([e, f, g, h]),
                        );
                    }
                    // A weak symbol that is not there has the address 0.
                    Resolved::Missing(_) => set(0, 0, 0),
                }
            }
        }
    }
    Ok(())
}

/// What a call's immediate is: slots from the one after it to the function's start.
fn distance(
    from: InsnIndex,
    to: FunctionIndex,
    starts: &BTreeMap<FunctionIndex, InsnIndex>,
) -> Option<i32> {
    let next = i64::from(from.0).checked_add(1)?;
    i32::try_from(i64::from(starts.get(&to)?.0).checked_sub(next)?).ok()
}

fn too_far(place: CodePlace) -> Error {
    Error::Code {
        place,
        problem: "the function it refers to is not in the program".into(),
    }
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
        let mut writer = Writer::new(8, object.endian);
        for (function, type_id) in code.functions.iter().zip(types) {
            writer.record(&[function.start.0, type_id]);
        }
        code.func_info = writer.records;
        if lines_everywhere {
            let mut writer = Writer::new(16, object.endian);
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
    fn new(record_size: u32, endian: Endian) -> Self {
        Self {
            records: InfoRecords {
                record_size,
                bytes: Vec::new(),
            },
            endian,
        }
    }

    fn record(&mut self, words: &[u32]) {
        for word in words {
            self.records.bytes.extend(match self.endian {
                Endian::Little => word.to_le_bytes(),
                Endian::Big => word.to_be_bytes(),
            });
        }
    }
}
