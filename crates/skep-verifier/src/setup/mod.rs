//! What is known about a program's code without following paths: instructions decoded, functions,
//! where jumps go, where states are worth keeping, which registers are read later.

use skep_isa::Insn;
use skep_object::Target;

use crate::{MapId, Options, Program, Rejection, Rule, verifier::Result};

/// A program's code.
#[derive(Debug)]
pub(crate) struct Code {
    /// The instruction that begins at each slot; `None` for the second slot of a wide one.
    pub(crate) insns: Vec<Option<Insn>>,
    /// The functions, in order; the first is the program itself.
    pub(crate) subprograms: Vec<Subprogram>,
    /// The map that the instruction at a slot refers to.
    pub(crate) maps: Vec<Option<(MapId, Option<u32>)>>,
    /// By slot: whether states are kept and compared before it (`prune_point`).
    pub(crate) prune_points: Vec<bool>,
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
    /// Whether it is global: verified once, apart from its callers.
    pub(crate) global: bool,
}

impl Code {
    pub(crate) fn new(program: &Program<'_>, target: &Target, options: &Options) -> Result<Self> {
        let _ = (target, options);
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
        let mut subprograms: Vec<Subprogram> = program
            .functions
            .iter()
            .map(|function| Subprogram {
                name: function.name.clone(),
                start: function.start.as_usize(),
                ..Subprogram::default()
            })
            .collect();
        if subprograms.is_empty() {
            subprograms.push(Subprogram::default());
        }
        let ends: Vec<usize> = subprograms
            .iter()
            .skip(1)
            .map(|next| next.start)
            .chain([slots.len()])
            .collect();
        for (subprogram, end) in subprograms.iter_mut().zip(ends) {
            subprogram.end = end;
        }
        Ok(Self {
            prune_points: vec![false; slots.len()],
            live: vec![0x3ff; slots.len()],
            jump_tables: jump_tables(program, &maps),
            insns,
            subprograms,
            maps,
        })
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
