//! Sockets that are looked for by their addresses, and given back when they are done with.

use core::ffi::c_void;
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::NonNull;

use super::{
    CgroupSkbContext, SkSkbContext, Sock, SockAddrContext, TcContext, XdpContext, methods::methods,
};
use crate::Plain;
use crate::error::Result;
use crate::helper::{done, raw};

/// The addresses and ports of a connection, as they are on the wire: of the source, then of the
/// destination.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Tuple4 {
    /// The source's address.
    pub source: [u8; 4],
    /// The destination's address.
    pub destination: [u8; 4],
    /// The source's port.
    pub source_port: [u8; 2],
    /// The destination's port.
    pub destination_port: [u8; 2],
}

/// The same of IPv6.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Tuple6 {
    /// The source's address.
    pub source: [u8; 16],
    /// The destination's address.
    pub destination: [u8; 16],
    /// The source's port.
    pub source_port: [u8; 2],
    /// The destination's port.
    pub destination_port: [u8; 2],
}

// SAFETY: bytes.
unsafe impl Plain for Tuple4 {}
// SAFETY: bytes.
unsafe impl Plain for Tuple6 {}

/// By what a socket is looked for.
pub trait Tuple: Plain + sealed::Sealed {}
impl Tuple for Tuple4 {}
impl Tuple for Tuple6 {}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Tuple4 {}
    impl Sealed for super::Tuple6 {}
}

/// A socket that was found. It is given back when this is dropped.
pub struct FoundSock<'a> {
    at: NonNull<c_void>,
    life: PhantomData<&'a ()>,
}

impl FoundSock<'_> {
    #[inline(always)]
    pub(crate) fn new(at: *mut c_void) -> Option<Self> {
        // No `Self` of null may come to be: it would be given back.
        NonNull::new(at).map(|at| Self {
            at,
            life: PhantomData,
        })
    }
}

impl Deref for FoundSock<'_> {
    type Target = Sock;

    #[inline(always)]
    fn deref(&self) -> &Sock {
        // SAFETY: not null; the type has no size.
        unsafe { self.at.cast().as_ref() }
    }
}

impl Drop for FoundSock<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: found, and not given back yet. It never fails.
        unsafe { raw::bpf_sk_release(self.at.as_ptr()) };
    }
}

/// Where sockets are looked for: where the packet is.
const HERE: u64 = u64::MAX;

methods!([XdpContext TcContext CgroupSkbContext SkSkbContext SockAddrContext] {
    /// Finds the TCP socket of a packet with these addresses: of the connection, or one that
    /// listens. Linux 4.20.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::context::Tuple4;
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[tc]
    /// fn known(context: &TcContext) -> TcAction {
    ///     let tuple = Tuple4 {
    ///         source: [127, 0, 0, 1],
    ///         destination: [127, 0, 0, 1],
    ///         source_port: [0, 80],
    ///         destination_port: [0x12, 0x34],
    ///     };
    ///     match context.find_tcp(&tuple) {
    ///         Some(socket) if socket.mark() == 7 => TcAction::SHOT,
    ///         _ => TcAction::OK,
    ///     }
    /// }
    /// ```
    #[doc(alias = "bpf_sk_lookup_tcp")]
    #[inline(always)]
    #[must_use]
    pub fn find_tcp<T: Tuple>(&self, tuple: &T) -> Option<FoundSock<'_>> {
        let (at, size) = (core::ptr::from_ref(tuple).cast_mut().cast(), size_of::<T>() as u32);
        // SAFETY: all of the addresses, which are read.
        FoundSock::new(unsafe { raw::bpf_sk_lookup_tcp(self.as_ptr(), at, size, HERE, 0) })
    }

    /// Finds the UDP socket of a packet with these addresses. Linux 4.20.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// /// Whether packets to this machine's name server find it, over both versions of IP.
    /// #[tc]
    /// fn served(context: &TcContext) -> TcAction {
    ///     let old = Tuple4 {
    ///         source: [127, 0, 0, 1],
    ///         destination: [127, 0, 0, 53],
    ///         source_port: [0x12, 0x34],
    ///         destination_port: [0, 53],
    ///     };
    ///     let new = Tuple6 {
    ///         source: [0; 16],
    ///         destination: [0; 16],
    ///         source_port: [0x12, 0x34],
    ///         destination_port: [0, 53],
    ///     };
    ///     match is_there(context, &old) && is_there(context, &new) {
    ///         true => TcAction::OK,
    ///         false => TcAction::SHOT,
    ///     }
    /// }
    ///
    /// #[inline(always)]
    /// fn is_there<T: Tuple>(context: &TcContext, tuple: &T) -> bool {
    ///     let found: Option<FoundSock<'_>> = context.find_udp(tuple);
    ///     found.is_some_and(|socket| socket.protocol() == 17)
    /// }
    /// ```
    #[doc(alias = "bpf_sk_lookup_udp")]
    #[inline(always)]
    #[must_use]
    pub fn find_udp<T: Tuple>(&self, tuple: &T) -> Option<FoundSock<'_>> {
        let (at, size) = (core::ptr::from_ref(tuple).cast_mut().cast(), size_of::<T>() as u32);
        // SAFETY: as above.
        FoundSock::new(unsafe { raw::bpf_sk_lookup_udp(self.as_ptr(), at, size, HERE, 0) })
    }
});

impl TcContext {
    /// Has this socket get the packet, at the ingress. Linux 5.7.
    ///
    /// # Errors
    /// `EOPNOTSUPP` at the egress; `ENETUNREACH` if the socket is in another namespace;
    /// `ESOCKTNOSUPPORT` (94) if it can't have it.
    #[doc(alias = "bpf_sk_assign")]
    #[inline(always)]
    pub fn assign(&self, socket: &Sock) -> Result {
        // SAFETY: the context, and a socket that is lent.
        done(unsafe { raw::bpf_sk_assign(self.as_ptr(), socket.as_ptr(), 0) })
    }
}
