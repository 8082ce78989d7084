//! What a listing shows: instructions with all that is known of them, whether they come from an
//! object or from its image for a kernel.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use skep::{
    Host,
    abi::Helper,
    btf::{Btf, KindTag, TypeId},
    isa::{CallTarget, Imm64, Insn, InsnIndex, RawInsn, Symbols},
    spec::{
        Function, FunctionIndex, Image, ImageProgram, MapIndex, MapReferenceKind, Object,
        ReferenceKind,
    },
};

use crate::exit::Usage;

/// A function of an object, or a whole program of an image.
pub(super) struct Code<'a> {
    /// What it is, for the line above it.
    pub(super) title: String,
    /// The program, where it belongs to one.
    pub(super) program: Option<&'a str>,
    pub(super) slots: &'a [RawInsn],
    /// The functions in it by their first instructions.
    pub(super) functions: BTreeMap<InsnIndex, &'a str>,
    /// Where instructions come from: a line holds until the next one.
    pub(super) lines: BTreeMap<InsnIndex, Line<'a>>,
    /// What an instruction refers to.
    references: BTreeMap<InsnIndex, Reference<'a>>,
    /// What else is to be said of an instruction.
    notes: BTreeMap<InsnIndex, String>,
}

/// A line of source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) file: &'a str,
    pub(super) line: u32,
    pub(super) column: u32,
    pub(super) text: &'a str,
}

/// What an instruction refers to, by name.
#[derive(Debug, Clone)]
enum Reference<'a> {
    Map(&'a str),
    MapValue { map: &'a str, offset: u32 },
    Function(&'a str),
    Outside(Cow<'a, str>),
}

impl<'a> Code<'a> {
    /// The function that an instruction is in.
    pub(super) fn function_at(&self, at: InsnIndex) -> Option<&'a str> {
        self.functions
            .range(..=at)
            .next_back()
            .map(|(_, name)| *name)
    }

    /// What else is to be said of an instruction.
    pub(super) fn note(&self, at: InsnIndex) -> Option<&str> {
        self.notes.get(&at).map(String::as_str)
    }

    /// The instruction as the kernel would be given it: in an object, addresses of maps are still
    /// numbers that a relocation belongs to.
    pub(super) fn resolved(&self, at: InsnIndex, insn: Insn) -> Insn {
        let Insn::LoadImm64 { dst, value } = insn else {
            return insn;
        };
        let value = match self.references.get(&at) {
            Some(Reference::Map(_)) => Imm64::MapFd { fd: 0 },
            Some(Reference::MapValue { offset, .. }) => Imm64::MapValue {
                fd: 0,
                offset: *offset,
            },
            Some(Reference::Outside(_)) if matches!(value, Imm64::Value(_)) => {
                Imm64::BtfId { id: 0, btf_fd: 0 }
            }
            Some(Reference::Function(_)) if matches!(value, Imm64::Value(_)) => {
                Imm64::Subprogram { offset: -1 }
            }
            _ => value,
        };
        Insn::LoadImm64 { dst, value }
    }
}

impl Symbols for Code<'_> {
    fn helper(&self, id: u32) -> Option<Cow<'_, str>> {
        Helper::by_id(id).map(|helper| helper.name.into())
    }

    fn kfunc(&self, at: InsnIndex, _: u32, _: i16) -> Option<Cow<'_, str>> {
        self.name_at(at)
    }

    fn subprogram(&self, at: InsnIndex, start: Option<InsnIndex>) -> Option<Cow<'_, str>> {
        self.name_at(at)
            .or_else(|| self.functions.get(&start?).map(|name| Cow::Borrowed(*name)))
    }

    fn address(&self, at: InsnIndex, _: Imm64) -> Option<Cow<'_, str>> {
        self.name_at(at)
    }
}

impl Code<'_> {
    fn name_at(&self, at: InsnIndex) -> Option<Cow<'_, str>> {
        Some(match self.references.get(&at)? {
            Reference::Map(name) | Reference::Function(name) => Cow::Borrowed(*name),
            Reference::MapValue { map, .. } => Cow::Borrowed(*map),
            Reference::Outside(name) => Cow::Borrowed(name),
        })
    }
}

/// The functions of an object, those of `names` with what they call, or all.
pub(super) fn of_object<'a>(spec: &'a Object, names: &[String]) -> anyhow::Result<Vec<Code<'a>>> {
    let mut wanted: Vec<FunctionIndex> = Vec::new();
    for name in names {
        let program = spec.programs().iter().find(|program| program.name == *name);
        let found: Vec<FunctionIndex> = match program {
            Some(program) => std::iter::once(program.function)
                .chain(program.subprograms.iter().copied())
                .collect(),
            None => functions(spec)
                .filter(|(_, function)| function.name == *name)
                .map(|(index, _)| index)
                .collect(),
        };
        if found.is_empty() {
            return Err(Usage(unknown(spec, name)).into());
        }
        for index in found {
            if !wanted.contains(&index) {
                wanted.push(index);
            }
        }
    }
    if names.is_empty() {
        wanted = functions(spec).map(|(index, _)| index).collect();
    }
    Ok(wanted
        .into_iter()
        .filter_map(|index| of_function(spec, index))
        .collect())
}

fn functions(spec: &Object) -> impl Iterator<Item = (FunctionIndex, &Function)> {
    (0..).map(FunctionIndex).zip(spec.functions())
}

fn unknown(spec: &Object, name: &str) -> String {
    let known = || {
        spec.functions()
            .iter()
            .map(|function| function.name.as_str())
    };
    let near = skep::abi::near_names(name, known());
    let names = |names: Vec<String>, joint: &str| {
        names
            .iter()
            .map(|name| format!("`{name}`"))
            .collect::<Vec<_>>()
            .join(joint)
    };
    if near.is_empty() {
        let known = names(known().take(12).map(str::to_owned).collect(), ", ");
        format!("there is no program or function `{name}`; there is {known}")
    } else {
        format!(
            "there is no program or function `{name}`; did you mean {}?",
            names(near, " or ")
        )
    }
}

fn of_function(spec: &Object, index: FunctionIndex) -> Option<Code<'_>> {
    let function = spec.function(index)?;
    let program = spec
        .programs()
        .iter()
        .find(|program| program.function == index);
    let count = function.instructions.len();
    let (what, section) = match program {
        Some(program) => ("program", program.section.as_str()),
        None => ("function", function.section.as_str()),
    };
    let mut references = BTreeMap::new();
    let mut notes = BTreeMap::new();
    for reference in &function.references {
        let names = named(spec, reference.kind);
        if let ReferenceKind::MapValue { map, offset } = reference.kind
            && let Some(variable) = variable_at(spec, map, offset)
        {
            notes.insert(reference.insn, variable);
        }
        references.extend(names.map(|name| (reference.insn, name)));
    }
    if let Some(btf) = spec.btf() {
        for relocation in &function.core_relocations {
            let access = btf.string(relocation.access).unwrap_or_default();
            let root = type_name(btf, relocation.type_id);
            let note = format!("CO-RE: {} of {root}, access {access}", relocation.kind);
            notes.insert(relocation.insn, note);
        }
    }
    Some(Code {
        title: format!("{what} {} ({section}): {}", function.name, slots(count)),
        program: program.map(|program| program.name.as_str()),
        slots: &function.instructions,
        functions: BTreeMap::from([(InsnIndex(0), function.name.as_str())]),
        lines: spec
            .btf()
            .map(|btf| lines_of(function, btf))
            .unwrap_or_default(),
        references,
        notes,
    })
}

fn slots(count: usize) -> String {
    match count {
        1 => "1 slot".into(),
        count => format!("{count} slots"),
    }
}

fn lines_of<'a>(function: &'a Function, btf: &'a Btf) -> BTreeMap<InsnIndex, Line<'a>> {
    let text = |offset| btf.string(offset).unwrap_or_default();
    let line = |record: &skep::spec::LineRecord| Line {
        file: text(record.file),
        line: record.line(),
        column: record.column(),
        text: text(record.text).trim_end(),
    };
    function
        .lines
        .iter()
        .map(|record| (record.insn, line(record)))
        .collect()
}

fn named(spec: &Object, kind: ReferenceKind) -> Option<Reference<'_>> {
    let map = |index: MapIndex| {
        spec.maps()
            .get(index.as_usize())
            .map(|map| map.name.as_str())
    };
    Some(match kind {
        ReferenceKind::Map(index) => Reference::Map(map(index)?),
        ReferenceKind::MapValue { map: index, offset } => Reference::MapValue {
            map: map(index)?,
            offset,
        },
        ReferenceKind::Call(index) | ReferenceKind::FunctionAddress(index) => {
            Reference::Function(&spec.function(index)?.name)
        }
        ReferenceKind::ExternCall(index) | ReferenceKind::ExternAddress(index) => {
            let name = &spec.externs().get(index.as_usize())?.name;
            Reference::Outside(Cow::Borrowed(name))
        }
        _ => return None,
    })
}

/// The global variable that stands at a place in a map's value.
fn variable_at(spec: &Object, map: MapIndex, offset: u32) -> Option<String> {
    let variable = spec.variables().iter().find(|variable| {
        let end = variable.offset.saturating_add(variable.size);
        variable.map == map && (variable.offset..end).contains(&offset)
    })?;
    Some(match offset - variable.offset {
        0 => variable.name.clone(),
        within => format!("{}+{within}", variable.name),
    })
}

fn type_name(btf: &Btf, id: TypeId) -> String {
    let Ok(found) = btf.type_by_id(id) else {
        return format!("type {id}");
    };
    match found.tag() {
        Some(KindTag::Struct) => format!("struct {}", found.name()),
        Some(KindTag::Union) => format!("union {}", found.name()),
        Some(KindTag::Enum | KindTag::Enum64) => format!("enum {}", found.name()),
        _ if found.name().is_empty() => format!("type {id}"),
        _ => found.name().to_owned(),
    }
}

/// The names of the kernel's functions and variables that an image refers to by id.
pub(super) struct KernelNames(Option<Arc<Btf>>);

impl KernelNames {
    pub(super) fn new(image: &Image, host: &Host) -> anyhow::Result<Self> {
        let refers = image.programs.iter().any(|program| {
            skep::isa::decode_program(&program.instructions)
                .flatten()
                .any(|(_, insn)| kernel_id(insn).is_some())
        });
        Ok(Self(if refers { Some(host.btf()?) } else { None }))
    }

    fn of(&self, insn: Insn) -> Option<String> {
        let found = self.0.as_ref()?.type_by_id(kernel_id(insn)?).ok()?;
        Some(found.name().to_owned()).filter(|name| !name.is_empty())
    }
}

/// The id, in the kernel's own BTF, of what an instruction refers to.
fn kernel_id(insn: Insn) -> Option<TypeId> {
    match insn {
        Insn::Call(CallTarget::Kfunc {
            btf_id,
            fd_index: 0,
        }) => Some(TypeId(btf_id)),
        Insn::LoadImm64 {
            value: Imm64::BtfId { id, btf_fd: 0 },
            ..
        } => Some(TypeId(id)),
        _ => None,
    }
}

/// The programs of an image.
pub(super) fn of_image<'a>(
    spec: &'a Object,
    image: &'a Image,
    kernel: &KernelNames,
) -> Vec<Code<'a>> {
    image
        .programs
        .iter()
        .map(|program| of_program(spec, image, program, kernel))
        .collect()
}

fn of_program<'a>(
    spec: &'a Object,
    image: &'a Image,
    program: &'a ImageProgram,
    kernel: &KernelNames,
) -> Code<'a> {
    let mut references = BTreeMap::new();
    let mut notes = BTreeMap::new();
    let mut lines = BTreeMap::new();
    let mut last = None;
    for (at, insn) in skep::isa::decode_program(&program.instructions).flatten() {
        references.extend(
            kernel
                .of(insn)
                .map(|name| (at, Reference::Outside(Cow::Owned(name)))),
        );
        let line = program.source_at(at).map(|line| Line {
            file: line.file,
            line: line.line,
            column: line.column,
            text: line.text,
        });
        if let Some(line) = line.filter(|line| last != Some(*line)) {
            lines.insert(at, line);
        }
        last = line;
    }
    for reference in &program.map_references {
        let Some(map) = image.maps.get(reference.map.as_usize()) else {
            continue;
        };
        let name = map.name.as_str();
        let named = match reference.kind {
            MapReferenceKind::Map => Reference::Map(name),
            MapReferenceKind::Value { offset } => {
                notes.extend(
                    variable_at(spec, reference.map, offset).map(|name| (reference.insn, name)),
                );
                Reference::MapValue { map: name, offset }
            }
        };
        references.insert(reference.insn, named);
    }
    for poisoned in &program.poisoned {
        notes.insert(
            poisoned.insn,
            format!("not in this kernel: {}", poisoned.description),
        );
    }
    let count = program.instructions.len();
    Code {
        title: format!(
            "program {} ({}): {}",
            program.name,
            program.section,
            slots(count)
        ),
        program: Some(&program.name),
        slots: &program.instructions,
        functions: program
            .functions
            .iter()
            .map(|function| (function.start, function.name.as_str()))
            .collect(),
        lines,
        references,
        notes,
    }
}
