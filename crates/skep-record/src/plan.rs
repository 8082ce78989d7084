//! What of a program is recorded: its sites, which are the calls and loads whose answer is the
//! world's or is checked, and the room in its frames. Both the recording and the replay are made
//! from the same plan, so that they agree.

use std::collections::{BTreeMap, BTreeSet};

use skep_abi::Helper;
use skep_isa::{CallTarget, Imm64, Insn, InsnIndex, Reg, decode_program};
use skep_object::ImageProgram;

use crate::{
    Error, Result,
    calls::{self, Call, Output},
    context::{self, ContextKind},
    error::place,
    flow::{Flow, Liveness, Registers, State, Value, bit},
};

/// The frame that a function may have.
pub(crate) const FRAME: u32 = 512;

/// The functions of the kernel that a program calls by their type's number: name, names of the
/// parameters, whether it answers nothing.
pub type Kfuncs = BTreeMap<u32, Kfunc>;

/// A function of the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Kfunc {
    /// Its name.
    pub name: String,
    /// The names of its parameters.
    pub parameters: Vec<String>,
    /// Whether it answers nothing.
    pub void: bool,
}

/// What is recorded at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// The answer of a call, and what it wrote.
    World {
        output: Option<Output>,
        void: bool,
        /// How many bytes it writes, where that is always the same.
        fixed: Option<u32>,
    },
    /// The answer of a call that is done again.
    Checked { pointer: bool },
    /// What was read from memory of the kernel.
    Load,
    /// What was read of the context.
    Field,
}

/// A call or a load that is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) insn: InsnIndex,
    pub(crate) what: What,
}

/// What of a program is recorded.
pub(crate) struct Plan {
    pub(crate) context: ContextKind,
    /// Bytes of the context that are copied.
    pub(crate) context_len: u32,
    pub(crate) places: Vec<Place>,
    /// Whether the program reads its packet by its address.
    pub(crate) reads_packet: bool,
    pub(crate) flow: Flow,
    live: Liveness,
    /// For each function: how deep its frame is, in whole slots.
    depths: BTreeMap<InsnIndex, u32>,
}

impl Plan {
    pub(crate) fn of(program: &ImageProgram, kfuncs: &Kfuncs, words: Option<u32>) -> Result<Self> {
        let context = ContextKind::of(program).map_err(|reason| Error::Program {
            program: program.name.clone(),
            section: program.section.to_string(),
            reason: reason.into(),
        })?;
        let mut insns = BTreeMap::new();
        for item in decode_program(&program.instructions) {
            let (at, insn) = item.map_err(|error| Error::decode(&program.name, error))?;
            insns.insert(at, insn);
        }
        let mut functions: BTreeSet<_> = program
            .functions
            .iter()
            .map(|function| function.start)
            .collect();
        functions.insert(InsnIndex(0));
        functions.extend(insns.iter().filter_map(|(at, insn)| insn.subprogram(*at)));
        let flow = Flow::of(insns, functions, &context, &|_| Value::World);
        let live = Liveness::of(&flow);
        let mut plan = Self {
            context,
            context_len: 0,
            places: Vec::new(),
            reads_packet: false,
            live,
            depths: BTreeMap::new(),
            flow,
        };
        let mut looked_at = 0;
        for (at, insn) in &plan.flow.insns {
            let Some(state) = plan.flow.states.get(at) else {
                continue;
            };
            if let Some((offset, bytes)) = context_read(insn, state) {
                looked_at = looked_at.max(offset.saturating_add(bytes));
                let offset = i32::try_from(offset).unwrap_or(i32::MAX);
                plan.reads_packet |= context.is_packet_pointer(offset);
            }
            if program.poisoned_at(*at).is_some() {
                continue;
            }
            let what = plan
                .what(insn, state, kfuncs)
                .map_err(|(name, reason)| Error::Call {
                    program: program.name.clone(),
                    function: name,
                    place: place(program, *at),
                    reason: reason.into(),
                })?;
            plan.places
                .extend(what.map(|what| Place { insn: *at, what }));
        }
        plan.context_len = match context {
            ContextKind::Bytes(0) => looked_at.next_multiple_of(8),
            ContextKind::Bytes(len) => len,
            ContextKind::Words => words
                .unwrap_or(looked_at.div_ceil(8))
                .min(context::WORDS)
                .saturating_mul(8),
            _ => 0,
        };
        plan.measure();
        Ok(plan)
    }

    fn what(
        &self,
        insn: &Insn,
        state: &State,
        kfuncs: &Kfuncs,
    ) -> Result<Option<What>, (String, &'static str)> {
        let (name, call) = match insn {
            Insn::Call(CallTarget::Helper(id)) => {
                let name = Helper::by_id(*id).map_or("a helper", |helper| helper.name);
                (name.to_owned(), calls::of_helper(*id))
            }
            Insn::Call(CallTarget::Kfunc { btf_id, .. }) => match kfuncs.get(btf_id) {
                Some(kfunc) => (
                    kfunc.name.clone(),
                    calls::of_kfunc(&kfunc.name, &kfunc.parameters, kfunc.void),
                ),
                None => {
                    let name = format!("kernel function {btf_id}");
                    return Err((name, "the kernel's types do not name it"));
                }
            },
            Insn::Load { base, .. }
            | Insn::LoadSigned { base, .. }
            | Insn::LoadAcquire { base, .. } => return Ok(self.load(insn, *base, state)),
            // Where a variable of the kernel is.
            Insn::LoadImm64 {
                value: Imm64::BtfId { .. },
                ..
            } => return Ok(Some(What::Load)),
            _ => return Ok(None),
        };
        match call {
            Call::Own => Ok(None),
            Call::Checked { pointer } => Ok(Some(What::Checked { pointer })),
            Call::World { output, void } => {
                let fixed = output.and_then(|output| match output.size {
                    calls::Size::Fixed(size) => Some(size),
                    calls::Size::Register(register) => match state.at(register) {
                        Value::Number(number) => u32::try_from(number & 0xffff_ffff).ok(),
                        _ => None,
                    },
                });
                Ok(Some(What::World {
                    output,
                    void,
                    fixed,
                }))
            }
            Call::Refused(reason) => Err((name, reason)),
        }
    }

    fn load(&self, insn: &Insn, base: Reg, state: &State) -> Option<What> {
        match state.at(base) {
            Value::World => Some(What::Load),
            Value::Context { .. } if self.context.by_field() => {
                let (offset, _) = context_read(insn, state)?;
                let offset = i32::try_from(offset).ok()?;
                (!self.context.is_packet_pointer(offset)).then_some(What::Field)
            }
            _ => None,
        }
    }

    /// Measures the frames: the lowest place that any register points to or any access reaches.
    fn measure(&mut self) {
        for (at, insn) in &self.flow.insns {
            let Some(state) = self.flow.states.get(at) else {
                continue;
            };
            let mut lowest = 0;
            for register in Reg::ALL {
                if let Value::Stack { offset, .. } = state.at(register) {
                    lowest = lowest.min(offset);
                }
            }
            let access = match *insn {
                Insn::Load { base, offset, .. }
                | Insn::LoadSigned { base, offset, .. }
                | Insn::LoadAcquire { base, offset, .. }
                | Insn::Store { base, offset, .. }
                | Insn::StoreRelease { base, offset, .. }
                | Insn::Atomic { base, offset, .. } => state.at(base).moved(Some(offset.into())),
                _ => Value::World,
            };
            if let Value::Stack { offset, .. } = access {
                lowest = lowest.min(offset);
            }
            let depth = self.depths.entry(self.flow.function_of(*at)).or_default();
            *depth = (*depth).max(lowest.unsigned_abs().next_multiple_of(8));
        }
    }

    /// How many bytes of its frame the function uses that begins at `start`.
    pub(crate) fn depth(&self, start: InsnIndex) -> u32 {
        self.depths.get(&start).copied().unwrap_or_default()
    }

    /// Fails if a function has no room for `needed` bytes more.
    pub(crate) fn room(&self, program: &ImageProgram, start: InsnIndex, needed: u32) -> Result<()> {
        let used = self.depth(start);
        if used.saturating_add(needed) <= FRAME {
            return Ok(());
        }
        let function = program.function_at(start);
        Err(Error::Stack {
            program: program.name.clone(),
            function: function.map_or_else(|| program.name.clone(), |found| found.name.clone()),
            used,
            needed,
        })
    }

    /// Registers that must survive what is put after an instruction: needed later, and set.
    pub(crate) fn kept_after(&self, at: InsnIndex) -> Registers {
        let needed = self.live.after(at);
        let set = self.set_before(at) | written(self.flow.insns.get(&at));
        needed & set
    }

    /// The same of what is put before it.
    pub(crate) fn kept_before(&self, at: InsnIndex) -> Registers {
        self.live.before(at) & self.set_before(at)
    }

    fn set_before(&self, at: InsnIndex) -> Registers {
        let Some(state) = self.flow.states.get(&at) else {
            return 0;
        };
        let set = Reg::ALL.into_iter().filter(|reg| state.is_set(*reg));
        set.fold(0, |all, reg| all | bit(reg))
    }

    /// The functions that have places in them or run first, by their first instruction.
    pub(crate) fn functions_with_places(&self) -> BTreeSet<InsnIndex> {
        let places = self.places.iter();
        let mut functions: BTreeSet<_> = places
            .map(|place| self.flow.function_of(place.insn))
            .collect();
        functions.insert(InsnIndex(0));
        functions
    }
}

fn written(insn: Option<&Insn>) -> Registers {
    match insn {
        Some(
            Insn::Load { dst, .. }
            | Insn::LoadSigned { dst, .. }
            | Insn::LoadAcquire { dst, .. }
            | Insn::LoadImm64 { dst, .. },
        ) => bit(*dst),
        Some(Insn::Call(_)) => bit(Reg::R0),
        _ => 0,
    }
}

/// Where in the context an instruction reads, and how much.
fn context_read(insn: &Insn, state: &State) -> Option<(u32, u32)> {
    let (base, offset, bytes) = match *insn {
        Insn::Load {
            base, offset, size, ..
        }
        | Insn::LoadAcquire {
            base, offset, size, ..
        } => (base, offset, size.bytes()),
        Insn::LoadSigned {
            base, offset, size, ..
        } => (base, offset, size.bytes()),
        _ => return None,
    };
    match state.at(base).moved(Some(offset.into())) {
        Value::Context { offset, .. } => Some((u32::try_from(offset).ok()?, bytes)),
        _ => None,
    }
}
