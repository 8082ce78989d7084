//! eBPF in user space: a [`Vm`] is another kernel, in this process, without privileges.
//!
//! It runs what the Linux kernel runs, with its semantics, its maps and its helpers, behind the
//! same boundary ([`skep_host::Host`]).

// Registers are 64 bits wide and mean now a number, now an address, now a 32-bit value: that casts
// cut and reinterpret is what programs ask for.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "registers"
)]
#![cfg_attr(
    not(feature = "jit"),
    allow(dead_code, unused_imports, reason = "what the compiler alone asks")
)]

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
mod vm;

pub use embed::{
    Argument, Call, Fired, Frame, HelperError, Hook, Packets, Parameter, Prototype, StructOps,
    StructOpsInstance, StructOpsType, Verdict,
};
pub use engine::{Engine, Mode};
pub use fault::{Fault, FaultKind};
pub use host::{DIFFERENCES, Difference};
pub use machine::net::{Device, Neighbour, Network, Route, RouteKind, SocketInfo};
pub use machine::{Clock, Namespaces, Task, TaskInfo, UserMemory};
pub use program::{LoadError, Problem};
pub use run::{
    Limits,
    packet::{Redirect, Sent},
};
pub use vm::{BareProgram, Config, Vm};
