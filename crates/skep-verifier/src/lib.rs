//! The kernel's verdict on a BPF program, without a kernel: may it run on a [`Target`], and if
//! not, why, at the line of source and in words that help.
//!
//! [`verify`] follows every path through a program with what is known about each register and
//! stack slot (abstract interpretation), as the kernel's verifier does since 3.18, and by its
//! rules. The answer is a [`Verdict`]: accepted, with what it cost; or a [`Rejection`], which is
//! data: the [`Rule`], the instruction, what was known there.
//!
//! The way through the crate: a [`Program`] is what is verified; `setup` checks what needs no
//! paths (decoding, jumps, subprograms, liveness); `admission` whether such a program is let in at
//! all (type, flags, capabilities, what it attaches to); `walk` follows paths, and knows when it has been
//! somewhere before (pruning); `scalar` is arithmetic on what is known about a number; `state` is
//! what is known at one point of a path; `alu`, `memory` and `call` are what instructions do to
//! it; `diagnosis` makes words of a rejection.
//!
//! [`Target`]: skep_object::Target

#![forbid(unsafe_code)]

mod admission;
mod alu;
mod call;
mod cost;
pub mod diagnosis;
mod extension;
mod memory;
mod observe;
mod options;
mod portability;
mod program;
mod rejection;
mod rule;
mod scalar;
mod setup;
mod state;
mod verdict;
mod verifier;
mod walk;

pub use cost::{ChainLink, LineCost};
pub use extension::{CustomHelper, CustomParameter, Extensions};
pub use observe::{Found, Observed, observe};
pub use options::Options;
pub use portability::{Answer, Finding, FindingPlace, Portability, portability};
pub use program::{AttachTarget, Function, Map, MapId, MapUse, Program};
pub use rejection::Rejection;
pub use rule::Rule;
pub use scalar::{Scalar, Tnum};
pub use state::{Field, FieldKind, Fields};
pub use verdict::{Stats, Verdict};
pub use verifier::verify;
