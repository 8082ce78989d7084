//! Coverage: how often each instruction of a program ran, and how often each conditional jump
//! jumped. Counted by the interpreter, for machines that were made with
//! [`Config::coverage`](crate::Config::coverage). With [`Config::steps`](crate::Config::steps), what
//! each instruction found is kept too: what verdicts say of registers is compared with that.
//!
//! Each virtual CPU counts for itself, in memory that it takes when it first runs the program: no
//! two threads ever add to the same number, so that adding needs no locked instruction.

use std::{
    fmt,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use skep_isa::InsnIndex;

use crate::{engine::FRAME, run::Run};

/// How often one instruction ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hits {
    /// How often it was begun. An instruction that stops the program with a fault was begun, too.
    pub ran: u64,
    /// How often it jumped, of a conditional jump (`may_goto` is one): it went on to the next
    /// instruction `ran - jumped` times. 0 of all others.
    pub jumped: u64,
}

/// Steps of a program that are kept: later ones are not.
const MOST_STEPS: usize = 20_000;

/// What an instruction found when it began, on any CPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The instruction.
    pub insn: InsnIndex,
    /// R0 to R10. What a program never wrote has any value.
    pub registers: [u64; 11],
    /// The frame below R10, the lowest address first.
    pub frame: Box<[u8; FRAME as usize]>,
}

/// What one CPU counts of one instruction.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    ran: AtomicU64,
    jumped: AtomicU64,
}

impl Counter {
    #[inline(always)]
    pub(crate) fn ran(&self) {
        add(&self.ran);
    }

    #[inline(always)]
    pub(crate) fn jumped(&self) {
        add(&self.jumped);
    }
}

/// Adds one; only the CPU's own thread does. It would take centuries to overflow.
#[inline(always)]
fn add(counter: &AtomicU64) {
    counter.store(counter.load(Relaxed).wrapping_add(1), Relaxed);
}

/// The counts of a program. They stay when the program is gone.
pub struct Coverage {
    program: String,
    slots: usize,
    by_cpu: Box<[OnceLock<Box<[Counter]>>]>,
    steps: Option<Mutex<Vec<Step>>>,
}

impl fmt::Debug for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Coverage(`{}`, {} slots)", self.program, self.slots)
    }
}

impl Coverage {
    pub(crate) fn new(program: &str, slots: usize, cpus: u32, steps: bool) -> Self {
        Self {
            steps: steps.then(Mutex::default),
            program: program.to_owned(),
            slots,
            by_cpu: (0..cpus.max(1)).map(|_| OnceLock::new()).collect(),
        }
    }

    /// The program's name, as it was loaded: the kernel's, of at most 15 bytes.
    #[must_use]
    pub fn program(&self) -> &str {
        &self.program
    }

    /// What was counted until now, by slot: what a program is loaded with, its subprograms behind
    /// it, all of it. What never ran is 0, as is the second slot of an instruction that has two.
    ///
    /// Programs that run meanwhile go on counting: what is read is then of no one moment.
    #[must_use]
    pub fn hits(&self) -> Vec<Hits> {
        let mut all = vec![Hits::default(); self.slots];
        for counters in self.by_cpu.iter().filter_map(OnceLock::get) {
            for (sum, counter) in all.iter_mut().zip(counters) {
                // The two are not read at once; what jumped has run.
                let jumped = counter.jumped.load(Relaxed);
                let ran = counter.ran.load(Relaxed).max(jumped);
                sum.ran = sum.ran.saturating_add(ran);
                sum.jumped = sum.jumped.saturating_add(jumped);
            }
        }
        all
    }

    /// What its instructions found, in the order in which they ran: the first 20000, or none if the
    /// machine keeps none ([`Config::steps`](crate::Config::steps)).
    #[must_use]
    pub fn steps(&self) -> Vec<Step> {
        let kept = self.steps.as_ref();
        kept.map_or_else(Vec::new, |steps| {
            steps.lock().unwrap_or_else(PoisonError::into_inner).clone()
        })
    }

    /// Keeps what an instruction finds, if that is wanted.
    #[inline]
    pub(crate) fn step(&self, at: u32, registers: &[u64; 16], run: &Run<'_>) {
        if let Some(steps) = &self.steps {
            Self::keep(steps, at, registers, run);
        }
    }

    #[cold]
    fn keep(steps: &Mutex<Vec<Step>>, at: u32, registers: &[u64; 16], run: &Run<'_>) {
        let mut steps = steps.lock().unwrap_or_else(PoisonError::into_inner);
        let [named @ .., _, _, _, _, _] = registers;
        let mut frame = Box::new([0; FRAME as usize]);
        let end = named[10];
        let there = run.peek(end.wrapping_sub(FRAME), frame.as_mut_slice());
        if steps.len() < MOST_STEPS && there.is_ok() {
            steps.push(Step {
                insn: InsnIndex(at),
                registers: *named,
                frame,
            });
        }
    }

    /// The counters of a CPU: one a slot.
    pub(crate) fn of_cpu(&self, cpu: u32) -> Option<&[Counter]> {
        let own = self.by_cpu.get(cpu as usize)?;
        Some(own.get_or_init(|| (0..self.slots).map(|_| Counter::default()).collect()))
    }
}
