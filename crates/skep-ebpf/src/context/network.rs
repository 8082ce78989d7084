//! Contexts of packets and sockets.

use super::{contexts, raw};
use crate::packet::{Packet, PacketMut};

contexts! {
    /// A packet at a network device, before the network stack. See [`xdp`](crate::hook::xdp).
    #[doc(alias = "xdp_md")]
    XdpContext: raw::xdp_md;
    /// A packet at the traffic-control hook. See [`tc`](crate::hook::tc).
    #[doc(alias = "__sk_buff")]
    TcContext: raw::__sk_buff;
    /// A packet of a socket of a cgroup. See [`cgroup_skb`](crate::hook::cgroup_skb).
    #[doc(alias = "__sk_buff")]
    CgroupSkbContext: raw::__sk_buff;
    /// A packet that a socket is about to get. See [`socket_filter`](crate::hook::socket_filter).
    #[doc(alias = "__sk_buff")]
    SocketFilterContext: raw::__sk_buff;
    /// A packet at a lightweight tunnel. See [`lwt_in`](crate::hook::lwt_in).
    #[doc(alias = "__sk_buff")]
    LwtContext: raw::__sk_buff;
    /// A part of a stream of a socket in a map. See [`sk_skb`](crate::hook::sk_skb).
    #[doc(alias = "__sk_buff")]
    SkSkbContext: raw::__sk_buff;
    /// A packet whose flow is looked for. See [`flow_dissector`](crate::hook::flow_dissector).
    #[doc(alias = "__sk_buff")]
    FlowDissectorContext: raw::__sk_buff;
    /// A message that a socket in a map sends. See [`sk_msg`](crate::hook::sk_msg).
    #[doc(alias = "sk_msg_md")]
    SkMsgContext: raw::sk_msg_md;
    /// A connection without a socket yet. See [`sk_lookup`](crate::hook::sk_lookup).
    #[doc(alias = "bpf_sk_lookup")]
    SkLookupContext: raw::bpf_sk_lookup;
    /// A packet for a group of sockets. See [`sk_reuseport`](crate::hook::sk_reuseport).
    #[doc(alias = "sk_reuseport_md")]
    ReuseportContext: raw::sk_reuseport_md;
    /// An event of a TCP socket of a cgroup. See [`sock_ops`](crate::hook::sock_ops).
    #[doc(alias = "bpf_sock_ops")]
    SockOpsContext: raw::bpf_sock_ops;
    /// A packet at a netfilter hook. See [`netfilter`](crate::hook::netfilter).
    #[doc(alias = "bpf_nf_ctx")]
    NetfilterContext: raw::bpf_nf_ctx;

    /// A socket of a cgroup. See [`cgroup_sock`](crate::hook::cgroup_sock).
    #[doc(alias = "bpf_sock")]
    SockContext: raw::bpf_sock;
    /// An address that a socket of a cgroup is about to use. See
    /// [`cgroup_sock_addr`](crate::hook::cgroup_sock_addr).
    #[doc(alias = "bpf_sock_addr")]
    SockAddrContext: raw::bpf_sock_addr;
    /// A sysctl that a process of a cgroup uses. See [`cgroup_sysctl`](crate::hook::cgroup_sysctl).
    #[doc(alias = "bpf_sysctl")]
    SysctlContext: raw::bpf_sysctl;
    /// An option of a socket of a cgroup. See [`cgroup_sockopt`](crate::hook::cgroup_sockopt).
    #[doc(alias = "bpf_sockopt")]
    SockoptContext: raw::bpf_sockopt;
    /// A device that a process of a cgroup uses. See [`cgroup_device`](crate::hook::cgroup_device).
    #[doc(alias = "bpf_cgroup_dev_ctx")]
    DeviceContext: raw::bpf_cgroup_dev_ctx;
}

/// Contexts with a packet that is read.
macro_rules! packets {
    ($($Context:ident $start:ident $end:ident;)*) => {$(
        impl $Context {
            /// What is there of the packet.
            #[inline(always)]
            #[must_use]
            pub fn packet(&self) -> Packet<'_> {
                // SAFETY: its own pointers, lent with it.
                unsafe { Packet::new(self.$start(), self.$end()) }
            }
        }
    )*};
}

packets! {
    XdpContext data data_end;
    TcContext data data_end;
    CgroupSkbContext data data_end;
    LwtContext data data_end;
    SkSkbContext data data_end;
    FlowDissectorContext data data_end;
    SkMsgContext data data_end;
    ReuseportContext data data_end;
    SockOpsContext skb_data skb_data_end;
    SockoptContext optval optval_end;
}

/// Contexts whose packet can be written to.
macro_rules! writable {
    ($($Context:ident $start:ident $end:ident;)*) => {$(
        impl $Context {
            /// What is there of the packet, to be changed.
            #[inline(always)]
            #[must_use]
            pub fn packet_mut(&mut self) -> PacketMut<'_> {
                // SAFETY: its own pointers, lent with it and to nobody else.
                unsafe { PacketMut::new(self.$start(), self.$end()) }
            }
        }
    )*};
}

writable! {
    XdpContext data data_end;
    TcContext data data_end;
    LwtContext data data_end;
    SkSkbContext data data_end;
    SkMsgContext data data_end;
    SockoptContext optval optval_end;
}
