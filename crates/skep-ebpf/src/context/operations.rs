//! What programs do with sockets, and with what is sent and received by them.

use core::ffi::c_void;

use super::{
    CgroupSkbContext, ReuseportContext, SkLookupContext, SkMsgContext, SkSkbContext, Sock,
    SockAddrContext, SockContext, SockOpsContext, SocketFilterContext, SockoptContext, TcContext,
    methods::methods,
};
use crate::Plain;
use crate::error::{Error, Result};
use crate::helper::{done, filled, raw};

methods!([
    TcContext CgroupSkbContext SocketFilterContext SkSkbContext SockOpsContext SockAddrContext
    SockContext ReuseportContext
] {
    /// A number that is the socket's own as long as the machine runs; 0 if there is no socket.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[map]
    /// static SENT: HashMap<u64, u64, 1024> = HashMap::new();
    ///
    /// /// Packets by socket.
    /// #[cgroup_skb(egress)]
    /// fn count(context: &CgroupSkbContext) -> Result<Access> {
    ///     SENT.get_or_insert(&context.socket_cookie(), &0)?.add(1);
    ///     Ok(Access::ALLOW)
    /// }
    /// ```
    #[doc(alias = "bpf_get_socket_cookie")]
    #[inline(always)]
    #[must_use]
    pub fn socket_cookie(&self) -> u64 {
        // SAFETY: the context.
        unsafe { raw::bpf_get_socket_cookie(self.as_ptr()) }
    }
});

methods!([
    TcContext CgroupSkbContext SocketFilterContext SockOpsContext SockAddrContext SockContext
    SkMsgContext SockoptContext
] {
    /// A number that is the network namespace's own as long as the machine runs. Linux 5.7 for
    /// sockets and addresses, 5.15 for events, messages and options; for packets later than 6.12.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// /// In the namespace of this number no sockets are made.
    /// #[setting]
    /// static CLOSED: u64 = 0;
    ///
    /// #[cgroup_sock(create)]
    /// fn closed(context: &SockContext) -> Access {
    ///     (context.netns_cookie() != CLOSED.get()).into()
    /// }
    /// ```
    #[doc(alias = "bpf_get_netns_cookie")]
    #[inline(always)]
    #[must_use]
    pub fn netns_cookie(&self) -> u64 {
        // SAFETY: the context.
        unsafe { raw::bpf_get_netns_cookie(self.as_ptr()) }
    }
});

methods!([SockOpsContext SockAddrContext] {
    /// Sets an option of the socket, as `setsockopt` does: level and name are its.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// const SOL_SOCKET: i32 = 1;
    /// const SO_MARK: i32 = 36;
    ///
    /// #[cgroup_sock_addr(connect4)]
    /// fn marked(context: &SockAddrContext) -> Result<Access> {
    ///     if context.option::<u32>(SOL_SOCKET, SO_MARK)? == 0 {
    ///         context.set_option(SOL_SOCKET, SO_MARK, &7_u32)?;
    ///     }
    ///     Ok(Access::ALLOW)
    /// }
    /// ```
    ///
    /// # Errors
    /// `EINVAL` for what the kernel does not let programs set.
    #[doc(alias = "bpf_setsockopt")]
    #[inline(always)]
    pub fn set_option<T: Plain>(&self, level: i32, name: i32, value: &T) -> Result {
        let (at, size) = (core::ptr::from_ref(value).cast_mut().cast(), size_of::<T>() as i32);
        // SAFETY: all of the value, which is read.
        done(unsafe { raw::bpf_setsockopt(self.as_ptr(), level, name, at, size) })
    }

    /// An option of the socket, as `getsockopt` gives it.
    ///
    /// # Errors
    /// `EINVAL` for what the kernel does not let programs see.
    #[doc(alias = "bpf_getsockopt")]
    #[inline(always)]
    pub fn option<T: Plain>(&self, level: i32, name: i32) -> Result<T> {
        filled(|at, size| {
            // SAFETY: room for all of the value.
            unsafe { raw::bpf_getsockopt(self.as_ptr(), level, name, at, size as i32) }
        })
    }
});

/// Events of TCP sockets: what [`SockOpsContext::op`] says.
#[doc(alias = "BPF_SOCK_OPS")]
pub mod sock_op {
    /// Asks for the timeout of a SYN, in ticks; -1: the usual.
    pub const TIMEOUT_INIT: u32 = 1;
    /// Asks for the first window, in packets; -1: the usual.
    pub const RWND_INIT: u32 = 2;
    /// A connection is about to be opened.
    pub const TCP_CONNECT: u32 = 3;
    /// A connection that was opened here stands.
    pub const ACTIVE_ESTABLISHED: u32 = 4;
    /// A connection that was opened by the other side stands.
    pub const PASSIVE_ESTABLISHED: u32 = 5;
    /// Asks whether congestion notification is wanted.
    pub const NEEDS_ECN: u32 = 6;
    /// Asks for the basic round-trip time.
    pub const BASE_RTT: u32 = 7;
    /// A retransmission timer ran out. With [`sock_op_flags::RTO`](super::sock_op_flags::RTO).
    pub const RTO: u32 = 8;
    /// Something was retransmitted. With its flag.
    pub const RETRANS: u32 = 9;
    /// The state changed, from `args[0]` to `args[1]`. With its flag.
    pub const STATE: u32 = 10;
    /// The socket listens.
    pub const TCP_LISTEN: u32 = 11;
    /// A round trip was measured. With its flag. Linux 5.3.
    pub const RTT: u32 = 12;
    /// A header's options were received. With its flag. Linux 5.10.
    pub const PARSE_HEADER_OPTIONS: u32 = 13;
    /// Asks for room for options. With the flag to write. Linux 5.10.
    pub const HEADER_OPTIONS_LEN: u32 = 14;
    /// Options can be written. With the flag to write. Linux 5.10.
    pub const WRITE_HEADER_OPTIONS: u32 = 15;
}

/// Which events of a TCP socket are told: see [`SockOpsContext::set_flags`].
#[doc(alias = "BPF_SOCK_OPS_CB_FLAGS")]
pub mod sock_op_flags {
    /// Retransmission timers that run out.
    pub const RTO: u32 = 1;
    /// Retransmissions.
    pub const RETRANS: u32 = 2;
    /// Changes of state.
    pub const STATE: u32 = 4;
    /// Measured round trips.
    pub const RTT: u32 = 8;
    /// Options of all headers.
    pub const PARSE_ALL_HEADER_OPTIONS: u32 = 16;
    /// Options that the kernel does not know.
    pub const PARSE_UNKNOWN_HEADER_OPTIONS: u32 = 32;
    /// Room for options, and writing them.
    pub const WRITE_HEADER_OPTIONS: u32 = 64;
}

impl SockOpsContext {
    /// Says which further events of this socket are told: those of
    /// [`sock_op_flags`], or-ed. Linux 4.16.
    ///
    /// # Errors
    /// `EINVAL` if the socket is no full one, or the kernel does not know a flag.
    #[doc(alias = "bpf_sock_ops_cb_flags_set")]
    #[inline(always)]
    pub fn set_flags(&self, flags: u32) -> Result {
        // SAFETY: the context. What it gives is an error, or the flags that it does not know.
        match unsafe { raw::bpf_sock_ops_cb_flags_set(self.as_ptr(), flags.cast_signed()) } {
            0 => Ok(()),
            error if error < 0 => Err(Error::of(error)),
            _ => Err(Error::EINVAL),
        }
    }

    /// Asks for so many bytes of room for options in the header. Linux 5.10.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// /// Both sides tell each other a byte, in an option for experiments.
    /// #[sock_ops]
    /// fn told(context: &SockOpsContext) -> Result<Handled> {
    ///     match context.op() {
    ///         sock_op::TCP_CONNECT => context.set_flags(
    ///             sock_op_flags::WRITE_HEADER_OPTIONS | sock_op_flags::PARSE_UNKNOWN_HEADER_OPTIONS,
    ///         )?,
    ///         sock_op::HEADER_OPTIONS_LEN => context.reserve_header_option(4)?,
    ///         sock_op::WRITE_HEADER_OPTIONS => context.store_header_option(&[254_u8, 4, 1, 9])?,
    ///         sock_op::PARSE_HEADER_OPTIONS => {
    ///             let mut option = [254, 4, 1, 0];
    ///             context.load_header_option(&mut option)?;
    ///             printk!("the other side's byte is %u", option[3]);
    ///         }
    ///         _ => return Ok(Handled::NO),
    ///     }
    ///     Ok(Handled::YES)
    /// }
    /// ```
    ///
    /// # Errors
    /// `ENOSPC`; `EPERM` in other events than the one for that.
    #[doc(alias = "bpf_reserve_hdr_opt")]
    #[inline(always)]
    pub fn reserve_header_option(&self, bytes: u32) -> Result {
        // SAFETY: the context.
        done(unsafe { raw::bpf_reserve_hdr_opt(self.as_ptr(), bytes, 0) })
    }

    /// Writes an option, with its kind and length, into the room that was asked for. Linux 5.10.
    ///
    /// # Errors
    /// `ENOSPC`; `EEXIST`; `EINVAL` if it is no option; `EPERM` in other events.
    #[doc(alias = "bpf_store_hdr_opt")]
    #[inline(always)]
    pub fn store_header_option<T: Plain>(&self, option: &T) -> Result {
        let (at, size) = (core::ptr::from_ref(option).cast(), size_of::<T>() as u32);
        // SAFETY: all of the option.
        done(unsafe { raw::bpf_store_hdr_opt(self.as_ptr(), at, size, 0) })
    }

    /// Finds an option in the header by what the buffer begins with, its kind first, and copies it
    /// there; gives its length. Linux 5.10.
    ///
    /// # Errors
    /// `ENOMSG` (42) if there is none; `ENOSPC` if the buffer is too small; `EPERM` in events without
    /// a header.
    #[doc(alias = "bpf_load_hdr_opt")]
    #[inline(always)]
    pub fn load_header_option(&self, option: &mut [u8]) -> Result<usize> {
        let (at, size) = (option.as_mut_ptr().cast(), option.len() as u32);
        // SAFETY: all of the slice.
        Ok(Error::check(unsafe { raw::bpf_load_hdr_opt(self.as_ptr(), at, size, 0) })? as usize)
    }
}

impl SockAddrContext {
    /// Binds the socket to an address before it connects: a whole `sockaddr_in` or `sockaddr_in6`.
    /// In `connect4` and `connect6` only. Linux 4.17.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// /// Connections leave from 127.0.0.2.
    /// #[cgroup_sock_addr(connect4)]
    /// fn from(context: &SockAddrContext) -> Result<Access> {
    ///     const AF_INET: [u8; 2] = 2_u16.to_ne_bytes();
    ///     let (family, port) = (AF_INET, [0, 0]);
    ///     context.bind(&[
    ///         family[0], family[1], port[0], port[1], 127, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0_u8,
    ///     ])?;
    ///     Ok(Access::ALLOW)
    /// }
    /// ```
    ///
    /// # Errors
    /// Those of `bind`.
    #[doc(alias = "bpf_bind")]
    #[inline(always)]
    pub fn bind<T: Plain>(&self, address: &T) -> Result {
        let (at, size) = (
            core::ptr::from_ref(address).cast_mut().cast(),
            size_of::<T>() as i32,
        );
        // SAFETY: all of the address, which is read.
        done(unsafe { raw::bpf_bind(self.as_ptr(), at, size) })
    }
}

impl SkMsgContext {
    /// Has the verdict hold for so many bytes only, of this message and those that follow.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// /// Messages are eight bytes; the first of those that begin with `+` becomes a `-`, and a mark is
    /// /// put before it, and taken out of others.
    /// #[sk_msg]
    /// fn messages(context: &mut SkMsgContext) -> Result<SkAction> {
    ///     if context.size() < 8 {
    ///         context.cork_bytes(8);
    ///         return Ok(SkAction::PASS);
    ///     }
    ///     context.apply_bytes(8);
    ///     context.pull_data(0, 8)?;
    ///     let is_sum = match context.packet_mut().write::<[u8; 1]>(0) {
    ///         Some([first]) if *first == b'+' => {
    ///             *first = b'-';
    ///             true
    ///         }
    ///         _ => false,
    ///     };
    ///     match is_sum {
    ///         true => context.push_data(0, 1)?,
    ///         false => context.pop_data(0, 1)?,
    ///     }
    ///     Ok(SkAction::PASS)
    /// }
    /// ```
    #[doc(alias = "bpf_msg_apply_bytes")]
    #[inline(always)]
    pub fn apply_bytes(&self, bytes: u32) {
        // SAFETY: the context; it never fails.
        unsafe { raw::bpf_msg_apply_bytes(self.as_ptr(), bytes) };
    }

    /// Does not have the program called again before there are so many bytes.
    #[doc(alias = "bpf_msg_cork_bytes")]
    #[inline(always)]
    pub fn cork_bytes(&self, bytes: u32) {
        // SAFETY: as above.
        unsafe { raw::bpf_msg_cork_bytes(self.as_ptr(), bytes) };
    }

    /// Brings the bytes of the message from `start` to before `end` into one piece, which is then
    /// all that [`packet`](Self::packet) is.
    ///
    /// # Errors
    /// `EINVAL` if they are not there; `ENOMEM`.
    #[doc(alias = "bpf_msg_pull_data")]
    #[inline(always)]
    pub fn pull_data(&mut self, start: u32, end: u32) -> Result {
        // SAFETY: no pointer into the message is left: they are lent by the context.
        done(unsafe { raw::bpf_msg_pull_data(self.as_ptr(), start, end, 0) })
    }

    /// Puts so many bytes of room into the message. Linux 5.0.
    ///
    /// # Errors
    /// `EINVAL`; `ENOMEM`.
    #[doc(alias = "bpf_msg_push_data")]
    #[inline(always)]
    pub fn push_data(&mut self, start: u32, bytes: u32) -> Result {
        // SAFETY: as above.
        done(unsafe { raw::bpf_msg_push_data(self.as_ptr(), start, bytes, 0) })
    }

    /// Takes so many bytes out of the message. Linux 5.0.
    ///
    /// # Errors
    /// `EINVAL` if they are not there; `ENOMEM`.
    #[doc(alias = "bpf_msg_pop_data")]
    #[inline(always)]
    pub fn pop_data(&mut self, start: u32, bytes: u32) -> Result {
        // SAFETY: as above.
        done(unsafe { raw::bpf_msg_pop_data(self.as_ptr(), start, bytes, 0) })
    }
}

impl SkLookupContext {
    /// Has this socket get the packet or connection, unless a program before this one chose another.
    /// Linux 5.9.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[map]
    /// static SERVERS: SockMap<1> = SockMap::new();
    ///
    /// /// All ports of 127.0.0.7 are one server's.
    /// #[sk_lookup]
    /// fn steer(context: &SkLookupContext) -> Result<SkAction> {
    ///     if context.local_ip4().to_ne_bytes() == [127, 0, 0, 7] {
    ///         if let Some(server) = SERVERS.get(0) {
    ///             context.assign(&server)?;
    ///         }
    ///     }
    ///     Ok(SkAction::PASS)
    /// }
    /// ```
    ///
    /// # Errors
    /// `EEXIST` if one is chosen; `ESOCKTNOSUPPORT` (94) if it is of another kind; `EPROTOTYPE` (91);
    /// `EAFNOSUPPORT`.
    #[doc(alias = "bpf_sk_assign")]
    #[inline(always)]
    pub fn assign(&self, socket: &Sock) -> Result {
        // SAFETY: the context, and a socket that is lent.
        done(unsafe { raw::bpf_sk_assign(self.as_ptr(), socket.as_ptr(), 0) })
    }

    /// Has no socket get it that was chosen before.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// /// Port 7 is nobody's, whatever other programs chose.
    /// #[sk_lookup]
    /// fn nobody(context: &SkLookupContext) -> Result<SkAction> {
    ///     if context.local_port() == 7 {
    ///         context.unassign()?;
    ///     }
    ///     Ok(SkAction::PASS)
    /// }
    /// ```
    ///
    /// # Errors
    /// None that is known.
    #[doc(alias = "bpf_sk_assign")]
    #[inline(always)]
    pub fn unassign(&self) -> Result {
        let none: *mut c_void = core::ptr::null_mut();
        /// `BPF_SK_LOOKUP_F_REPLACE`.
        const REPLACE: u64 = 1;
        // SAFETY: the context, and no socket.
        done(unsafe { raw::bpf_sk_assign(self.as_ptr(), none, REPLACE) })
    }
}
