//! Contexts: what a hook tells its program. A file a family of hooks.
//!
//! A context is an address; its type has no size, so that a reference to it says nothing of the
//! memory there. The kernel lets programs read and write it by fields, each with a single
//! instruction of a fixed offset (and rewrites it to what it really has): the methods end as that.

// `len` is a field, named as the kernel names it.
#![allow(clippy::len_without_is_empty)]

pub(crate) mod access;
mod arguments;
mod control;
mod fields;
#[rustfmt::skip]
mod generated;
mod iterator;
mod lookup;
mod methods;
mod network;
mod operations;
mod registers;
mod route;
mod skb;
mod socket;
mod tc;
mod tracepoint;
mod tracing;
mod tunnel;
mod usdt;
mod xdp;

pub use arguments::{Argument, Arguments};
pub use control::PerfValue;
pub use iterator::{IterContext, seq_file};
pub use lookup::{FoundSock, Tuple, Tuple4, Tuple6};
pub use network::*;
pub use operations::{sock_op, sock_op_flags};
pub use route::{FibFlags, Forward, Mtu, Route};
pub use skb::{Header, Way};
pub use socket::*;
pub use tc::{Neighbour, Room};
pub use tracepoint::{DynamicField, SysEnter, SysExit, TracepointContext};
pub use tracing::*;
pub use tunnel::{TunnelFlags, TunnelKey};

/// A hook's context.
pub trait Context {
    /// The kernel's type of it, which BTF names.
    type Raw;
}

/// The kernel's types of contexts, which programs do not see: only their names matter, in BTF.
#[doc(hidden)]
#[allow(non_camel_case_types, reason = "the kernel's names")]
pub mod raw {
    macro_rules! raw {
        ($($name:ident)*) => {$(
            #[repr(C)]
            #[derive(Debug)]
            pub struct $name([u8; 0]);
        )*};
    }

    raw! {
        xdp_md __sk_buff bpf_sock bpf_sock_addr bpf_sock_ops sk_msg_md bpf_sk_lookup
        sk_reuseport_md bpf_sysctl bpf_sockopt bpf_cgroup_dev_ctx bpf_nf_ctx pt_regs
        bpf_perf_event_data bpf_raw_tracepoint_args
    }
}

/// Reads `/// doc  Name: raw_type;`.
macro_rules! contexts {
    ($($(#[doc = $doc:literal])* $(#[doc(alias = $alias:literal)])? $Name:ident: $raw:ty;)*) => {$(
        $(#[doc = $doc])*
        $(#[doc(alias = $alias)])?
        #[repr(transparent)]
        pub struct $Name(core::cell::UnsafeCell<[u8; 0]>);

        impl $crate::context::Context for $Name {
            type Raw = $raw;
        }

        impl $crate::hook::Is<$Name> for $Name {}

        impl $Name {
            /// Its address.
            #[inline(always)]
            #[must_use]
            pub const fn as_ptr(&self) -> *mut core::ffi::c_void {
                self.0.get().cast()
            }
        }
    )*};
}
use contexts;
