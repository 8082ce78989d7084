//! Sockets that contexts and helpers lend.

use core::cell::UnsafeCell;
use core::ffi::c_void;

use crate::helper::raw;

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
    /// What TCP knows of a connection: see [`Sock::tcp`].
    #[doc(alias = "bpf_tcp_sock")]
    TcpSock;
    /// What is known of a packet's flow.
    #[doc(alias = "bpf_flow_keys")]
    FlowKeys;
}

impl SockCommon {
    /// The full socket, if it is one. Of `tc`, `cgroup_skb` and `sk_skb`. Linux 5.1.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[cgroup_skb(egress)]
    /// fn mark(context: &CgroupSkbContext) -> Access {
    ///     if let Some(socket) = context.sk().and_then(SockCommon::full) {
    ///         context.set_priority(socket.priority() + 1);
    ///     }
    ///     Access::ALLOW
    /// }
    /// ```
    #[doc(alias = "bpf_sk_fullsock")]
    #[inline(always)]
    #[must_use]
    pub fn full(&self) -> Option<&Sock> {
        // SAFETY: a socket that is lent; what comes back is it, or null. The type has no size.
        unsafe { raw::bpf_sk_fullsock(self.as_ptr()).cast::<Sock>().as_ref() }
    }
}

impl Sock {
    /// What TCP knows of it, if it is a connection of TCP. Of `tc`, `cgroup_skb`, `sock_ops` and the
    /// options of sockets. Linux 5.1.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[cgroup_skb(egress)]
    /// fn slow(context: &CgroupSkbContext) -> Access {
    ///     let socket = context.sk().and_then(SockCommon::full);
    ///     if let Some(tcp) = socket.and_then(Sock::tcp)
    ///         && tcp.srtt_us() / 8 > 100_000
    ///     {
    ///         printk!("window %u, lost %u", tcp.snd_cwnd(), tcp.lost_out());
    ///     }
    ///     Access::ALLOW
    /// }
    /// ```
    #[doc(alias = "bpf_tcp_sock")]
    #[inline(always)]
    #[must_use]
    pub fn tcp(&self) -> Option<&TcpSock> {
        // SAFETY: a socket that is lent, as what comes back is. The type has no size.
        unsafe { raw::bpf_tcp_sock(self.as_ptr()).cast::<TcpSock>().as_ref() }
    }
}
