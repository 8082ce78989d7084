//! Kernel programs in Rust, with CO-RE: contexts, maps, helpers.
//!
//! ```
//! #![no_std]
//! #![no_main]
//! use skep_ebpf::prelude::*;
//!
//! license!("GPL");
//! ```
//!
//! `skep build FILE.rs` compiles a file that uses it; `skep build` in a crate does so for the
//! crate. On other machines than BPF the crate compiles as well, for documentation and editors;
//! what talks to a kernel panics there.

#![no_std]
#![cfg_attr(target_arch = "bpf", feature(core_intrinsics))]
#![cfg_attr(target_arch = "bpf", allow(internal_features))]
// Everything here talks to the kernel by address.
#![allow(unsafe_code)]

// The macros name this crate as programs do.
extern crate self as skep_ebpf;

pub mod co_re;
pub mod context;
pub mod dynptr;
mod error;
pub mod external;
mod generated;
#[doc(hidden)]
pub mod global;
pub mod helper;
mod hidden;
pub mod hook;
pub mod iterate;
mod lost;
pub mod map;
mod named;
mod number;
pub mod packet;
mod plain;
#[doc(hidden)]
pub mod print;
mod setting;
#[doc(hidden)]
pub mod show;
pub mod sync;

pub use co_re::macros::*;
pub use error::{Error, Result};
pub use external::{Kconfig, Ksym, Tristate, kconfig, kfunc, kfunc_exists, ksym};
pub use global::global;
pub use lost::count_lost;
pub use named::Named;
pub use number::log2;
pub use plain::{Interior, Plain};
pub use setting::{Setting, setting};
pub use show::shared;
pub use skep_ebpf_macros::{Plain, map};

/// What programs import.
pub mod prelude {
    pub use crate::co_re::macros::*;
    pub use crate::context::*;
    pub use crate::external::{Kconfig, Ksym, Tristate, kconfig, kfunc, kfunc_exists, ksym};
    pub use crate::helper::{
        can_loop, current_cgroup_id, current_comm, current_pid_tgid, current_task, current_uid_gid,
        ktime_ns, processor_id, random, read_current_comm, read_kernel, read_kernel_bytes,
        read_kernel_str, read_user, read_user_bytes, read_user_str, repeat,
    };
    pub use crate::hook::*;
    pub use crate::map::{
        Array, ArrayOfMaps, BloomFilter, CgroupArray, CgroupStorage, CpuMap, DevMap, DevMapHash,
        Entry, HashMap, HashOfMaps, InodeStorage, Keyed, LpmTrie, LruHashMap, LruPerCpuHashMap,
        PerCpuArray, PerCpuHashMap, PerfEventArray, PinByName, Prefix, ProgramArray, Queue,
        ReusePortSockArray, RingBuf, RingOrPerfBuf, SockHash, SockMap, SocketStorage, Stack,
        StackFlags, StackTrace, TaskStorage, UpdateFlags, UserRingBuf, Value, Wakeup, XskMap,
    };
    pub use crate::packet::{
        Arp, Checksum, Cursor, Ethernet, Icmp, Ipv4, Ipv6, Packet, PacketMut, Tcp, Udp, Vlan,
        ethertype, protocol, tcp_flags,
    };
    pub use crate::{
        Error, Interior, Named, Plain, Result, count_lost, field, global, license, log2, map,
        printk, range, seq_printf, setting, shared, snprintf,
    };
}

/// The license, by which the kernel decides which helpers the programs may call.
#[macro_export]
macro_rules! license {
    ($license:literal) => {
        #[unsafe(no_mangle)]
        #[unsafe(link_section = "license")]
        static LICENSE: [u8; $license.len() + 1] = {
            let (mut bytes, text) = ([0; $license.len() + 1], $license.as_bytes());
            let mut i = 0;
            while i < text.len() {
                bytes[i] = text[i];
                i += 1;
            }
            bytes
        };
    };
}

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // Never reached: with `-Cpanic=immediate-abort` a panic is a trap where it happens.
    loop {}
}
