//! Contexts: what a hook tells its program. A file a family of hooks.
//!
//! A context is an address; its type has no size, so that a reference to it says nothing of the
//! memory there. The kernel lets programs read and write it by fields, each with a single
//! instruction of a fixed offset (and rewrites it to what it really has): the methods end as that.

// `len` is a field, named as the kernel names it.
#![allow(clippy::len_without_is_empty)]

pub(crate) mod access;
mod fields;
#[rustfmt::skip]
mod generated;
mod network;
mod socket;
mod tracing;

pub use network::*;
pub use socket::*;
pub use tracing::*;

/// A hook's context.
pub trait Context {
    /// The kernel's type of it, which BTF names.
    type Raw;
}

/// A context that has the arguments of what is hooked.
pub trait Arguments {
    /// The argument of a place, as a register holds it.
    fn raw_argument(&self, index: usize) -> u64;
}

/// What an argument can be taken as.
#[diagnostic::on_unimplemented(
    message = "an argument of a function is a number or a pointer, not `{Self}`",
    label = "no type of an argument"
)]
pub trait Argument: Sized {
    /// The argument out of a register.
    fn from_raw(raw: u64) -> Self;
}

macro_rules! arguments {
    ($($number:ty)*) => {$(
        impl Argument for $number {
            #[inline(always)]
            fn from_raw(raw: u64) -> Self {
                raw as Self
            }
        }
    )*};
}

arguments! { u8 u16 u32 u64 usize i8 i16 i32 i64 isize }

impl Argument for bool {
    #[inline(always)]
    fn from_raw(raw: u64) -> Self {
        raw as u8 != 0
    }
}

impl<T> Argument for *const T {
    #[inline(always)]
    fn from_raw(raw: u64) -> Self {
        core::ptr::with_exposed_provenance(raw as usize)
    }
}

impl<T> Argument for *mut T {
    #[inline(always)]
    fn from_raw(raw: u64) -> Self {
        core::ptr::with_exposed_provenance_mut(raw as usize)
    }
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
