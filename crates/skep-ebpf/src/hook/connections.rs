//! Attributes of hooks that decide about sockets, and what processes of a cgroup do.

/// At events of the TCP sockets of a cgroup. Linux 4.13.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[sock_ops]
/// fn events(context: &SockOpsContext) -> Result<Handled> {
///     if context.op() == sock_op::ACTIVE_ESTABLISHED {
///         context.set_flags(sock_op_flags::STATE)?;
///         return Ok(Handled::YES);
///     }
///     Ok(Handled::NO)
/// }
/// ```
pub use skep_ebpf_macros::sock_ops;

/// At what sockets of a map receive: `stream_verdict` for messages that a parser told apart (Linux
/// 4.14), `verdict` for all there is (Linux 5.13).
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[map]
/// static OTHERS: SockMap<2> = SockMap::new();
///
/// #[sk_skb(verdict)]
/// fn forward(context: &SkSkbContext) -> SkAction {
///     OTHERS.redirect_packet(context, 0, skep_ebpf::map::Direction::Egress)
/// }
/// ```
pub use skep_ebpf_macros::sk_skb;

/// Says where messages of a stream end, for [`sk_skb`]. Linux 4.14.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[sk_skb_parser]
/// fn lines_of_four(context: &SkSkbContext) -> Parsed {
///     match context.len() {
///         0..4 => Parsed::MORE,
///         _ => Parsed::message(4),
///     }
/// }
/// ```
pub use skep_ebpf_macros::sk_skb_parser;

/// At what sockets of a map send. Linux 4.17.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[sk_msg]
/// fn sends(context: &SkMsgContext) -> SkAction {
///     match context.packet().read::<[u8; 1]>(0) {
///         Some(b"!") => SkAction::DROP,
///         _ => SkAction::PASS,
///     }
/// }
/// ```
pub use skep_ebpf_macros::sk_msg;

/// Where the socket of a packet or connection is looked for, in a network namespace. Linux 5.9.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[sk_lookup]
/// fn closed(context: &SkLookupContext) -> SkAction {
///     match context.local_port() {
///         23 => SkAction::DROP,
///         _ => SkAction::PASS,
///     }
/// }
/// ```
pub use skep_ebpf_macros::sk_lookup;

/// Where one of the sockets that share a port is chosen; `migrate` also where connections of a
/// closed one go (Linux 5.14). Linux 4.19.
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
/// fn spread(context: &ReuseportContext) -> Result<SkAction> {
///     WORKERS.select(context, context.hash() % 4)?;
///     Ok(SkAction::PASS)
/// }
/// ```
pub use skep_ebpf_macros::sk_reuseport;

/// At packets of a cgroup's sockets: `ingress` or `egress`. Linux 4.10.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[cgroup_skb(egress)]
/// fn no_mail(context: &CgroupSkbContext) -> Access {
///     let mut cursor = context.packet().cursor();
///     let port = cursor.ipv4().and_then(|_| cursor.next::<Tcp>()).map(|tcp| tcp.destination());
///     (port != Some(25)).into()
/// }
/// ```
pub use skep_ebpf_macros::cgroup_skb;

/// Where sockets of a cgroup are made (`create`), closed (`release`, Linux 5.9), or have been bound
/// (`post_bind4`, `post_bind6`, Linux 4.17). Linux 4.10.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[cgroup_sock(create)]
/// fn marked(context: &SockContext) -> Access {
///     context.set_mark(7);
///     Access::ALLOW
/// }
/// ```
pub use skep_ebpf_macros::cgroup_sock;

/// Where a process of a cgroup binds, connects, sends, receives, or asks for a name: `bind4`,
/// `connect4`, `sendmsg4`, `recvmsg4`, `getpeername4`, `getsockname4`, the same of IPv6, and of
/// Unix sockets (`connect_unix`, Linux 6.7). Linux 4.17.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[cgroup_sock_addr(connect4)]
/// fn led(context: &SockAddrContext) -> Access {
///     if context.user_ip4().to_ne_bytes() == [10, 0, 0, 1] {
///         context.set_user_ip4(u32::from_ne_bytes([127, 0, 0, 1]));
///     }
///     Access::ALLOW
/// }
/// ```
pub use skep_ebpf_macros::cgroup_sock_addr;

/// Where a process of a cgroup reads or writes a sysctl. Linux 5.2.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[cgroup_sysctl]
/// fn read_only(context: &SysctlContext) -> Access {
///     (context.write() == 0).into()
/// }
/// ```
pub use skep_ebpf_macros::cgroup_sysctl;

/// Where a process of a cgroup gets an option of a socket (`get`, after the kernel's answer) or
/// sets one (`set`, before it). Linux 5.3.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[cgroup_sockopt(set)]
/// fn no_raw_options(context: &SockoptContext) -> Access {
///     (context.level() != 255).into()
/// }
/// ```
pub use skep_ebpf_macros::cgroup_sockopt;

/// Where a process of a cgroup opens or makes a device. Linux 4.15.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[cgroup_device]
/// fn harmless(context: &DeviceContext) -> Access {
///     // `null`, `zero`, `full`, `random` and `urandom`.
///     (context.major() == 1 && [3, 5, 7, 8, 9].contains(&context.minor())).into()
/// }
/// ```
pub use skep_ebpf_macros::cgroup_device;
