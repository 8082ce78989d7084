//! eBPF in user space: a [`Vm`] is another kernel, in this process, without privileges.
//!
//! It runs what the Linux kernel runs, with its semantics, its maps and its helpers, behind the
//! same boundary ([`skep_host::Host`]), so that whatever is written against that runs on both. What
//! it does otherwise on purpose stands in [`DIFFERENCES`].
//!
//! | to | use |
//! |---|---|
//! | load objects into it | `skep::Host::new(Arc::new(vm))`, then as on the kernel |
//! | let plug-ins run where you say | [`Vm::define_hook`]: a tracepoint with a typed context |
//! | give programs functions of yours | [`Vm::define_helper`], with a [`Prototype`] |
//! | call programs as members of a struct | [`Vm::define_struct_ops`] |
//! | run a loaded program once, on input of yours | [`Vm::fire_program`] |
//! | run packets through a program | [`Vm::packets`] |
//! | see what a command does | [`Vm::command`]; a running process: [`Vm::follow`] |
//! | run packets, or a capture, through what is attached | [`Vm::feed`], [`feed`] |
//! | run instructions alone | [`Vm::bare`] |
//! | move time yourself | [`Config::clock`] |
//! | limit what programs take | [`Config::limits`] |
//! | know what of a program ran | [`Config::coverage`], [`Vm::coverage`] |
//!
//! # Modes
//! In *checked* mode each access must be inside memory that is the program's, jumps backwards and
//! calls pay for instructions, and a program that does wrong ends with a [`Fault`] that names the
//! instruction. In *verified* mode only that is looked at which no verifier can prove. Programs that
//! are loaded are verified ([`skep_verifier`]): what it refuses does not load, and what it accepts
//! runs in verified mode. [`Config::safety`] says so, and can ask for checks instead
//! ([`Config::checked`]), or for both. [`Vm::bare`] checks; [`Vm::load_verified`] and
//! [`Vm::bare_verified`] are `unsafe`, and ask for the caller's word.
//!
//! # Threads
//! A machine has as many virtual CPUs as [`Config::cpus`] says, and runs that many programs at
//! once; more threads wait. Programs share maps with all threads of the process, which read and
//! write them by the boundary while programs run.

// Registers are 64 bits wide and mean now a number, now an address, now a 32-bit value: that casts
// cut and reinterpret is what programs ask for.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "registers"
)]
#![cfg_attr(
    not(all(feature = "jit", target_arch = "x86_64")),
    allow(
        dead_code,
        unused_imports,
        reason = "what the compiler or the tracer alone asks"
    )
)]

pub mod capture;
mod coverage;
mod embed;
mod engine;
mod fault;
mod helper;
mod host;
mod kfunc;
mod machine;
mod map;
mod memory;
mod program;
mod run;
pub mod tap;
mod tracer;
#[cfg(test)]
mod uncalled;
mod vm;

pub use coverage::{Coverage, Hits, Step};
pub use embed::{
    Argument, Call, Fired, Frame, HelperError, Hook, Input, Lent, Packets, Parameter, Prototype,
    Ran, StructOps, StructOpsInstance, StructOpsType, Verdict, feed,
};
pub use engine::{Engine, Mode};
pub use fault::{Fault, FaultKind};
pub use host::{DIFFERENCES, Difference};
pub use machine::net::{Device, Neighbour, Network, Route, RouteKind, SocketInfo};
pub use machine::{AddressSpace, Clock, Namespaces, Task, TaskInfo, UserMemory};
pub use program::{LoadError, Problem};
pub use run::{
    Limits,
    packet::{Redirect, Sent},
};
pub use tracer::{Refused, Stdio, TraceCounts, TraceError, Traced};
pub use vm::{BareProgram, Config, Safety, Vm, WeakVm};
