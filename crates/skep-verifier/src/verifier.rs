//! One verification: the program, the target, the state where it is, and what it learnt.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use skep_abi::KernelVersion;
use skep_btf::{Btf, TypeId};
use skep_isa::{InsnIndex, Reg};
use skep_object::Target;

use crate::{
    Options, Program, Rejection, Rule, Stats, Verdict,
    admission::Attached,
    call::Functions,
    diagnosis::Trace,
    observe::Observed,
    setup::Code,
    state::{BtfSource, Fields, Id, Kind, Register, State},
    walk::Walk,
};

/// What an instruction or a check does when all is well, or why the program may not run.
pub(crate) type Result<T = ()> = std::result::Result<T, Box<Rejection>>;

/// Decides whether a program may run on a target.
#[must_use]
pub fn verify(program: &Program<'_>, target: &Target, options: &Options) -> Verdict {
    judge(program, target, options, false).0
}

/// The same, with all that was known on the way.
pub(crate) fn observe(
    program: &Program<'_>,
    target: &Target,
    options: &Options,
) -> (Verdict, Observed) {
    let (verdict, observed) = judge(program, target, options, true);
    (verdict, observed.unwrap_or_default())
}

fn judge(
    program: &Program<'_>,
    target: &Target,
    options: &Options,
    observes: bool,
) -> (Verdict, Option<Observed>) {
    let mut verifier = match Verifier::new(program, target, options) {
        Ok(verifier) => verifier,
        Err(rejection) => {
            let verdict = Verdict {
                rejection: Some(rejection),
                stats: Stats::default(),
                guarded: Vec::new(),
                only_as_loaded: false,
                log: String::new(),
            };
            return (verdict, None);
        }
    };
    verifier.observed = observes.then(|| Observed::new(&verifier.code.live));
    let rejection = verifier.run().err().map(|why| unrelocated(program, why));
    let functions = verifier.code.subprograms.iter();
    verifier.stats.stack = functions.map(|one| one.stack).collect();
    let facts = verifier.facts.iter().enumerate();
    let guarded = facts.filter(|(_, facts)| facts.guarded);
    let verdict = Verdict {
        rejection,
        guarded: guarded.map(|(at, _)| InsnIndex(at as u32)).collect(),
        only_as_loaded: verifier.only_as_loaded,
        stats: verifier.stats,
        log: verifier.log,
    };
    (verdict, verifier.observed)
}

/// A rejection of an instruction that linking made invalid, since the target lacks what it refers
/// to, by its true name.
fn unrelocated(program: &Program<'_>, mut why: Box<Rejection>) -> Box<Rejection> {
    let poisoned = why.insn.zip(program.source);
    let poisoned = poisoned.and_then(|(insn, source)| source.poisoned_at(insn));
    if let Some(poisoned) = poisoned {
        why.rule = Rule::CoreRelocation;
        why.message = format!("the target has no {}", poisoned.description);
        why.remedy = Some(
            "ask first: `if (bpf_core_field_exists(…))`, or `bpf_ksym_exists(…)` for a weak symbol"
                .into(),
        );
    }
    why
}

/// One verification.
pub(crate) struct Verifier<'a> {
    pub(crate) program: &'a Program<'a>,
    pub(crate) target: &'a Target,
    pub(crate) options: &'a Options,
    /// The program's instructions, functions and what is known about them without paths.
    pub(crate) code: Code,
    /// What the program attaches to.
    pub(crate) attach: Attached,
    /// What is known about its functions beside their code.
    pub(crate) functions: Functions,
    /// What is known where the verification stands.
    pub(crate) state: State,
    /// The instruction where it stands: the index of its first slot.
    pub(crate) insn: usize,
    /// The one before it on the path.
    pub(crate) previous: usize,
    /// Paths to follow and where they have been.
    pub(crate) walk: Walk,
    /// The frame and stack slot that the instruction spilled a register to or filled one from.
    /// Each memory access sets or clears it.
    pub(crate) slot_access: Option<(usize, usize)>,
    /// What it learnt about each instruction, on any path.
    pub(crate) facts: Vec<InsnFacts>,
    /// What the kernel manages of the objects that the program allocates, by type.
    pub(crate) object_fields: BTreeMap<TypeId, Arc<Fields>>,
    /// Whether it answers what only the hook that it was loaded for knows.
    pub(crate) only_as_loaded: bool,
    pub(crate) stats: Stats,
    pub(crate) log: String,
    /// Notes on the way, when a rejection is to be explained.
    pub(crate) trace: Option<Box<Trace>>,
    /// The kernel functions that it met, by BTF and id.
    pub(crate) kernel_functions: HashMap<(BtfSource, u32), std::rc::Rc<crate::call::Descriptor>>,
    /// All that is known on the way, if that is wanted.
    pub(crate) observed: Option<Observed>,
    last_id: u32,
}

/// What the verification learnt about an instruction on the paths so far, where other paths must
/// agree.
#[derive(Debug, Clone, Default)]
pub(crate) struct InsnFacts {
    /// What kind of memory it accesses. The rule: [`Rule::MixedPointers`].
    pub(crate) accesses: Option<crate::memory::AccessKind>,
    /// Whether it accesses memory that is only known when it runs ([`Verdict::guarded`]).
    pub(crate) guarded: bool,
    /// How the kernel masks its arithmetic. The same rule.
    pub(crate) masking: Option<crate::alu::Masking>,
    /// The map that it makes a tail call by. The same rule.
    pub(crate) tail_call_map: Option<Option<crate::MapId>>,
    /// The kernel's variable that it loads the address of.
    pub(crate) variable: Option<(Kind, crate::state::PointerFlags)>,
}

impl<'a> Verifier<'a> {
    pub(crate) fn new(
        program: &'a Program<'a>,
        target: &'a Target,
        options: &'a Options,
    ) -> Result<Self> {
        let code = Code::new(program, target, options)?;
        let functions = Functions::new(program, &code)?;
        let facts = vec![InsnFacts::default(); code.insns.len()];
        Ok(Self {
            program,
            target,
            options,
            code,
            attach: Attached::default(),
            functions,
            state: State::empty(),
            insn: 0,
            previous: 0,
            walk: Walk::default(),
            slot_access: None,
            facts,
            object_fields: BTreeMap::new(),
            only_as_loaded: false,
            stats: Stats {
                by_instruction: match options.count {
                    true => vec![0; program.instructions.len()],
                    false => Vec::new(),
                },
                ..Stats::default()
            },
            log: String::new(),
            trace: None,
            kernel_functions: HashMap::new(),
            observed: None,
            last_id: 0,
        })
    }

    /// An id that nothing has yet.
    pub(crate) fn new_id(&mut self) -> Id {
        self.last_id += 1;
        Id(self.last_id)
    }

    /// The target's version.
    pub(crate) fn kernel(&self) -> KernelVersion {
        self.target.version
    }

    /// Whether the target's kernel is at least this new.
    pub(crate) fn since(&self, major: u8, minor: u8) -> bool {
        self.target.version >= KernelVersion::new(major, minor)
    }

    /// Whether the target's kernel is at least this new, or a long-term one that took the same over:
    /// `updates` are the first that did (major, minor, patch level). Where the patch level is not
    /// known they did not.
    pub(crate) fn since_or_update(
        &self,
        (major, minor): (u8, u8),
        updates: &[(u8, u8, u16)],
    ) -> bool {
        let updated = updates.iter().any(|&(major, minor, patch)| {
            self.target.version == KernelVersion::new(major, minor) && self.target.patch >= patch
        });
        updated || self.since(major, minor)
    }

    /// The BTF that a register's type is in.
    pub(crate) fn btf(&self, source: BtfSource) -> Option<&'a Arc<Btf>> {
        match source {
            BtfSource::Program => self.program.btf.as_ref(),
            BtfSource::Kernel => self.target.kernel_btf.as_ref(),
            BtfSource::Module(module) => self
                .target
                .modules
                .get(usize::from(module))
                .map(|module| &module.btf),
        }
    }

    /// A register where the verification stands.
    pub(crate) fn reg(&self, reg: Reg) -> &Register {
        self.state.register(reg)
    }

    /// A register that the instruction reads: it must have been written on this path.
    pub(crate) fn read(&self, reg: Reg) -> Result<&Register> {
        let register = self.state.register(reg);
        if register.kind == Kind::Uninit {
            return Err(self.unwritten(reg));
        }
        Ok(register)
    }

    #[cold]
    fn unwritten(&self, reg: Reg) -> Box<Rejection> {
        let message = format!("{reg} is read, but nothing was written to it on this path");
        self.reject(Rule::UninitialisedRegister, message).of(reg)
    }

    /// Checks that the instruction may write a register.
    pub(crate) fn writable(&self, dst: Reg) -> Result {
        if dst == Reg::FP {
            let message = "r10 is the frame pointer, which programs may only read";
            return Err(self.reject(Rule::FramePointerWrite, message).of(dst));
        }
        Ok(())
    }

    /// The rejection of what stands here.
    pub(crate) fn reject(&self, rule: Rule, message: impl Into<String>) -> Box<Rejection> {
        Rejection::new(rule, message).at(self.insn)
    }
}
