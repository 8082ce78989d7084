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
//! | `wait.rs` | waiting for the next stop |
//! | `wake.rs` | waking the thread |
//! | `plan.rs` | what is hooked, and which stops that takes |
//! | `thread.rs` | the thread: requests, waiting, and letting go |
//! | `stops.rs` | what a stop means |
//! | `life.rs` | tasks that begin, change and end |
//! | `breakpoints/` | uprobes: instructions of binaries |
//! | `fire.rs` | running programs on a stop |
//! | `sampling.rs` | timers that look where tasks are |
//! | `process.rs` | `/proc` and memory |
//! | `elsewhere.rs` | what stands for all that on other processors than x86-64 |

#[cfg(target_arch = "x86_64")]
mod breakpoints;
#[cfg(target_arch = "x86_64")]
mod calls;
#[cfg(target_arch = "x86_64")]
mod control;
#[cfg(not(target_arch = "x86_64"))]
mod elsewhere;
mod error;
#[cfg(target_arch = "x86_64")]
mod filter;
#[cfg(target_arch = "x86_64")]
mod fire;
#[cfg(target_arch = "x86_64")]
mod launch;
#[cfg(target_arch = "x86_64")]
mod life;
#[cfg(target_arch = "x86_64")]
mod plan;
#[cfg(target_arch = "x86_64")]
mod process;
#[cfg(target_arch = "x86_64")]
mod sampling;
#[cfg(target_arch = "x86_64")]
mod stops;
#[cfg(target_arch = "x86_64")]
mod system;
#[cfg(target_arch = "x86_64")]
mod thread;
#[cfg(target_arch = "x86_64")]
mod traced;
#[cfg(target_arch = "x86_64")]
mod wait;
#[cfg(target_arch = "x86_64")]
mod wake;

use std::{
    path::PathBuf,
    process::{ChildStderr, ChildStdin, ChildStdout},
    sync::Arc,
};

#[cfg(not(target_arch = "x86_64"))]
pub use elsewhere::Traced;
pub use error::TraceError;
#[cfg(target_arch = "x86_64")]
pub use traced::Traced;

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
    /// Places of binaries that have no breakpoint, or not one for each return, and why: programs
    /// miss what happens there.
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

/// A place of a binary that has no breakpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refused {
    /// The binary.
    pub binary: Arc<PathBuf>,
    /// Where in the file.
    pub offset: u64,
    /// Why, in words.
    pub reason: String,
}

/// The ends of a command's pipes, where it was made with [`std::process::Stdio::piped`].
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Stdio {
    /// What it reads.
    pub stdin: Option<ChildStdin>,
    /// What it writes.
    pub stdout: Option<ChildStdout>,
    /// Where it writes errors.
    pub stderr: Option<ChildStderr>,
}
