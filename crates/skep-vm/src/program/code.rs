//! A program's instructions after loading: decoded, shown to be well formed, and with everything
//! resolved that stood for something of the host.
//!
//! Well formed means what engines rely on without looking again: jumps stay in their function and
//! hit no second half, no function's last instruction falls through, calls name functions, and R10
//! is never written: what would write it stops the program where it comes there, since the kernel
//! takes such instructions where they are never reached.

use std::{collections::BTreeMap, ops::RangeInclusive};

use skep_abi::limits;
use skep_isa::{
    ArenaCast, CallTarget, DecodeError, Imm64, Insn, InsnIndex, RawInsn, Reg, decode_program,
};

use crate::engine::{ArrayValues, Known, Shim};

/// Addresses that stand for functions of the program: this plus the function's index.
pub(crate) const FUNCTIONS: u64 = 0x5ce9_f000_0000_0000;
/// Addresses that stand for instructions, as jump tables hold them: this plus the slot.
pub(crate) const PLACES: u64 = 0x5ce9_a000_0000_0000;
/// Addresses that stand for a program's maps: this plus the map's index.
pub(crate) const MAPS: u64 = 0x5ce9_3000_0000_0000;

/// The helper that CO-RE puts in the place of an instruction for whose field it found nothing (as
/// libbpf does): what a program does not come to is no fault of it.
const POISON: u32 = 0x0bad_2310;
/// The helpers that a loader puts in the place of weak functions that are not here, a number for
/// each: programs ask before they call them (`bpf_ksym_exists`).
const ABSENT: RangeInclusive<u32> = 2_002_000_000..=2_002_999_999;
/// The number of a call that stands in the place of another instruction: no helper has it.
const NO_HELPER: u32 = u32::MAX;
/// R10 among the registers that an instruction writes.
const FRAME_POINTER: u16 = 1 << Reg::FP.number();

/// What a call of a helper or kfunc goes to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    /// The function.
    pub(crate) shim: Shim,
    /// Which of the embedder's helpers, where it is one.
    pub(crate) custom: u32,
    /// Its name.
    pub(crate) name: &'static str,
}

/// What is wrong with a program that can't be loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// An instruction that is none.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The program has no instructions, or too many.
    #[error("a program has 1 to {max} instructions, not {0}", max = limits::VERIFIED_INSTRUCTIONS)]
    Length(usize),
    /// Instructions that make no program.
    #[error("instruction {at}: {problem}")]
    Structure {
        /// Where.
        at: InsnIndex,
        /// What is wrong.
        problem: Problem,
    },
    /// A call of what this host does not have.
    #[error("instruction {at}: the vm has no {what}")]
    Missing {
        /// The call.
        at: InsnIndex,
        /// The helper or kernel function.
        what: String,
    },
    /// A reference to what is not there.
    #[error("instruction {at}: {what}")]
    Reference {
        /// The instruction.
        at: InsnIndex,
        /// What it refers to.
        what: String,
    },
}

/// How instructions fail to make a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the texts say it")]
pub enum Problem {
    #[error("it jumps out of its function")]
    JumpOut,
    #[error("it jumps into the middle of an instruction")]
    JumpIntoMiddle,
    #[error("it calls what is no instruction")]
    CallOut,
    #[error("the function ends without `exit` or a jump back")]
    FallsThrough,
    #[error("the program has too many functions")]
    TooManyFunctions,
    #[error("no host calls the address in a register")]
    CallRegister,
    #[error("it has more arguments than the kernel takes")]
    StackArgument,
}

/// What loading resolves, by whoever knows the host.
pub(crate) trait Resolve {
    /// A helper by its number.
    fn helper(&mut self, at: InsnIndex, id: u32) -> Result<Call, LoadError>;
    /// A kernel function by its type id.
    fn kfunc(&mut self, at: InsnIndex, btf_id: u32, fd_index: i16) -> Result<Call, LoadError>;
    /// A function that no instruction refers to: the callback for exceptions.
    fn exception_callback(&self) -> Option<InsnIndex> {
        None
    }
    /// What a `ld_imm64` that is no number loads; functions of the program are not asked for.
    fn value(&mut self, at: InsnIndex, value: Imm64) -> Result<u64, LoadError>;
}

/// A program that engines can take.
#[derive(Debug)]
pub(crate) struct Code {
    instructions: Vec<(InsnIndex, Insn)>,
    slots: usize,
    /// Where each function begins, sorted.
    starts: Vec<InsnIndex>,
    /// By the place of the call.
    call_at: BTreeMap<InsnIndex, usize>,
    calls: Vec<Call>,
    /// Where `gotox` may go, sorted: what the program's jump tables hold.
    targets: Vec<InsnIndex>,
    /// The first address of the program's arena.
    arena: Option<u64>,
    /// The function that takes exceptions.
    exception_callback: Option<u32>,
    /// Memory at fixed addresses that lives as long as the program.
    known: Vec<Known>,
    /// Of each map of the program, where the values are if it is an array.
    arrays: Vec<Option<ArrayValues>>,
    /// Accesses that no verifier can vouch for, sorted: see [`Code::with_guarded`].
    guarded: Vec<InsnIndex>,
}

impl Code {
    /// # Errors
    /// See [`LoadError`]; the first fault by place.
    pub(crate) fn new(program: &[RawInsn], host: &mut dyn Resolve) -> Result<Self, LoadError> {
        if program.is_empty() || program.len() > limits::VERIFIED_INSTRUCTIONS as usize {
            return Err(LoadError::Length(program.len()));
        }
        let mut instructions = decode_program(program).collect::<Result<Vec<_>, _>>()?;
        let callback = host.exception_callback();
        let starts = functions(&instructions, program.len(), callback)?;
        check(&instructions, &starts, program.len())?;
        let callback = callback.and_then(|at| starts.binary_search(&at).ok());
        let mut calls = Vec::new();
        let mut call_at = BTreeMap::new();
        for (at, insn) in &mut instructions {
            let at = *at;
            match insn {
                Insn::Call(CallTarget::Helper(id)) => {
                    call_at.insert(at, calls.len());
                    calls.push(match *id {
                        POISON => crate::helper::POISONED,
                        id if ABSENT.contains(&id) => crate::helper::ABSENT,
                        id => host.helper(at, id)?,
                    });
                }
                Insn::Call(CallTarget::Kfunc { btf_id, fd_index }) => {
                    call_at.insert(at, calls.len());
                    calls.push(host.kfunc(at, *btf_id, *fd_index)?);
                }
                Insn::LoadImm64 { value, .. } => {
                    let resolved = match *value {
                        Imm64::Value(value) => value,
                        Imm64::Subprogram { offset } => {
                            let start = at.relative(offset).unwrap_or_default();
                            let index = starts.binary_search(&start).unwrap_or_default();
                            FUNCTIONS + index as u64
                        }
                        other => host.value(at, other)?,
                    };
                    *value = Imm64::Value(resolved);
                }
                _ => {}
            }
            if insn.uses().writes & FRAME_POINTER != 0 {
                call_at.insert(at, calls.len());
                calls.push(crate::helper::FRAME_POINTER_WRITTEN);
                *insn = Insn::Call(CallTarget::Helper(NO_HELPER));
            }
        }
        Ok(Self {
            instructions,
            slots: program.len(),
            starts,
            call_at,
            calls,
            targets: Vec::new(),
            arena: None,
            exception_callback: callback.map(|index| index as u32),
            known: Vec::new(),
            arrays: Vec::new(),
            guarded: Vec::new(),
        })
    }

    /// With the places that its jump tables hold.
    #[must_use]
    pub(crate) fn with_targets(mut self, mut targets: Vec<InsnIndex>) -> Self {
        targets.sort_unstable();
        targets.dedup();
        targets.retain(|at| {
            self.instructions
                .binary_search_by_key(at, |(at, _)| *at)
                .is_ok()
        });
        self.targets = targets;
        self
    }

    /// With an arena that begins at this address, a multiple of 4 GiB.
    #[must_use]
    pub(crate) fn with_arena(mut self, arena: Option<u64>) -> Self {
        self.arena = arena;
        self
    }

    /// Whether an instruction begins here.
    pub(crate) fn is_insn(&self, at: InsnIndex) -> bool {
        let found = self.instructions.binary_search_by_key(&at, |(at, _)| *at);
        found.is_ok()
    }

    /// With memory whose addresses are constants of the program: values of its maps.
    #[must_use]
    pub(crate) fn with_known(mut self, known: Vec<Known>) -> Self {
        self.known = known;
        self
    }

    /// With what is known of its maps.
    #[must_use]
    pub(crate) fn with_arrays(mut self, arrays: Vec<Option<ArrayValues>>) -> Self {
        self.arrays = arrays;
        self
    }

    /// Where the values are of the map that has this address, if it is an array.
    pub(crate) fn array(&self, map: u64) -> Option<ArrayValues> {
        let index = usize::try_from(map.wrapping_sub(MAPS)).ok()?;
        *self.arrays.get(index)?
    }

    /// With accesses that are looked at in verified mode too, sorted: they follow pointers that may
    /// be stale, or whose memory is only known when the program runs. Where nothing of the
    /// program's is, a load gives 0 and a store is lost, as in the kernel (`BPF_PROBE_MEM`).
    #[must_use]
    pub(crate) fn with_guarded(mut self, guarded: Vec<InsnIndex>) -> Self {
        self.guarded = guarded;
        self
    }

    /// Whether an access is looked at in verified mode too.
    pub(crate) fn is_guarded(&self, at: InsnIndex) -> bool {
        self.guarded.binary_search(&at).is_ok()
    }

    /// Whether any is.
    #[cfg(feature = "jit")]
    pub(crate) fn has_guarded(&self) -> bool {
        !self.guarded.is_empty()
    }

    /// Memory at fixed addresses that lives as long as the program.
    pub(crate) fn known(&self) -> &[Known] {
        &self.known
    }

    /// Slots in all.
    pub(crate) fn slots(&self) -> usize {
        self.slots
    }

    /// Every instruction with its place.
    pub(crate) fn instructions(&self) -> impl Iterator<Item = (InsnIndex, &Insn)> {
        self.instructions.iter().map(|(at, insn)| (*at, insn))
    }

    /// The instructions of one function.
    pub(crate) fn function_instructions(&self, function: u32) -> &[(InsnIndex, Insn)] {
        let place = |slot| self.instructions.partition_point(|(at, _)| at.0 < slot);
        let Some(start) = self.function_start(function) else {
            return &[];
        };
        let range = place(start.0)..place(start.0 + self.function_len(function));
        self.instructions.get(range).unwrap_or_default()
    }

    /// How many functions it has.
    pub(crate) fn functions(&self) -> u32 {
        self.starts.len() as u32
    }

    /// Where a function begins.
    pub(crate) fn function_start(&self, function: u32) -> Option<InsnIndex> {
        self.starts.get(function as usize).copied()
    }

    /// How many slots a function has.
    pub(crate) fn function_len(&self, function: u32) -> u32 {
        let Some(start) = self.function_start(function) else {
            return 0;
        };
        let end = self
            .function_start(function + 1)
            .map_or(self.slots as u32, |next| next.0);
        end - start.0
    }

    /// The function that begins here.
    pub(crate) fn function_at(&self, start: InsnIndex) -> Option<u32> {
        self.starts
            .binary_search(&start)
            .ok()
            .map(|index| index as u32)
    }

    /// The function that takes exceptions, where the program has one.
    pub(crate) fn exception_callback(&self) -> Option<u32> {
        self.exception_callback
    }

    /// The function behind an address that a program holds for a callback.
    pub(crate) fn callback(&self, address: u64) -> Option<u32> {
        let index = u32::try_from(address.checked_sub(FUNCTIONS)?).ok()?;
        (index < self.functions()).then_some(index)
    }

    /// The place of a call in the table of calls.
    pub(crate) fn call_index(&self, at: InsnIndex) -> Option<usize> {
        self.call_at.get(&at).copied()
    }

    /// An entry of the table of calls.
    pub(crate) fn call(&self, index: usize) -> Option<&Call> {
        self.calls.get(index)
    }

    /// Where the call is that has this entry.
    pub(crate) fn place_of_call(&self, index: usize) -> Option<InsnIndex> {
        let mut calls = self.call_at.iter();
        calls.find_map(|(at, of)| (*of == index).then_some(*at))
    }

    /// Where `gotox` may go.
    pub(crate) fn targets(&self) -> &[InsnIndex] {
        &self.targets
    }

    /// Where a `gotox` of a function goes by this address.
    pub(crate) fn indirect_target(&self, function: u32, address: u64) -> Option<InsnIndex> {
        let at = InsnIndex(u32::try_from(address.checked_sub(PLACES)?).ok()?);
        let start = self.function_start(function)?;
        let end = start.0 + self.function_len(function);
        let known = self.targets.binary_search(&at).is_ok();
        (known && (start.0..end).contains(&at.0)).then_some(at)
    }

    /// The first address of the program's arena.
    pub(crate) fn arena(&self) -> Option<u64> {
        self.arena
    }

    /// A pointer into the arena, from either of its address spaces: here they are one. As in the
    /// kernel, null is null for users, and the arena's first byte for programs that follow it.
    #[inline]
    pub(crate) fn arena_address(&self, pointer: u64, cast: ArenaCast) -> u64 {
        match (pointer as u32, self.arena) {
            (_, None) => 0,
            (0, _) if cast == ArenaCast::ToUser => 0,
            (low, Some(arena)) => arena | u64::from(low),
        }
    }
}

/// Where functions begin: at 0, and wherever a call or an address says so.
fn functions(
    instructions: &[(InsnIndex, Insn)],
    slots: usize,
    callback: Option<InsnIndex>,
) -> Result<Vec<InsnIndex>, LoadError> {
    let mut starts = vec![InsnIndex(0)];
    let known = |at: &InsnIndex| {
        let found = instructions.binary_search_by_key(at, |(at, _)| *at);
        found.is_ok()
    };
    starts.extend(callback.filter(known));
    for (at, insn) in instructions {
        let names_function = insn.is_call_to_subprogram() || insn.is_subprogram_address();
        if !names_function {
            continue;
        }
        let problem = Problem::CallOut;
        let start = insn
            .subprogram(*at)
            .filter(|start| start.as_usize() < slots)
            .filter(|start| {
                instructions
                    .binary_search_by_key(start, |(at, _)| *at)
                    .is_ok()
            })
            .ok_or(LoadError::Structure { at: *at, problem })?;
        starts.push(start);
    }
    starts.sort_unstable();
    starts.dedup();
    if starts.len() > limits::SUBPROGRAMS as usize {
        let problem = Problem::TooManyFunctions;
        return Err(LoadError::Structure {
            at: InsnIndex(0),
            problem,
        });
    }
    Ok(starts)
}

/// What engines rely on; see the top of the file.
fn check(
    instructions: &[(InsnIndex, Insn)],
    starts: &[InsnIndex],
    slots: usize,
) -> Result<(), LoadError> {
    let mut ends = starts
        .iter()
        .skip(1)
        .map(|start| start.0)
        .chain([slots as u32]);
    let mut bounds = (0, ends.next().unwrap_or_default());
    for (place, (at, insn)) in instructions.iter().enumerate() {
        let fault = |problem| Err(LoadError::Structure { at: *at, problem });
        if at.0 >= bounds.1 {
            bounds = (bounds.1, ends.next().unwrap_or_default());
        }
        let last = instructions
            .get(place + 1)
            .is_none_or(|(next, _)| next.0 >= bounds.1);
        if last && insn.falls_through() {
            return fault(Problem::FallsThrough);
        }
        if insn.is_jump() && !matches!(insn, Insn::JumpIndirect { .. }) {
            let target = insn.target(*at).unwrap_or(InsnIndex(u32::MAX));
            if !(bounds.0..bounds.1).contains(&target.0) {
                return fault(Problem::JumpOut);
            }
            if instructions
                .binary_search_by_key(&target, |(at, _)| *at)
                .is_err()
            {
                return fault(Problem::JumpIntoMiddle);
            }
        }
        match insn {
            Insn::Call(CallTarget::Register(_)) => return fault(Problem::CallRegister),
            Insn::LoadStackArg { arg, .. } | Insn::StoreStackArg { arg, .. } if arg.index() > 6 => {
                return fault(Problem::StackArgument);
            }
            _ => {}
        }
    }
    Ok(())
}
