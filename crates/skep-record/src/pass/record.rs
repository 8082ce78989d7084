//! The pass that has programs write down what they see.
//!
//! At its entry a program claims an [area] and copies its context there; after each
//! place it appends an item; at its end it sends the area to a ring buffer, whole or not at all.
//! All of it is branchless where it can be: a verifier then sees one way through the program
//! where there was one before.
//!
//! What a program holds survives: registers that are needed later and that the added code would
//! change are kept in slots below the frame, and after a call only R0 is.

mod claim;
mod shape;

use skep_abi::{Helper, MapType};
use skep_isa::{AluOp, CallTarget, CompareOp, Insn, InsnIndex, Operand, Reg, Size};
use skep_object::{Image, ImageMap, ImageProgram, MapIndex, Rewrite, Snippet};

use super::Code;
use crate::{
    Error, Result,
    area::{self, HEADER, ITEM},
    calls::{Output, Size as Bytes},
    context::ContextKind,
    flow::{Registers, bit},
    plan::{Kfuncs, Place, Plan, What},
    sites::{ProgramSites, Sites},
};
use shape::Shape;

/// The map with the areas.
pub const AREAS: &str = "skep_areas";
/// The ring that areas are sent to.
pub const RING: &str = "skep_recorded";
/// The map with the counts: of events lost by a full ring, of those lost by depth, and the one that
/// gives events their order.
pub const COUNTS: &str = "skep_not_recorded";

/// Where lost events are counted: the ring was full.
const FULL: i16 = 0;
/// Too many runs were under way on one CPU.
const DEEP: i16 = 8;
/// Where events are counted for their order.
const TURN: i16 = 16;

/// Slots below a function's frame.
const AREA_SLOT: u32 = 8;
const FIRST_SLOT: u32 = 16;
const SECOND_SLOT: u32 = 24;
const THIRD_SLOT: u32 = 32;
const FOURTH_SLOT: u32 = 40;
/// Bytes that they take.
const SLOTS: u32 = 40;
/// Bytes of the address before what was read from it.
const ADDRESS: u32 = 8;

/// The most bytes of one item.
const LONGEST_ITEM: u32 = 4096;
/// Bytes of items that an area has room for, at least.
const SMALLEST_AREA: u32 = 4096;
/// How much of a packet is recorded: what a machine takes in one piece.
const PACKET: u32 = 3392;
/// `BPF_RB_NO_WAKEUP`: the reader looks by itself.
const NO_WAKEUP: u32 = 1;

mod helper {
    pub(super) const KTIME_GET_NS: u32 = 5;
    pub(super) const SMP_PROCESSOR_ID: u32 = 8;
    pub(super) const CURRENT_PID_TGID: u32 = 14;
    pub(super) const CURRENT_COMM: u32 = 16;
    pub(super) const SKB_LOAD_BYTES: u32 = 26;
    pub(super) const PROBE_READ_KERNEL: u32 = 113;
    pub(super) const RINGBUF_OUTPUT: u32 = 130;
}

/// How programs are made to record.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Options {
    /// CPUs that the host may have: areas are made for each.
    pub cpus: u32,
    /// Bytes of the ring that recorded events wait in; a power of two.
    pub ring: u32,
    /// How much of a packet is recorded.
    pub packet: u32,
}

impl Options {
    /// For a host with this many CPUs.
    #[must_use]
    pub const fn new(cpus: u32) -> Self {
        Self {
            cpus,
            ring: 8 << 20,
            packet: PACKET,
        }
    }
}

/// Changes the programs of an image so that they record what they see, and adds the maps for it.
/// `words` says how many arguments the function or tracepoint has that a program is attached to.
///
/// # Errors
/// A program can't be recorded: the error names it and says why.
pub fn instrument(
    image: &mut Image,
    options: &Options,
    kfuncs: &Kfuncs,
    words: &dyn Fn(&ImageProgram) -> Option<u32>,
) -> Result<Sites> {
    let mut plans = Vec::new();
    for program in &image.programs {
        plans.push(Plan::of(program, kfuncs, words(program))?);
    }
    let shape = Shape::of(&plans, options);
    let first = u32::try_from(image.maps.len()).unwrap_or(u32::MAX);
    let maps = Maps {
        areas: MapIndex(first),
        ring: MapIndex(first.saturating_add(1)),
        counts: MapIndex(first.saturating_add(2)),
    };
    let mut sites = Sites {
        kfuncs: kfuncs.clone(),
        ..Sites::default()
    };
    let mut programs = Vec::new();
    for (index, (program, plan)) in (0..).zip(image.programs.iter().zip(&plans)) {
        let recorder = Recorder {
            program,
            plan,
            shape,
            maps,
            index,
        };
        let rewrite = recorder.rewrite()?;
        let made = rewrite.apply(program, image.endian);
        programs.push(made.map_err(|error| Error::rewrite(&program.name, error))?);
        sites
            .programs
            .push(ProgramSites::of(program, plan, kfuncs, words(program)));
    }
    image.programs = programs;
    let count = u32::try_from(plans.len()).unwrap_or(u32::MAX);
    let areas = shape.program().saturating_mul(count);
    image.maps.extend([
        ImageMap::new(AREAS, MapType::Array, 4, areas, 1),
        ImageMap::new(RING, MapType::Ringbuf, 0, 0, options.ring),
        ImageMap::new(COUNTS, MapType::Array, 4, 24, 1),
    ]);
    Ok(sites)
}

#[derive(Debug, Clone, Copy)]
struct Maps {
    areas: MapIndex,
    ring: MapIndex,
    counts: MapIndex,
}

/// An immediate of an instruction.
fn imm(number: u32) -> Operand {
    Operand::Imm(number.cast_signed())
}

/// Where items are, as an offset of an instruction. The place before the first is in the header.
fn item(offset: u32) -> i16 {
    let at = HEADER.saturating_sub(ITEM).saturating_add(offset);
    i16::try_from(at).unwrap_or(i16::MAX)
}

struct Recorder<'a> {
    program: &'a ImageProgram,
    plan: &'a Plan,
    shape: Shape,
    maps: Maps,
    index: u32,
}

impl Recorder<'_> {
    fn rewrite(&self) -> Result<Rewrite> {
        self.check_licence()?;
        let mut rewrite = Rewrite::new();
        for function in self.plan.functions_with_places() {
            self.plan.room(self.program, function, SLOTS)?;
            let entry = match function {
                InsnIndex(0) => self.entry(),
                _ => self.enter_function(function)?,
            };
            rewrite.at_entry(function, entry);
        }
        for place in &self.plan.places {
            match place.what {
                What::World { void: true, .. } => {}
                What::World {
                    output: Some(output),
                    fixed,
                    ..
                } => {
                    rewrite.before(place.insn, self.remember(place, output));
                    rewrite.after(place.insn, self.append_bytes(place, output, fixed));
                }
                What::World { output: None, .. } | What::Checked { .. } => {
                    if let Some(parameters) = self.sends(place) {
                        rewrite.before(place.insn, self.take_turn(place, parameters));
                    }
                    let code = self.append(place, Reg::R0, [Reg::R1, Reg::R2], &[]);
                    rewrite.after(place.insn, code);
                }
                What::Load | What::Field => {
                    rewrite.after(place.insn, self.append_load(place));
                }
            }
        }
        for (at, insn) in &self.plan.flow.insns {
            let main = self.plan.flow.function_of(*at) == InsnIndex(0);
            if main && *insn == Insn::Exit && self.plan.flow.states.contains_key(at) {
                rewrite.before(*at, self.end(*at));
            }
        }
        Ok(rewrite)
    }

    /// Copies are made by a helper that asks for a licence.
    fn check_licence(&self) -> Result<()> {
        let copies = self.plan.context_len > 0
            || self.plan.context == ContextKind::Frame
            || self.plan.places.iter().any(|place| {
                matches!(
                    place.what,
                    What::World {
                        output: Some(_),
                        ..
                    }
                )
            });
        if !copies || skep_abi::is_gpl_compatible(&self.program.license) {
            return Ok(());
        }
        Err(Error::Program {
            program: self.program.name.clone(),
            section: self.program.section.to_string(),
            reason: format!(
                "its licence `{}` is not compatible with the GPL, which bpf_probe_read_kernel \
                 asks of its callers",
                self.program.license
            ),
        })
    }

    /// A slot of the function that an instruction is in.
    fn slot(&self, at: InsnIndex, slot: u32) -> i16 {
        let depth = self.plan.depth(self.plan.flow.function_of(at));
        let offset = depth.saturating_add(slot);
        i16::try_from(offset).map_or(i16::MIN, |offset| offset.saturating_neg())
    }

    /// `dst` is the program's area number `index`, which it is in now.
    fn area(&self, code: &mut Code, dst: Reg, index: Reg) {
        let base = self.index.saturating_mul(self.shape.program());
        code.alu_number(AluOp::Mul, index, self.shape.area().cast_signed())
            .map_value(dst, self.maps.areas, base)
            .alu(AluOp::Add, dst, index);
    }

    fn level_shift(&self) -> i32 {
        self.shape.cpus.trailing_zeros().cast_signed()
    }

    /// Appends an item with the value of a register, by two registers that may change; those of
    /// `kept` are put back.
    fn append(
        &self,
        place: &Place,
        value: Reg,
        [area, used]: [Reg; 2],
        kept: &[(Reg, u32)],
    ) -> Snippet {
        let mut code = Code::new();
        for (register, slot) in kept {
            let slot = self.slot(place.insn, *slot);
            code.store(Size::Dw, Reg::FP, slot, *register);
        }
        code.load(Size::Dw, area, Reg::FP, self.slot(place.insn, AREA_SLOT))
            .load(Size::W, used, area, area::USED)
            .alu_number(AluOp::Add, used, ITEM.cast_signed())
            .store(Size::W, area, area::USED, used)
            .alu_number(AluOp::And, used, self.shape.mask())
            .alu(AluOp::Add, area, used)
            .store_number(Size::Dw, area, item(0), place.insn.0)
            .store(Size::Dw, area, item(8), value);
        for (register, slot) in kept {
            let slot = self.slot(place.insn, *slot);
            code.load(Size::Dw, *register, Reg::FP, slot);
        }
        code.done()
    }

    /// How many arguments a call has that sends a record, or begins one.
    fn sends(&self, place: &Place) -> Option<usize> {
        let Some(Insn::Call(CallTarget::Helper(id))) = self.plan.flow.insns.get(&place.insn) else {
            return None;
        };
        let helper = Helper::by_id(*id)?;
        matches!(
            helper.short_name(),
            "ringbuf_reserve" | "ringbuf_output" | "perf_event_output"
        )
        .then(|| helper.parameters().len())
    }

    /// Before a record is sent: the run gets its place among all.
    fn take_turn(&self, place: &Place, parameters: usize) -> Snippet {
        let mut code = Code::new();
        let free = parameters < 5;
        let turn = if free { Reg::R5 } else { Reg::R1 };
        let slot = self.slot(place.insn, FIRST_SLOT);
        if !free {
            code.store(Size::Dw, Reg::FP, slot, turn);
        }
        self.turn(&mut code, turn);
        code.load(Size::Dw, Reg::R0, Reg::FP, self.slot(place.insn, AREA_SLOT))
            .store(Size::Dw, Reg::R0, area::ORDER, turn);
        if !free {
            code.load(Size::Dw, turn, Reg::FP, slot);
        }
        code.done()
    }

    /// `turn` becomes the next number, from 1; R0 changes.
    fn turn(&self, code: &mut Code, turn: Reg) {
        code.map_value(Reg::R0, self.maps.counts, 0)
            .set(turn, 1)
            .fetch_add(Reg::R0, TURN, turn)
            .alu_number(AluOp::Add, turn, 1);
    }

    /// The same after a load, between whatever else is in the registers.
    fn append_load(&self, place: &Place) -> Snippet {
        let kept = self.plan.kept_after(place.insn);
        let Some(value) = loaded(self.plan.flow.insns.get(&place.insn)) else {
            return Snippet::new();
        };
        let (chosen, saved) = scratch(kept, bit(value));
        self.append(place, value, chosen, &saved)
    }

    /// Before a call: where it will write, and how much.
    fn remember(&self, place: &Place, output: Output) -> Snippet {
        let mut code = Code::new();
        let buffer = self.slot(place.insn, SECOND_SLOT);
        code.store(Size::Dw, Reg::FP, buffer, output.buffer);
        if let Bytes::Register(size) = output.size {
            let slot = self.slot(place.insn, THIRD_SLOT);
            code.store(Size::Dw, Reg::FP, slot, size);
        }
        if let Some(from) = output.from {
            let slot = self.slot(place.insn, FOURTH_SLOT);
            code.store(Size::Dw, Reg::FP, slot, from);
        }
        code.done()
    }

    /// After it: an item with R0 and what was written.
    fn append_bytes(&self, place: &Place, output: Output, fixed: Option<u32>) -> Snippet {
        let mut code = Code::new();
        let (area, len, text, used) = (Reg::R1, Reg::R2, Reg::R3, Reg::R4);
        let slot = |slot| self.slot(place.insn, slot);
        let longest = self.shape.longest;
        code.store(Size::Dw, Reg::FP, slot(FIRST_SLOT), Reg::R0)
            .load(Size::Dw, area, Reg::FP, slot(AREA_SLOT));
        match fixed {
            Some(fixed) => code.set(len, fixed.min(longest)),
            None => code.load(Size::Dw, len, Reg::FP, slot(THIRD_SLOT)),
        };
        if fixed.is_none() {
            // The kernel looks at 32 bits.
            code.alu_number(AluOp::Lsh, len, 32)
                .alu_number(AluOp::Rsh, len, 32);
        }
        if output.text {
            let failed = code.jump_if(Reg::R0, CompareOp::SLe, Operand::Imm(0));
            code.copy(text, Reg::R0)
                .alu_number(AluOp::Add, text, 7)
                .alu_number(AluOp::And, text, -8);
            let whole = code.jump_if(text, CompareOp::Ge, Operand::Reg(len));
            code.copy(len, text).land(whole).land(failed);
        }
        if fixed.is_none_or(|fixed| fixed > longest) || output.text {
            let fits = code.jump_if(len, CompareOp::Le, imm(longest));
            code.set(len, longest)
                .store_number(Size::W, area, area::CUT, area::CUT_ITEM)
                .land(fits);
        }
        if fixed.is_some_and(|fixed| fixed > longest) {
            code.store_number(Size::W, area, area::CUT, area::CUT_ITEM);
        }
        let before = output.from.map_or(0, |_| ADDRESS);
        code.load(Size::W, used, area, area::USED)
            .alu_number(AluOp::Add, used, ITEM.cast_signed())
            .copy(text, len)
            .alu_number(AluOp::Add, text, before.saturating_add(15).cast_signed())
            .alu_number(AluOp::And, text, -16)
            .alu(AluOp::Add, text, used)
            .store(Size::W, area, area::USED, text)
            .alu_number(AluOp::And, used, self.shape.mask())
            .alu(AluOp::Add, area, used)
            .copy(text, len)
            .alu_number(AluOp::Add, text, before.cast_signed())
            .store_number(Size::W, area, item(0), place.insn.0)
            .store(Size::W, area, item(4), text)
            .store(Size::Dw, area, item(8), Reg::R0);
        if output.from.is_some() {
            code.load(Size::Dw, text, Reg::FP, slot(FOURTH_SLOT)).store(
                Size::Dw,
                area,
                item(ITEM),
                text,
            );
        }
        let data = item(ITEM.saturating_add(before));
        code.alu_number(AluOp::Add, area, data.into())
            .load(Size::Dw, Reg::R3, Reg::FP, slot(SECOND_SLOT))
            .call(helper::PROBE_READ_KERNEL)
            .load(Size::Dw, Reg::R0, Reg::FP, slot(FIRST_SLOT));
        code.done()
    }
}

/// The register that a load fills.
pub(crate) fn loaded(insn: Option<&Insn>) -> Option<Reg> {
    match insn? {
        Insn::Load { dst, .. }
        | Insn::LoadSigned { dst, .. }
        | Insn::LoadAcquire { dst, .. }
        | Insn::LoadImm64 { dst, .. } => Some(*dst),
        _ => None,
    }
}

/// Two registers to work with: free ones if there are, else some that are kept in slots.
fn scratch(kept: Registers, not: Registers) -> ([Reg; 2], Vec<(Reg, u32)>) {
    let general = Reg::ALL
        .into_iter()
        .filter(|reg| *reg != Reg::FP && not & bit(*reg) == 0);
    let (held, mut free): (Vec<_>, Vec<_>) = general.partition(|reg| kept & bit(*reg) != 0);
    let mut saved = Vec::new();
    let mut slots = [FIRST_SLOT, SECOND_SLOT].into_iter();
    let mut held = held.into_iter();
    while free.len() < 2 {
        let (Some(register), Some(slot)) = (held.next(), slots.next()) else {
            break;
        };
        saved.push((register, slot));
        free.push(register);
    }
    let pick = |index: usize| free.get(index).copied().unwrap_or(Reg::R0);
    ([pick(0), pick(1)], saved)
}
