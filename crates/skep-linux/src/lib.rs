//! The running Linux kernel as a host of BPF programs and maps.
//!
//! [`LinuxHost`] implements [`Host`](skep_host::Host) with `bpf(2)`, `perf_event_open(2)`,
//! sockets and tracefs. This is the only crate of Skep that makes system calls for the
//! kernel's BPF; everything above it works on any host.
//!
//! ```no_run
//! use skep_abi::MapType;
//! use skep_host::{Host, MapCreate};
//! use skep_linux::LinuxHost;
//!
//! let host = LinuxHost::new()?;
//! let map = host.map_create(&MapCreate::new(MapType::Hash, "hits", 4, 8, 64))?;
//! host.map_update_elem(&map, &1u32.to_ne_bytes(), &7u64.to_ne_bytes(), 0)?;
//! # Ok::<(), skep_host::Error>(())
//! ```
#![expect(unsafe_code, reason = "system calls; every block says why it is sound")]

#[cfg(not(target_os = "linux"))]
compile_error!("skep-linux is for Linux; on other systems use the virtual machine");
#[cfg(not(target_pointer_width = "64"))]
compile_error!("skep-linux is for 64-bit systems");

mod attach;
mod attr;
mod btf;
mod build_id;
mod cause;
mod config;
#[cfg(feature = "probes")]
mod doctor;
mod files;
mod host;
mod info;
mod link;
mod log;
mod map;
mod may;
mod memory;
mod mounts;
mod netlink;
mod perf;
mod pin;
mod poll;
#[cfg(feature = "probes")]
mod probe;
mod process;
mod program;
#[cfg_attr(
    not(feature = "probes"),
    expect(dead_code, reason = "some is asked by probes alone")
)]
mod requirement;
mod symbols;
mod sys;
mod token;
#[cfg(feature = "probes")]
mod vmlinux;

#[cfg(feature = "probes")]
pub use doctor::{
    Answer, Check, DoctorReport, KERNEL_OPTIONS, MORE_KERNEL_OPTIONS, Section, report,
};
pub use host::LinuxHost;
pub use may::Wanted;
