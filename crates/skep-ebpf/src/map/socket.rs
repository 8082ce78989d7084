//! Maps of sockets: data of one is handed to another.

use core::ffi::c_void;
use core::ptr;

use super::definition::{Number, definition};
use super::{Map, MapOptions, Options, UpdateFlags};
use crate::context::{
    Context, FoundSock, ReuseportContext, SkMsgContext, SkSkbContext, SockOpsContext,
};
use crate::error::Result;
use crate::helper::{done, raw};
use crate::hook::SkAction;
use crate::plain::Plain;

/// Which way redirected data goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Direction {
    /// Out through the socket, as if its process had sent it.
    Egress = 0,
    /// In, for the socket's process to receive (`BPF_F_INGRESS`).
    Ingress = 1,
}

definition! {
    /// Sockets by index. Linux 4.14.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::map::Direction;
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[map]
    /// static SOCKETS: SockMap<16> = SockMap::new();
    ///
    /// #[sk_skb(stream_verdict)]
    /// fn forward(packet: &SkSkbContext) -> SkAction {
    ///     SOCKETS.redirect_packet(packet, 0, Direction::Egress)
    /// }
    /// ```
    #[doc(alias = "BPF_MAP_TYPE_SOCKMAP")]
    SockMap = 15, [const MAX_ENTRIES: usize,], [MAX_ENTRIES,], Options,
    { key: *const u32, value: *const u64, max_entries: Number<MAX_ENTRIES> }
}

impl<const MAX_ENTRIES: usize, O: MapOptions> SockMap<MAX_ENTRIES, O> {
    /// Puts the connection of this callback in.
    #[doc(alias = "bpf_sock_map_update")]
    #[inline(always)]
    pub fn insert(&self, connection: &SockOpsContext, index: u32, flags: UpdateFlags) -> Result {
        super::address(&index, |index| {
            // SAFETY: the map's type and key are these.
            done(unsafe {
                raw::bpf_sock_map_update(
                    context(connection),
                    self.as_raw(),
                    index.cast_mut(),
                    flags.raw(),
                )
            })
        })
    }

    /// The socket at an index, for [`SkLookupContext::assign`](crate::context::SkLookupContext::assign)
    /// and its like. Linux 5.9.
    #[inline(always)]
    #[must_use]
    pub fn get(&self, index: u32) -> Option<FoundSock<'_>> {
        super::address(&index, |index| {
            // SAFETY: the map's type and key are these; what it gives is to be given back.
            FoundSock::new(unsafe { raw::bpf_map_lookup_elem(self.as_raw(), index.cast()) })
        })
    }

    /// Hands a packet of a stream to another socket.
    #[doc(alias = "bpf_sk_redirect_map")]
    #[inline(always)]
    #[must_use = "it is what the program returns"]
    pub fn redirect_packet(&self, packet: &SkSkbContext, index: u32, to: Direction) -> SkAction {
        // SAFETY: the map's type is this.
        SkAction::new(unsafe {
            raw::bpf_sk_redirect_map(context(packet), self.as_raw(), index, to as u64)
        } as i32)
    }

    /// Hands a message to another socket.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::map::Direction;
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[map]
    /// static SOCKETS: SockMap<16> = SockMap::new();
    ///
    /// #[sk_msg]
    /// fn hand_over(message: &SkMsgContext) -> SkAction {
    ///     SOCKETS.redirect_message(message, 0, Direction::Ingress)
    /// }
    /// ```
    #[doc(alias = "bpf_msg_redirect_map")]
    #[inline(always)]
    #[must_use = "it is what the program returns"]
    pub fn redirect_message(&self, message: &SkMsgContext, index: u32, to: Direction) -> SkAction {
        // SAFETY: the map's type is this.
        SkAction::new(unsafe {
            raw::bpf_msg_redirect_map(context(message), self.as_raw(), index, to as u64)
        } as i32)
    }
}

definition! {
    /// Sockets by key. Linux 4.18.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[map]
    /// static SOCKETS: SockHash<u64, 1024> = SockHash::new();
    ///
    /// #[sock_ops]
    /// fn connected(connection: &SockOpsContext) -> Result<Handled> {
    ///     SOCKETS.insert(connection, &7, UpdateFlags::ANY)?;
    ///     Ok(Handled::YES)
    /// }
    /// ```
    #[doc(alias = "BPF_MAP_TYPE_SOCKHASH")]
    SockHash = 18, [K: Plain, const MAX_ENTRIES: usize,], [K, MAX_ENTRIES,], Options,
    { key: *const K, value: *const u64, max_entries: Number<MAX_ENTRIES> }
}

impl<K: Plain, const MAX_ENTRIES: usize, O: MapOptions> SockHash<K, MAX_ENTRIES, O> {
    /// Puts the connection of this callback in.
    #[doc(alias = "bpf_sock_hash_update")]
    #[inline(always)]
    pub fn insert(&self, connection: &SockOpsContext, key: &K, flags: UpdateFlags) -> Result {
        super::address(key, |key| {
            // SAFETY: the map's type and key are these.
            done(unsafe {
                raw::bpf_sock_hash_update(
                    context(connection),
                    self.as_raw(),
                    key.cast_mut(),
                    flags.raw(),
                )
            })
        })
    }

    /// The socket of a key, as [`SockMap::get`]. Linux 5.9.
    #[inline(always)]
    #[must_use]
    pub fn get(&self, key: &K) -> Option<FoundSock<'_>> {
        super::address(key, |key| {
            // SAFETY: the map's type and key are these; what it gives is to be given back.
            FoundSock::new(unsafe { raw::bpf_map_lookup_elem(self.as_raw(), key.cast()) })
        })
    }

    /// Hands a packet of a stream to another socket.
    #[doc(alias = "bpf_sk_redirect_hash")]
    #[inline(always)]
    #[must_use = "it is what the program returns"]
    pub fn redirect_packet(&self, packet: &SkSkbContext, key: &K, to: Direction) -> SkAction {
        super::address(key, |key| {
            // SAFETY: the map's type and key are these.
            SkAction::new(unsafe {
                raw::bpf_sk_redirect_hash(context(packet), self.as_raw(), key.cast_mut(), to as u64)
            } as i32)
        })
    }

    /// Hands a message to another socket.
    #[doc(alias = "bpf_msg_redirect_hash")]
    #[inline(always)]
    #[must_use = "it is what the program returns"]
    pub fn redirect_message(&self, message: &SkMsgContext, key: &K, to: Direction) -> SkAction {
        super::address(key, |key| {
            // SAFETY: the map's type and key are these.
            SkAction::new(unsafe {
                raw::bpf_msg_redirect_hash(
                    context(message),
                    self.as_raw(),
                    key.cast_mut(),
                    to as u64,
                )
            } as i32)
        })
    }
}

definition! {
    /// Sockets of a group that share a port, of which the program chooses one. Linux 4.19.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[map]
    /// static WORKERS: ReusePortSockArray<4> = ReusePortSockArray::new();
    ///
    /// #[sk_reuseport]
    /// fn choose(context: &ReuseportContext) -> SkAction {
    ///     match WORKERS.select(context, 0) {
    ///         Ok(()) => SkAction::PASS,
    ///         Err(_) => SkAction::DROP,
    ///     }
    /// }
    /// ```
    #[doc(alias = "BPF_MAP_TYPE_REUSEPORT_SOCKARRAY")]
    ReusePortSockArray = 20, [const MAX_ENTRIES: usize,], [MAX_ENTRIES,], Options,
    { key: *const u32, value: *const u64, max_entries: Number<MAX_ENTRIES> }
}

impl<const MAX_ENTRIES: usize, O: MapOptions> ReusePortSockArray<MAX_ENTRIES, O> {
    /// Has the socket at an index get the packet or connection. `ENOENT` where there is none.
    #[doc(alias = "bpf_sk_select_reuseport")]
    #[inline(always)]
    pub fn select(&self, packet: &ReuseportContext, index: u32) -> Result {
        super::address(&index, |index| {
            // SAFETY: the map's type and key are these.
            done(unsafe {
                raw::bpf_sk_select_reuseport(context(packet), self.as_raw(), index.cast_mut(), 0)
            })
        })
    }
}

/// The address of a context, which is all that there is of it.
#[inline(always)]
pub(crate) fn context<C: Context>(context: &C) -> *mut c_void {
    ptr::from_ref(context).cast_mut().cast()
}
