//! Sockets that contexts and helpers lend.

use core::cell::UnsafeCell;
use core::ffi::c_void;

macro_rules! lent {
    ($($(#[doc = $doc:literal])* $(#[doc(alias = $alias:literal)])? $Name:ident;)*) => {$(
        $(#[doc = $doc])*
        $(#[doc(alias = $alias)])?
        #[repr(transparent)]
        pub struct $Name(UnsafeCell<[u8; 0]>);

        impl $Name {
            /// Its address.
            #[inline(always)]
            #[must_use]
            pub const fn as_ptr(&self) -> *mut c_void {
                self.0.get().cast()
            }
        }
    )*};
}

lent! {
    /// A full socket.
    #[doc(alias = "bpf_sock")]
    Sock;
    /// What has to do with a socket: a full one, a request for a connection, or one in time-wait.
    #[doc(alias = "bpf_sock")]
    SockCommon;
    /// What is known of a packet's flow.
    #[doc(alias = "bpf_flow_keys")]
    FlowKeys;
}
