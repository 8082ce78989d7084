//! Recordings: what BPF programs saw of the world, written down while they ran on any host, so that
//! the same programs can see it again in a machine without that world.
//!
//! A program is deterministic but for its context, the answers of helpers that look at the world
//! (who is current, what time it is, what is in memory of the kernel or of a process), what it
//! reads through pointers into the kernel, and what others put into its maps. [`instrument`]
//! changes a linked program so that it records the first three by itself, on whatever host runs
//! it; its maps are its own in a replay, from the state in which they were when the recording
//! began. What user space writes to them later is not seen, and shows as a difference.
//!
//! | to | use |
//! |---|---|
//! | have programs record | [`instrument`], on an image before it is loaded |
//! | keep what they send | [`Writer`] |
//! | read it | [`Recording`], [`Event`], [`Item`] |
//! | have programs see it again | [`replayed`], and a host that has [`VALUE`], [`BYTES`] and [`CHECK`] |
//!
//! # What it costs a program
//! Some 60 instructions a run, about ten a place, and room in its frame for five registers. Its
//! ring of recorded events is read by polling. It takes Linux 5.12 (atomic exchange), and a licence
//! that is compatible with the GPL where memory is copied (`bpf_probe_read_kernel`).
//!
//! # What can't be recorded
//! Programs without an event (`syscall`, iterators), those that change structures of the kernel
//! (`struct_ops`), tail calls, timers and work queues, storages of kernel objects, kptrs, dynptrs
//! by kernel functions, and contexts with memory behind pointers other than packets: each is an
//! [`Error`] by name.
#![forbid(unsafe_code)]

mod area;
mod calls;
mod context;
mod error;
mod event;
mod flow;
mod format;
mod pass;
mod plan;
mod sites;

pub use error::{Error, Result};
pub use event::{Cut, Event, Item};
pub use format::{Contents, Header, Lost, MapState, Name, Recording, Writer};
pub use pass::{
    record::{AREAS, COUNTS, Options, RING, instrument},
    replay::{BYTES, CHECK, VALUE, replayed},
};
pub use plan::{Kfunc, Kfuncs};
pub use sites::{ProgramSites, Site, Sites};
