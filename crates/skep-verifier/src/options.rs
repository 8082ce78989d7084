//! What the caller chooses about a verification.

use crate::Extensions;

/// What a verification assumes about who loads the program, and how far it goes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// Whether the loader has `CAP_BPF`; without it only socket filters and cgroup_skb programs
    /// load, and pointers may not leak.
    pub bpf: bool,
    /// Whether the loader has `CAP_PERFMON`: pointers may leak, kernel memory be read, and there are no
    /// defences against speculation to be paid for.
    pub perfmon: bool,
    /// Whether the loader has `CAP_NET_ADMIN`.
    pub net_admin: bool,
    /// How many instructions are followed before the program is too complex; `None`: as the
    /// target's kernel does.
    pub instruction_limit: Option<u64>,
    /// What the host has that no kernel has.
    pub extensions: Extensions,
    /// Whether to write the states on the way into [`Verdict::log`](crate::Verdict::log), in the
    /// syntax of the kernel's log at level 2.
    pub log: bool,
    /// Whether paths end where they come to what was seen to be safe, as the kernel's do. Without,
    /// all are followed to their ends: that takes long, and is there to check the verifier itself.
    pub prune: bool,
    /// Whether to keep counts for each instruction ([`Stats::by_instruction`]).
    ///
    /// [`Stats::by_instruction`]: crate::Stats::by_instruction
    pub count: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            bpf: true,
            perfmon: true,
            net_admin: true,
            instruction_limit: None,
            extensions: Extensions::default(),
            log: false,
            prune: true,
            count: false,
        }
    }
}

impl Options {
    /// A loader without capabilities.
    pub fn unprivileged() -> Self {
        Self {
            bpf: false,
            perfmon: false,
            net_admin: false,
            ..Self::default()
        }
    }
}
