//! The pass that has programs see what was written down.
//!
//! What is the world's is not done again: calls and loads become calls of functions of the replay,
//! which hand out the items of an event one by one. What is the program's own is done again, and
//! its answer is shown to the replay, which knows what it was.

use skep_abi::{Helper, ProgLoadFlags, ProgramType};
use skep_isa::{CallTarget, CompareOp, Insn, InsnIndex, Operand, Reg, Size};
use skep_object::{Image, ImageProgram, Rewrite, Snippet};

use super::{Code, record::loaded};
use crate::{
    Error, Result,
    calls::{Output, Size as Bytes},
    flow::bit,
    plan::{Kfuncs, Place, Plan, What},
    sites::{ProgramSites, Sites},
};

/// `u64 value(u32 site)`: what was seen there. Numbers that no kernel has.
pub const VALUE: u32 = 5_200_001;
/// `u64 bytes(u32 site, void *to, u32 size, u64 from)`: the same, with what was written, behind the
/// address that it was read from, where there is one.
pub const BYTES: u32 = 5_200_002;
/// `u64 check(u32 site, u64 answer)`: gives the answer back, if it may be what it was; else, if it
/// was nothing, nothing.
pub const CHECK: u32 = 5_200_003;

/// Registers that a call changes and that loads must not.
const CHANGED: [Reg; 6] = [Reg::R0, Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5];

/// `bpf_ringbuf_discard`
const DISCARD: u32 = 133;

/// The image with programs that see what was recorded, and what they ask for where. Programs that
/// only a kernel could load for their place are made raw tracepoints: contexts are the same words.
///
/// # Errors
/// A program can't be replayed: the error names it and says why.
pub fn replayed(
    image: &Image,
    kfuncs: &Kfuncs,
    words: &dyn Fn(&ImageProgram) -> Option<u32>,
) -> Result<(Image, Sites)> {
    let mut made = image.clone();
    made.programs.clear();
    let mut sites = Sites::default();
    for program in &image.programs {
        let plan = Plan::of(program, kfuncs, words(program))?;
        let replayer = Replayer {
            program,
            plan: &plan,
        };
        let rewrite = replayer.rewrite()?;
        let mut changed = rewrite
            .apply(program, image.endian)
            .map_err(|error| Error::rewrite(&program.name, error))?;
        replace_kind(&mut changed);
        made.programs.push(changed);
        sites
            .programs
            .push(ProgramSites::of(program, &plan, kfuncs, words(program)));
    }
    Ok((made, sites))
}

/// What only a kernel has is taken off.
fn replace_kind(program: &mut ImageProgram) {
    match program.program_type {
        ProgramType::Tracing | ProgramType::Lsm | ProgramType::RawTracepointWritable => {
            program.program_type = ProgramType::RawTracepoint;
            program.attach_type = None;
        }
        ProgramType::Kprobe | ProgramType::Tracepoint | ProgramType::PerfEvent => {
            program.attach_type = None;
        }
        _ => {}
    }
    program.attach_btf = None;
    program.flags.remove(ProgLoadFlags::SLEEPABLE);
    program.module_references.clear();
}

struct Replayer<'a> {
    program: &'a ImageProgram,
    plan: &'a Plan,
}

impl Replayer<'_> {
    fn rewrite(&self) -> Result<Rewrite> {
        let mut rewrite = Rewrite::new();
        for place in &self.plan.places {
            let at = place.insn;
            match place.what {
                What::World { void: true, .. } => rewrite.instead(at, Snippet::new()),
                What::World {
                    output: Some(output),
                    ..
                } => rewrite.instead(at, bytes(place, output)),
                What::World { output: None, .. } => rewrite.instead(at, value(place)),
                What::Checked { .. } => self.checked(&mut rewrite, place)?,
                What::Load | What::Field => rewrite.instead(at, self.load(place)?),
            }
        }
        Ok(rewrite)
    }

    fn slot(&self, at: InsnIndex, index: u32) -> i16 {
        let depth = self.plan.depth(self.plan.flow.function_of(at));
        let below = index.saturating_add(1).saturating_mul(8);
        let offset = depth.saturating_add(below);
        i16::try_from(offset).map_or(i16::MIN, |offset| offset.saturating_neg())
    }

    fn room(&self, at: InsnIndex, slots: usize) -> Result<()> {
        let function = self.plan.flow.function_of(at);
        let needed = u32::try_from(slots).unwrap_or(u32::MAX).saturating_mul(8);
        self.plan.room(self.program, function, needed)
    }

    /// In place of a load: its value, with all else as it was.
    fn load(&self, place: &Place) -> Result<Snippet> {
        let Some(to) = loaded(self.plan.flow.insns.get(&place.insn)) else {
            return Ok(Snippet::new());
        };
        let kept = self.plan.kept_after(place.insn) & !bit(to);
        let kept: Vec<Reg> = CHANGED
            .into_iter()
            .filter(|reg| kept & bit(*reg) != 0)
            .collect();
        self.room(place.insn, kept.len())?;
        let mut code = Code::new();
        for (index, register) in (0..).zip(&kept) {
            code.store(Size::Dw, Reg::FP, self.slot(place.insn, index), *register);
        }
        code.set(Reg::R1, place.insn.0).call(VALUE);
        if to != Reg::R0 {
            code.copy(to, Reg::R0);
        }
        for (index, register) in (0..).zip(&kept) {
            code.load(Size::Dw, *register, Reg::FP, self.slot(place.insn, index));
        }
        Ok(code.done())
    }

    /// A call that is done again.
    fn checked(&self, rewrite: &mut Rewrite, place: &Place) -> Result<()> {
        let at = place.insn;
        let helper = match self.plan.flow.insns.get(&at) {
            Some(Insn::Call(CallTarget::Helper(id))) => Helper::by_id(*id),
            _ => None,
        };
        match helper.map_or("", Helper::short_name) {
            // Whether a ring had room was the world's.
            "ringbuf_reserve" => {
                self.room(at, 1)?;
                let slot = self.slot(at, 0);
                let mut code = Code::new();
                code.store(Size::Dw, Reg::FP, slot, Reg::R0)
                    .copy(Reg::R2, Reg::R0)
                    .set(Reg::R1, at.0)
                    .call(CHECK);
                let there = code.jump_if(Reg::R0, CompareOp::Ne, Operand::Imm(0));
                code.load(Size::Dw, Reg::R1, Reg::FP, slot);
                let nothing = code.jump_if(Reg::R1, CompareOp::Eq, Operand::Imm(0));
                code.set(Reg::R2, 0)
                    .call(DISCARD)
                    .set(Reg::R0, 0)
                    .land(there)
                    .land(nothing);
                rewrite.after(at, code.done());
            }
            "ringbuf_output" => self.output(rewrite, place, 4)?,
            "perf_event_output" => self.output(rewrite, place, 5)?,
            _ => {
                let mut code = Code::new();
                code.copy(Reg::R2, Reg::R0).set(Reg::R1, at.0).call(CHECK);
                rewrite.after(at, code.done());
            }
        }
        Ok(())
    }

    /// A record that was lost then is not sent now.
    fn output(&self, rewrite: &mut Rewrite, place: &Place, registers: u32) -> Result<()> {
        let at = place.insn;
        self.room(at, usize::try_from(registers).unwrap_or(usize::MAX))?;
        let Some(insn) = self.plan.flow.insns.get(&at) else {
            return Ok(());
        };
        let held = || (0..registers).zip(CHANGED.into_iter().skip(1));
        let mut code = Code::new();
        for (index, register) in held() {
            code.store(Size::Dw, Reg::FP, self.slot(at, index), register);
        }
        code.set(Reg::R1, at.0).call(VALUE);
        let lost = code.jump_if(Reg::R0, CompareOp::Ne, Operand::Imm(0));
        for (index, register) in held() {
            code.load(Size::Dw, register, Reg::FP, self.slot(at, index));
        }
        code.insn(*insn).land(lost);
        rewrite.instead(at, code.done());
        Ok(())
    }
}

/// In place of a call: its answer.
fn value(place: &Place) -> Snippet {
    let mut code = Code::new();
    code.set(Reg::R1, place.insn.0).call(VALUE);
    code.done()
}

/// The same with what it wrote.
fn bytes(place: &Place, output: Output) -> Snippet {
    let mut code = Code::new();
    code.copy(Reg::R0, output.buffer);
    if let Some(from) = output.from {
        code.copy(Reg::R4, from);
    }
    match output.size {
        Bytes::Register(Reg::R3) => {}
        Bytes::Register(size) => {
            code.copy(Reg::R3, size);
        }
        Bytes::Fixed(size) => {
            code.set(Reg::R3, size);
        }
    }
    if output.from.is_none() {
        code.set(Reg::R4, 0);
    }
    code.copy(Reg::R2, Reg::R0)
        .set(Reg::R1, place.insn.0)
        .call(BYTES);
    code.done()
}
