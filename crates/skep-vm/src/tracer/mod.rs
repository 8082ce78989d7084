//! Real events without privileges: a command and its children, or a process, under `ptrace`.
//!
//! A thread for each [`Traced`] makes all calls of ptrace, and runs the programs that are attached
//! to what happens: system calls, and the begin, fork and end of tasks. Where it can it lets a
//! seccomp filter choose the calls that stop a tracee, so that all others run at full speed.
//!
//! | file | what is there |
//! |---|---|
//! | `launch.rs` | forking a command that waits to be traced |
//! | `filter.rs` | the seccomp filter |
//! | `wake.rs` | waking the thread |
//! | `plan.rs` | what is hooked, and which stops that takes |
//! | `thread.rs` | the thread: requests, waiting, and letting go |
//! | `stops.rs` | what a stop means |
//! | `life.rs` | tasks that begin, change and end |
//! | `breakpoints/` | uprobes: instructions of binaries |
//! | `fire.rs` | running programs on a stop |
//! | `sampling.rs` | timers that look where tasks are |
//! | `process.rs` | `/proc` and memory |

mod breakpoints;
mod calls;
mod control;
mod error;
mod filter;
mod fire;
mod launch;
mod life;
mod plan;
mod process;
mod sampling;
mod stops;
mod system;
mod thread;
mod traced;
mod wake;

pub use breakpoints::Refused;
pub use error::TraceError;
pub use traced::{Stdio, Traced};

/// What a tracer saw, and what it could not show to programs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TraceCounts {
    /// How often something that is hooked happened.
    pub events: u64,
    /// Runs of programs.
    pub runs: u64,
    /// Runs that were left out: the program ran already on this thread, or a return could not be
    /// seen.
    pub missed: u64,
    /// Runs that ended with a fault: the task went on as if the program had returned.
    pub faults: u64,
    /// The first faults.
    pub first_faults: Vec<String>,
    /// Places of binaries that have no breakpoint, and why: programs miss what happens there.
    pub refused: Vec<Refused>,
    /// System calls by the tables of other machines (32-bit programs), which fire nothing. Only
    /// those at which the task was stopped are known.
    pub foreign_calls: u64,
    /// Samples that timers could not take: a task was never seen running when it was looked at, or
    /// was in a system call whose end a program waits for.
    pub missed_ticks: u64,
    /// Tasks that were traced.
    pub tasks: u64,
    /// Tasks that could not be followed to their end.
    pub lost_tasks: u64,
}
