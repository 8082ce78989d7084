//! What is known about a program's code without following paths: instructions decoded, functions,
//! where jumps go, where states are worth keeping, which registers are read later.

mod available;
mod chain;
mod flow;
mod live;
mod points;

use skep_abi::KernelVersion;
use skep_btf::{FunctionLinkage, Kind, TypeId};
use skep_isa::Insn;
use skep_object::Target;

use crate::{MapId, Options, Program, Rejection, Rule, verifier::Result};

pub(crate) use available::complexity_limit;
pub(crate) use flow::callee;
pub(crate) use points::{Names, Points};

/// A program's code.
#[derive(Debug)]
pub(crate) struct Code {
    /// The instruction that begins at each slot; `None` for the second slot of a wide one.
    pub(crate) insns: Vec<Option<Insn>>,
    /// The functions, in order; the first is the program itself.
    pub(crate) subprograms: Vec<Subprogram>,
    /// The map that the instruction at a slot refers to.
    pub(crate) maps: Vec<Option<(MapId, Option<u32>)>>,
    /// By slot: whether states are kept and compared before it, and how.
    pub(crate) points: Vec<Points>,
    /// The targets of each map that is a jump table, in order.
    pub(crate) jump_tables: Vec<(MapId, Vec<usize>)>,
    /// By slot: the registers that are read later, a bit each (`live_regs_before`).
    pub(crate) live: Vec<u16>,
}

/// One function.
#[derive(Debug, Clone, Default)]
pub(crate) struct Subprogram {
    /// Its name.
    pub(crate) name: String,
    /// Its first slot.
    pub(crate) start: usize,
    /// The slot behind its last.
    pub(crate) end: usize,
    /// Bytes of stack that it uses.
    pub(crate) stack: u32,
    /// Its type (`FUNC`) in the program's BTF.
    pub(crate) type_id: Option<TypeId>,
    /// Whether it is global: verified once, apart from its callers.
    pub(crate) global: bool,
    /// Whether a helper or a kernel function calls it back, now or later.
    pub(crate) callback: bool,
    /// Whether a timer or a work queue runs it later, on a stack of its own.
    pub(crate) async_callback: bool,
}

impl Subprogram {
    /// How to speak of it.
    pub(crate) fn title(&self) -> String {
        if self.name.is_empty() {
            format!("the function at instruction {}", self.start)
        } else {
            format!("`{}`", self.name)
        }
    }
}

impl Code {
    pub(crate) fn new(program: &Program<'_>, target: &Target, options: &Options) -> Result<Self> {
        available::check_size(program, target, options)?;
        let slots = &program.instructions;
        let mut insns = vec![None; slots.len()];
        for item in skep_isa::decode_program(slots) {
            let (index, insn) = item.map_err(|error| {
                Rejection::new(Rule::InvalidInstruction, error.to_string())
                    .at(error.index().map_or(0, |index| index.as_usize()))
            })?;
            insns[index.as_usize()] = Some(insn);
        }
        let mut maps = vec![None; slots.len()];
        for used in &program.map_uses {
            if let Some(place) = maps.get_mut(used.insn.as_usize()) {
                *place = Some((used.map, used.value_offset));
            }
        }
        let mut code = Self {
            subprograms: functions(program, &insns)?,
            jump_tables: jump_tables(program, &maps),
            points: Vec::new(),
            live: Vec::new(),
            insns,
            maps,
        };
        available::check_functions(&code)?;
        available::check_instructions(&code, target)?;
        let names = points::Names { program, target };
        flow::check_jumps(&code, |insn| names.throws(insn))?;
        // Kernels before 6.7 have no exceptions.
        let knows = target.version >= KernelVersion::new(6, 7);
        let exceptions = knows.then(|| exception_callback(program)).flatten();
        flow::check_reachable(&code, target, options, exceptions)?;
        code.points = points::find(&code, &names);
        code.live = live::registers(&code);
        Ok(code)
    }

    /// Where all jump tables lead.
    fn table_targets(&self) -> impl Iterator<Item = usize> {
        self.jump_tables
            .iter()
            .flat_map(|(_, targets)| targets.iter().copied())
    }

    /// Where a jump table leads, entry by entry.
    pub(crate) fn jump_targets(&self, map: MapId) -> &[usize] {
        self.jump_tables
            .iter()
            .find(|(of, _)| *of == map)
            .map_or(&[], |(_, targets)| targets)
    }

    /// The function that a slot is in.
    pub(crate) fn subprogram_at(&self, slot: usize) -> usize {
        self.subprograms
            .partition_point(|subprogram| subprogram.start <= slot)
            .saturating_sub(1)
    }
}

/// The jump tables by the maps that they become.
fn jump_tables(
    program: &Program<'_>,
    maps: &[Option<(MapId, Option<u32>)>],
) -> Vec<(MapId, Vec<usize>)> {
    let mut tables = Vec::new();
    for (references, targets) in &program.jump_tables {
        let map = references
            .iter()
            .find_map(|insn| maps.get(insn.as_usize()).copied().flatten());
        if let Some((map, _)) = map {
            let targets = targets.iter().map(|target| target.as_usize()).collect();
            tables.push((map, targets));
        }
    }
    tables
}

/// The functions: those that the program's types name, and those that are called or whose address
/// is taken.
fn functions(program: &Program<'_>, insns: &[Option<Insn>]) -> Result<Vec<Subprogram>> {
    let mut functions: Vec<Subprogram> = program
        .functions
        .iter()
        .map(|function| Subprogram {
            name: function.name.clone(),
            start: function.start.as_usize(),
            type_id: function.type_id,
            global: is_global(program, function),
            ..Subprogram::default()
        })
        .collect();
    let mut starts: Vec<(usize, usize)> = vec![(0, 0)];
    for (slot, insn) in insns.iter().enumerate() {
        let Some(insn) = insn else { continue };
        let Some(start) = flow::callee(slot, insn) else {
            continue;
        };
        starts.push((start, slot));
    }
    for (start, caller) in starts {
        if insns.get(start).is_none_or(Option::is_none) {
            let message = "a call does not lead to an instruction of the program";
            return Err(Rejection::new(Rule::JumpOutOfRange, message).at(caller));
        }
        functions.push(Subprogram {
            start,
            ..Subprogram::default()
        });
    }
    // Stable: those with a name come first.
    functions.sort_by_key(|function| function.start);
    functions.dedup_by_key(|function| function.start);
    let ends: Vec<usize> = functions
        .iter()
        .skip(1)
        .map(|next| next.start)
        .chain([insns.len()])
        .collect();
    for (function, end) in functions.iter_mut().zip(ends) {
        function.end = end;
    }
    Ok(functions)
}

/// Whether a function is global by its type. The program itself is not: nothing calls it.
fn is_global(program: &Program<'_>, function: &crate::Function) -> bool {
    let (Some(btf), Some(id)) = (&program.btf, function.type_id) else {
        return false;
    };
    match btf.type_by_id(id).map(|found| found.kind()) {
        Ok(Kind::Function(function)) => !matches!(function.linkage, FunctionLinkage::Static),
        _ => false,
    }
}

/// Where the function starts that a decl tag of the program makes its exception callback.
fn exception_callback(program: &Program<'_>) -> Option<usize> {
    let btf = program.btf.as_ref()?;
    let main = program.functions.first()?.type_id?;
    let name = btf
        .decl_tags(main, None)
        .find_map(|tag| tag.strip_prefix("exception_callback:"))?;
    let function = program.functions.iter().find(|one| one.name == name)?;
    Some(function.start.as_usize())
}
