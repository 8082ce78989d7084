//! The `bpf(2)` boundary of Skep.
//!
//! A [`Host`] is what runs BPF images: the Linux kernel (`skep-linux`) or the embedded
//! virtual machine. The trait has one typed method a `bpf(2)` command, one
//! [`attach`](Host::attach) for the hooks the kernel keeps outside `bpf(2)`, and what reading
//! needs: mapped [`Memory`], a [`Poller`], and the host's own BTF. Everything above this
//! crate runs unchanged on every host.
//!
//! ```
//! use skep_host::{Host, MapCreate};
//! use skep_abi::MapType;
//!
//! /// Counts the entries of a fresh map: none, on any host.
//! fn empty(host: &dyn Host) -> skep_host::Result<bool> {
//!     let map = host.map_create(&MapCreate::new(MapType::Hash, "hits", 4, 8, 64))?;
//!     let mut key = [0; 4];
//!     Ok(!host.map_get_next_key(&map, None, &mut key)?)
//! }
//! ```
#![forbid(unsafe_code)]

mod arena;
mod attach;
mod descriptor;
mod errno;
mod error;
mod feature;
mod fingerprint;
mod host;
mod info;
mod memory;
mod modules;
mod new_pins;
mod request;
pub mod ring;
mod shape;
pub mod words;

pub use arena::{ArenaMemory, arena_data_offset};
pub use attach::{
    AttachPoint, Attachment, BadPerfEvent, BreakpointAccess, CgroupMode, CgroupRoot, Detach,
    Filter, FilterParent, FilterSlot, FunctionNames, IterTarget, KernelFunctions, MultiMode,
    NetfilterHook, NetkitEnd, Order, PerfEvent, PerfScope, Position, ProbeSource, Route, RouteTo,
    TcxDirection, UprobePlace, XdpMode,
};
pub use descriptor::{
    BtfFd, CgroupFd, Descriptor, DescriptorTable, IterFd, LinkFd, MapFd, Pinned, ProgramFd,
    StatsFd, TokenFd,
};
pub use errno::Errno;
pub use error::{Cause, Error, Result};
pub use feature::{Feature, Hook, Probe};
pub use fingerprint::fingerprint;
pub use host::{BtfBytes, Host, HostInfo, HostKind, LoadedProgram};
pub use info::{
    BtfInfo, DeviceXdp, IterScope, LinkDetails, LinkInfo, MapInfo, MapStatus, ObjectId,
    ProgramDetails, ProgramInfo, ProgramParts, Records, TaskAttachment, TokenInfo,
};
pub use memory::{Access, LongWord, Memory, PerfOutput, Poller, Word};
pub use modules::open_modules;
pub use new_pins::NewPins;
pub use request::{
    AttachTarget, BatchOutcome, BtfLoad, LinkCreate, LinkOptions, LinkSource, LinkTarget, LogLevel,
    MapBatch, MapBtf, MapCreate, PinPath, ProgramAttach, ProgramBtf, ProgramLoad, ProgramQuery,
    ProgramStream, QueryAnswer, Signature, TestRun, TestRunOutcome,
};
pub use shape::{MapPin, MapShape};

/// Whatever a host gives may go to another thread, and be used by several at once.
const _: () = {
    const fn shared<T: ?Sized + Send + Sync>() {}
    const fn sent<T: ?Sized + Send>() {}
    shared::<dyn Host>();
    shared::<MapFd>();
    shared::<ProgramFd>();
    shared::<LinkFd>();
    shared::<BtfFd>();
    shared::<IterFd>();
    shared::<CgroupFd>();
    shared::<StatsFd>();
    shared::<TokenFd>();
    shared::<Pinned>();
    shared::<Attachment>();
    shared::<AttachPoint<'_>>();
    shared::<PerfOutput>();
    shared::<dyn Memory>();
    shared::<BtfBytes>();
    shared::<Error>();
    sent::<dyn Poller>();
};
