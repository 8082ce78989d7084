//! What compiles and yet no kernel takes: calls by address, recursion, functions that are nowhere;
//! and panics, which a kernel only takes where its verifier sees that it never comes to them.

use std::collections::{BTreeMap, BTreeSet};

use skep_btf::{Btf, FunctionLinkage, Kind, VariableLinkage};
use skep_isa::{CallTarget, Insn, InsnIndex, decode_program, decode_slots};
use skep_object::{FileRecords, FileRelocation, FileSection, ObjectFile, Result, SymbolKind};

use crate::rust::message::{Level, Message, is_own};

/// LLVM's name for the end of all that must not be reached; a kernel function since Linux 6.17.
const TRAP: &str = "__bpf_trap";

/// All that is wrong with the object, each thing once, in its order.
pub(super) fn problems(file: &ObjectFile) -> Result<Vec<Message>> {
    let btf = file.btf()?;
    let declared = declared(&btf);
    let mut found = Vec::new();
    let mut calls = BTreeMap::new();
    for (index, section) in file.sections.iter().enumerate() {
        if section.is_code() {
            let code = Code::of(file, &btf, index, section);
            code.panics(&mut found);
            code.calls(&declared, &mut calls, &mut found);
        }
        undefined_data(file, section, &declared, &mut found);
    }
    recursion(file, &btf, &calls, &mut found);
    let mut seen = BTreeSet::new();
    found.retain(|message: &Message| {
        let key = (message.title.clone(), message.place.clone());
        seen.insert((key, message.function.clone()))
    });
    Ok(found)
}

/// The functions and variables that the object says are the kernel's.
fn declared(btf: &Btf) -> BTreeSet<&str> {
    let types = btf.types().filter(|found| match found.kind() {
        Kind::Function(function) => function.linkage == FunctionLinkage::Extern,
        Kind::Variable(variable) => variable.linkage == VariableLinkage::Extern,
        _ => false,
    });
    types.map(|found| found.name()).collect()
}

/// A function, by its section and where it begins in it.
type Place = (usize, u32);
/// What calls what, and where.
type Calls = BTreeMap<Place, Vec<(Place, InsnIndex)>>;

/// The instructions of a section, and what is known of them.
struct Code<'a> {
    file: &'a ObjectFile,
    btf: &'a Btf,
    index: usize,
    section: &'a FileSection,
    instructions: Vec<(InsnIndex, Insn)>,
    /// By instruction.
    relocations: BTreeMap<u32, &'a FileRelocation>,
    records: Option<&'a FileRecords>,
}

impl<'a> Code<'a> {
    fn of(file: &'a ObjectFile, btf: &'a Btf, index: usize, section: &'a FileSection) -> Self {
        let slots = decode_slots(&section.data, file.endian).unwrap_or_default();
        // What is no instruction is for the loader to say.
        let instructions = decode_program(&slots).filter_map(Result::ok).collect();
        let relocations = section.relocations.iter().filter_map(|relocation| {
            let slot = u32::try_from(relocation.offset / 8).ok()?;
            Some((slot, relocation))
        });
        Self {
            file,
            btf,
            index,
            section,
            instructions,
            relocations: relocations.collect(),
            records: file.records.get(&section.name),
        }
    }

    /// The symbol that an instruction is filled in by.
    fn symbol(&self, at: InsnIndex) -> Option<&'a skep_object::FileSymbol> {
        let relocation = self.relocations.get(&at.0)?;
        self.file.symbols.get(relocation.symbol)
    }

    /// Panics are calls of one function; where it is jumped to is where they are decided on.
    fn panics(&self, found: &mut Vec<Message>) {
        let is_trap = |&&(at, _): &&(InsnIndex, Insn)| {
            self.symbol(at).is_some_and(|symbol| symbol.name == TRAP)
        };
        let mut targets: BTreeMap<InsnIndex, Vec<InsnIndex>> = BTreeMap::new();
        for (at, insn) in &self.instructions {
            if let Some(target) = insn.target(*at) {
                targets.entry(target).or_default().push(*at);
            }
        }
        for (trap, _) in self.instructions.iter().filter(is_trap) {
            let mut causes = Vec::new();
            let here = self.instructions.partition_point(|(at, _)| at < trap);
            for before in (0..=here).rev() {
                let Some((at, _)) = self.instructions.get(before) else {
                    break;
                };
                causes.extend(targets.get(at).into_iter().flatten().copied());
                // Whatever stands before leads here, unless it leads elsewhere.
                let previous = before
                    .checked_sub(1)
                    .and_then(|at| self.instructions.get(at));
                match previous {
                    Some((at, insn)) if insn.next(*at).is_some() => {
                        if insn.target(*at).is_some() {
                            causes.push(*at);
                        }
                    }
                    _ => break,
                }
                if !causes.is_empty() || self.is_start(*at) {
                    break;
                }
            }
            if causes.is_empty() {
                causes.push(*trap);
            }
            for cause in causes {
                found.push(Message {
                    level: Level::Warning,
                    title: "this may panic, and BPF programs can't".into(),
                    note: "kernels refuse it, unless their verifier sees that it never comes to that",
                    help: "say what happens instead: `get` for an index, `checked_div` for a \
                           division, `let … else` or `?` for an Option or Result",
                    ..self.message(cause)
                });
            }
        }
    }

    fn is_start(&self, at: InsnIndex) -> bool {
        let functions = self.records.map_or(&[][..], |records| &records.functions);
        functions.iter().any(|(start, _)| *start == at)
    }

    /// Notes what functions of the object are called, and says what else is.
    fn calls(&self, declared: &BTreeSet<&str>, calls: &mut Calls, found: &mut Vec<Message>) {
        for (at, insn) in &self.instructions {
            if let Insn::Call(CallTarget::Register(_)) = insn {
                found.push(Message {
                    level: Level::Error,
                    title: "this calls a function by its address, which BPF programs can't".into(),
                    help: "instead of `dyn` and `fn` values, be generic over the function, or choose \
                           by `match`",
                    ..self.message(*at)
                });
                continue;
            }
            let Some(symbol) = self.symbol(*at) else {
                let callee = insn.subprogram(*at);
                if let Some(callee) = callee.filter(|_| !self.relocations.contains_key(&at.0)) {
                    self.note((self.index, callee.0), *at, calls);
                }
                continue;
            };
            match symbol.section {
                None if symbol.name != TRAP && !declared.contains(symbol.name.as_str()) => {
                    found.push(Message {
                        level: Level::Error,
                        title: undefined(&symbol.name),
                        help: UNDEFINED,
                        ..self.message(*at)
                    });
                }
                Some(section) if matches!(insn, Insn::Call(_)) => {
                    let start = match symbol.kind {
                        // The offset from the section's start stands in the instruction.
                        SymbolKind::Section => {
                            insn.subprogram(InsnIndex(0)).map_or(0, |callee| callee.0)
                        }
                        _ => u32::try_from(symbol.value / 8).unwrap_or(u32::MAX),
                    };
                    self.note((section, start), *at, calls);
                }
                _ => {}
            }
        }
    }

    /// Notes a call of a function by the function that `at` is in.
    fn note(&self, callee: Place, at: InsnIndex, calls: &mut Calls) {
        let functions = self.records.map_or(&[][..], |records| &records.functions);
        let starts = functions.iter().map(|(start, _)| start.0);
        let start = starts.filter(|start| *start <= at.0).max().unwrap_or(0);
        let caller = (self.index, start);
        calls.entry(caller).or_default().push((callee, at));
    }

    /// A message of an instruction, with its place and nothing else yet.
    fn message(&self, at: InsnIndex) -> Message {
        let functions = self.records.map_or(&[][..], |records| &records.functions);
        let around = functions.iter().filter(|(start, _)| *start <= at);
        let around = around.max_by_key(|(start, _)| *start);
        let name = around.and_then(|(_, id)| self.btf.type_by_id(*id).ok());
        let start = around.map_or(InsnIndex(0), |(start, _)| *start);
        let lines = self.records.map_or(&[][..], |records| &records.lines);
        let mut places = lines.iter().rev().filter_map(|line| {
            let file = self.btf.string(line.file).ok()?;
            let known = line.insn <= at && line.insn >= start && line.line() != 0;
            let place = || {
                let file = shortened(file);
                format!("{file}:{}:{}", line.line(), line.column())
            };
            known.then(place)
        });
        // What was inlined from elsewhere has no line of the program's: the last one before it is
        // nearest.
        let last = places.next();
        let place = match last {
            Some(last) if !is_own(&last) => {
                Some(places.find(|place| is_own(place)).unwrap_or(last))
            }
            last => last,
        };
        Message {
            level: Level::Error,
            title: String::new(),
            place,
            function: match name {
                Some(function) => function.name().to_owned(),
                None => self.section.name.clone(),
            },
            note: "",
            help: "",
        }
    }
}

/// The path as seen from here, as rustc shows it.
fn shortened(file: &str) -> &str {
    let here = std::env::current_dir().unwrap_or_default();
    let inner = here.to_str().and_then(|here| file.strip_prefix(here));
    let inner = inner.and_then(|inner| inner.strip_prefix('/'));
    inner.unwrap_or(file)
}

fn undefined(name: &str) -> String {
    let name = format!("{:#}", rustc_demangle::demangle(name));
    format!("`{name}` is not in the program, and not declared to be the kernel's")
}

const UNDEFINED: &str = "declare kernel functions with #[kfunc] and kernel variables with #[ksym]; \
                         other libraries can't be linked with a BPF program";

/// Addresses in data of what is nowhere.
fn undefined_data(
    file: &ObjectFile,
    section: &FileSection,
    declared: &BTreeSet<&str>,
    found: &mut Vec<Message>,
) {
    for relocation in section.relocations.iter().filter(|_| !section.is_code()) {
        let symbol = file.symbols.get(relocation.symbol);
        let Some(symbol) = symbol.filter(|symbol| symbol.section.is_none()) else {
            continue;
        };
        if !declared.contains(symbol.name.as_str()) {
            found.push(Message {
                level: Level::Error,
                title: undefined(&symbol.name),
                place: None,
                function: section.name.clone(),
                note: "",
                help: UNDEFINED,
            });
        }
    }
}

/// Functions that come to call themselves. Each circle is found from one of its functions.
fn recursion(file: &ObjectFile, btf: &Btf, calls: &Calls, found: &mut Vec<Message>) {
    let mut done = BTreeSet::new();
    for start in calls.keys() {
        // The way from `start`: functions, and which of their calls comes next.
        let mut way: Vec<(Place, usize)> = vec![(*start, 0)];
        while let Some((function, next)) = way.last_mut() {
            let function = *function;
            let callees = calls.get(&function).map_or(&[][..], Vec::as_slice);
            let Some((callee, at)) = callees.get(*next).filter(|_| !done.contains(&function))
            else {
                done.insert(function);
                way.pop();
                continue;
            };
            *next = next.saturating_add(1);
            if way.iter().any(|(on_way, _)| on_way == callee) {
                if let Some(section) = file.sections.get(function.0) {
                    let code = Code::of(file, btf, function.0, section);
                    found.push(Message {
                        level: Level::Error,
                        title: "this calls a function from within itself, which BPF programs can't"
                            .into(),
                        help: "write a loop, with an array of fixed size for what is still to be done",
                        ..code.message(*at)
                    });
                }
            } else if !done.contains(callee) {
                way.push((*callee, 0));
            }
        }
    }
}
