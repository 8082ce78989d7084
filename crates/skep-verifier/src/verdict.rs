//! The answer: accepted or not, and what it cost to find out.

use skep_isa::InsnIndex;

use crate::Rejection;

/// What the verifier says about a program.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Verdict {
    /// Why it may not run; `None` if it may.
    pub rejection: Option<Box<Rejection>>,
    /// What it cost.
    pub stats: Stats,
    /// Accesses of an accepted program, in order, whose memory is only known when it runs: of
    /// kernel structures, arenas, contexts whose size the hook decides. A host must look at each:
    /// the kernel handles their faults (`BPF_PROBE_MEM`) or checks when it attaches.
    pub guarded: Vec<InsnIndex>,
    /// Whether the program may be attached only as what it was loaded for, though its type has more
    /// than one hook: a `cgroup_skb` program for egress that, somewhere it ends, is known to answer 2
    /// or 3, which ingress has not (`enforce_expected_attach_type`).
    pub only_as_loaded: bool,
    /// The states on the way, if [`Options::log`](crate::Options::log) asked for them.
    pub log: String,
}

impl Verdict {
    /// Whether the program may run.
    pub fn is_accepted(&self) -> bool {
        self.rejection.is_none()
    }
}

/// What a verification cost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Instructions that were followed, each as often as it was (`processed N insns`).
    pub instructions: u64,
    /// States that were kept for pruning in all.
    pub states: u64,
    /// The most that were kept at once.
    pub peak_states: u64,
    /// The most states kept for one instruction.
    pub most_states_per_instruction: u64,
    /// Instructions on the longest path.
    pub longest_path: u64,
    /// Bytes of stack by subprogram, in order.
    pub stack: Vec<u32>,
    /// Bytes of the context that are accessed, from its start: records of tracepoints must have as
    /// many where the program is attached (`max_ctx_offset`).
    pub context_bytes: u32,
    /// Bytes of the buffers of an iterator or a writable raw tracepoint that are accessed, from
    /// their start, which are compared when the program is attached.
    pub buffer_bytes: u32,
    /// How often each instruction was followed, if [`Options::count`](crate::Options::count).
    pub by_instruction: Vec<u32>,
}
