//! Skep: from a BPF object to its events, on whichever host runs here.
//!
//! [`Object`] opens an ELF object and takes choices; [`Object::load`] relocates it for a
//! [`Host`], creates its maps and loads its programs; [`Loaded::attach_all`] attaches them;
//! [`Map`], [`RingBuffer`] and [`PerfBuffer`] read what they write. Whatever is dropped is
//! detached and given up.
//!
//! ```no_run
//! use skep::{Host, Object, RingBuffer};
//!
//! #[repr(C)]
//! #[derive(zerocopy::FromBytes, zerocopy::Immutable, zerocopy::KnownLayout)]
//! struct Open { time: u64, pid: u32, comm: [u8; 16], ret: i32, path: [u8; 256] }
//!
//! let host = Host::auto()?;
//! let mut object = Object::open("opensnoop.bpf.o")?;
//! object.global("target_pid")?.set(812_i32)?;
//! let loaded = object.load(&host)?;
//! let _links = loaded.attach_all()?;
//! let mut events = RingBuffer::<Open>::new(loaded.map("events")?)?;
//! while let Some(batch) = events.wait(None)? {
//!     for open in &batch {
//!         println!("{} {}", open.pid, skep::text(&open.path));
//!     }
//! }
//! # Ok::<(), skep::Error>(())
//! ```
//!
//! # Verdicts
//!
//! With feature `verifier`, which is a default, `Object::check` says without a load whether a program
//! will be accepted, and refusals of any host are told at the line of source. A tool that must be
//! small goes without (`default-features = false`).
//!
//! # Reading
//!
//! | what | with |
//! |---|---|
//! | records of a ring buffer | [`RingBuffer`]: [`wait`](RingBuffer::wait), [`batch`](RingBuffer::batch), [`consume`](RingBuffer::consume) |
//! | records of a perf event array | [`PerfBuffer`] |
//! | several of them on one thread | [`Readers`] |
//! | the same in tokio's tasks (feature `tokio`) | `AsyncRingBuffer`, `AsyncPerfBuffer`, `AsyncReaders` |
//! | entries of a map | [`Map::typed`], [`Map::per_cpu`], or as bytes [`Map::walk`], [`Map::drain`] |
//! | global variables, while programs run | [`Loaded::live`] |
//! | arrays as memory | [`Map::memory`], [`Map::arena`] |
//! | queues, bloom filters, local storage, stacks | [`Map::queue`], [`Map::bloom`], [`Map::storage`], [`Map::stack_trace`] |
//! | maps in maps, tail calls, sockets, cgroups | [`Map::slots`] |
//! | the other way: samples to a program | [`UserRingBuffer`] |
//!
//! ```no_run
//! # fn read(loaded: &skep::Loaded) -> skep::Result<()> {
//! use std::{ops::ControlFlow, time::Duration};
//! use skep::{PerfBuffer, PerfOptions, RingBuffer, Update};
//!
//! // Records are lent from the ring; their room is given back when the batch is dropped.
//! let mut numbers = RingBuffer::<u64>::new(loaded.map("numbers")?)?;
//! for number in &numbers.batch()? {
//!     println!("{number}");
//! }
//! // Or one by one, until enough is enough: the rest stays in the ring.
//! numbers.consume(|number| match number {
//!     0 => ControlFlow::Break(()),
//!     _ => ControlFlow::Continue(()),
//! })?;
//!
//! // A perf buffer has a ring a CPU, and knows what did not fit.
//! let mut samples = PerfBuffer::<u64>::new(loaded.map("samples")?, PerfOptions::default())?;
//! if let Some(batch) = samples.wait(Some(Duration::from_secs(1)))? {
//!     println!("CPU {:?}: {} samples", batch.cpu(), batch.iter().count());
//! }
//! println!("{} lost", samples.lost());
//!
//! // Maps are tables of plain types.
//! let map = loaded.map("hits")?;
//! let hits = map.typed::<u32, u64>()?;
//! hits.set(&80, &0, Update::Any)?;
//! for entry in hits.drain() {
//!     let (port, count) = entry?;
//!     println!("{port}: {count}");
//! }
//! # Ok(()) }
//! ```
#![forbid(unsafe_code)]

mod arena;
#[cfg(all(unix, feature = "tokio"))]
mod asynchronous;
mod attach;
mod binary;
#[cfg(feature = "verifier")]
mod check;
mod error;
mod fallback;
pub mod features;
mod host;
pub mod light;
mod link;
mod live;
mod load;
mod loaded;
mod map;
mod object;
mod perf;
mod pinned_link;
mod process;
mod program;
mod readers;
mod record;
pub mod recording;
mod rejection;
mod ring;
mod struct_ops;
mod target;
mod target_program;
mod text;
pub mod usdt;
mod user_ring;
mod value;
mod waiting;

pub use arena::Arena;
#[cfg(all(unix, feature = "tokio"))]
pub use asynchronous::{AsyncPerfBuffer, AsyncReaders, AsyncRingBuffer};
pub use attach::{AttachOptions, XdpShare};
pub use binary::{find_binary, open_btf, symbol_offset};
#[cfg(feature = "verifier")]
pub use check::Checked;
pub use error::{Error, Result};
pub use fallback::{BtfArchive, Fallback, RefusedForm};
pub use host::Host;
pub use link::{Iteration, Link};
pub use live::Live;
pub use load::LoadOptions;
pub use loaded::Loaded;
pub use map::{
    Bloom, CgroupStorageKey, CpumapValue, DevmapValue, Entries, LpmKey, Map, MapMemory, MapSpec,
    MapTypes, PerCpuMap, PerCpuWalk, Queue, Slots, Storage, TypedIter, TypedMap, Update, Walk,
};
pub use object::{Global, Object};
pub use perf::{PerfBatch, PerfBuffer, PerfOptions};
pub use pinned_link::PinnedLink;
pub use program::Program;
pub use readers::{Polled, Readers};
pub use record::Record;
pub use rejection::{Rejection, SourcePlace};
pub use ring::{Consumed, RingBatch, RingBuffer, RingIter};
pub use struct_ops::StructOps;
pub use target_program::TargetProgram;
pub use text::text;
pub use user_ring::{UserRingBuffer, UserSample};

pub use skep_abi as abi;
pub use skep_btf as btf;
pub use skep_host as boundary;
pub use skep_isa as isa;
#[cfg(target_os = "linux")]
pub use skep_linux as linux;
pub use skep_object as spec;
#[cfg(feature = "verifier")]
pub use skep_verifier as verifier;
#[cfg(feature = "vm")]
pub use skep_vm as vm;
