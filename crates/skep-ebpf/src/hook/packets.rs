//! Attributes of hooks that decide about packets.

/// At a network device, before the network stack. `frags` programs take packets of several pieces
/// (Linux 5.18); `devmap` and `cpumap` programs are of a map's entries, which packets are
/// redirected to. Linux 4.8.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[xdp]
/// fn no_telnet(context: &XdpContext) -> XdpAction {
///     match port(context) {
///         Some(23) => XdpAction::DROP,
///         _ => XdpAction::PASS,
///     }
/// }
///
/// fn port(context: &XdpContext) -> Option<u16> {
///     let mut cursor = context.packet().cursor();
///     let ethernet = cursor.next::<Ethernet>()?;
///     if ethernet.ethertype() != ethertype::IPV4 || cursor.ipv4()?.protocol() != protocol::TCP {
///         return None;
///     }
///     Some(cursor.next::<Tcp>()?.destination())
/// }
/// ```
pub use skep_ebpf_macros::xdp;

/// At a device's traffic control, as a filter that acts by itself. `ingress` and `egress` say for
/// which direction it is meant. Linux 4.1.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[tc]
/// fn mark(context: &TcContext) -> TcAction {
///     context.set_mark(7);
///     TcAction::OK
/// }
/// ```
pub use skep_ebpf_macros::tc;

/// The same by a link, in an order that is kept: `ingress` or `egress`. Linux 6.6.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[tcx(egress)]
/// fn small(context: &TcContext) -> TcAction {
///     match context.len() {
///         0..=1500 => TcAction::NEXT,
///         _ => TcAction::SHOT,
///     }
/// }
/// ```
pub use skep_ebpf_macros::tcx;

/// As an action of traffic control, which filters of other kinds name. Linux 4.1.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[action]
/// fn count(_: &TcContext) -> TcAction {
///     TcAction::PIPE
/// }
/// ```
pub use skep_ebpf_macros::action;

/// At one of two devices that are each other's ends: `primary` or `peer`. Linux 6.7.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[netkit(primary)]
/// fn out(_: &TcContext) -> TcAction {
///     TcAction::OK
/// }
/// ```
pub use skep_ebpf_macros::netkit;

/// At a hook of netfilter, in the order of its priority. Linux 6.4.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[kernel]
/// struct sk_buff {
///     len: u32,
/// }
///
/// #[netfilter]
/// fn small(context: &NetfilterContext) -> NetfilterVerdict {
///     let packet: &sk_buff = context.skb();
///     match core_load!(packet.len) {
///         0..=9000 => NetfilterVerdict::ACCEPT,
///         _ => NetfilterVerdict::DROP,
///     }
/// }
/// ```
pub use skep_ebpf_macros::netfilter;

/// In the place of the kernel's dissector, which finds out what flow a packet is of. Linux 4.20.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[flow_dissector]
/// fn dissect(context: &FlowDissectorContext) -> Dissected {
///     let Some(protocol) = context.packet().read::<[u8; 20]>(14).map(|ip| ip[9]) else {
///         return Dissected::DROP;
///     };
///     let keys = context.flow_keys();
///     keys.set_nhoff(14);
///     keys.set_thoff(34);
///     keys.set_ip_proto(protocol);
///     Dissected::OK
/// }
/// ```
pub use skep_ebpf_macros::flow_dissector;

/// Where a route's packets come in (`ip route … encap bpf in`). Linux 4.10.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[lwt_in]
/// fn arrives(context: &LwtContext) -> LwtAction {
///     match context.len() {
///         0..=1500 => LwtAction::OK,
///         _ => LwtAction::DROP,
///     }
/// }
/// ```
pub use skep_ebpf_macros::lwt_in;

/// Where a route's packets go out, before the network's header is written. Linux 4.10.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[lwt_out]
/// fn leaves(_: &LwtContext) -> LwtAction {
///     LwtAction::OK
/// }
/// ```
pub use skep_ebpf_macros::lwt_out;

/// Where a route's packets are sent: they can be changed, and redirected. Linux 4.10.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[lwt_xmit]
/// fn sends(context: &mut LwtContext) -> Result<LwtAction> {
///     context.change_head(14)?;
///     Ok(context.redirect(1, Way::Out))
/// }
/// ```
pub use skep_ebpf_macros::lwt_xmit;

/// At an action of segment routing (`End.BPF`). Linux 4.18.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[lwt_seg6local]
/// fn segment(_: &LwtContext) -> LwtAction {
///     LwtAction::OK
/// }
/// ```
pub use skep_ebpf_macros::lwt_seg6local;

/// At a socket, which gets as much of each packet as the program says. Linux 3.19.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[socket_filter]
/// fn headers(_: &SocketFilterContext) -> Keep {
///     Keep::bytes(64)
/// }
/// ```
pub use skep_ebpf_macros::socket_filter;
