//! Attach points: the hooks of a host, by name and options; and what holds an attachment.
//!
//! A host attaches by a link where it can and by older ways where it must; both look the same
//! from above and end when the [`Attachment`] is dropped.

mod filter;
mod names;
mod netfilter;
mod order;
mod perf;
mod places;
mod route;

use std::{fmt, path::PathBuf};

use skep_abi::AttachType;

use crate::{CgroupFd, LinkFd, MapFd, ProgramFd, Result};

pub use filter::{Filter, FilterParent, FilterSlot};
pub use names::FunctionNames;
pub use netfilter::NetfilterHook;
pub use order::{Order, Position};
pub use perf::{BadPerfEvent, BreakpointAccess, PerfEvent, PerfScope};
pub use places::{
    CgroupMode, CgroupRoot, IterTarget, KernelFunctions, MultiMode, NetkitEnd, ProbeSource,
    TcxDirection, UprobePlace, XdpMode,
};
pub use route::{Route, RouteTo};

/// Where a program is attached, and how.
#[derive(Debug)]
#[non_exhaustive]
pub enum AttachPoint<'a> {
    /// A static tracepoint, by tracefs category and name. Cookies since 5.15.
    Tracepoint {
        /// Such as `syscalls`.
        category: String,
        /// Such as `sys_enter_openat`.
        name: String,
        /// What `bpf_get_attach_cookie` returns.
        cookie: Option<u64>,
    },
    /// A tracepoint without its formatted record. Cookies since 6.10.
    RawTracepoint {
        /// Such as `sched_switch`.
        name: String,
        /// What `bpf_get_attach_cookie` returns.
        cookie: Option<u64>,
    },
    /// What the program's own BTF target says: tp_btf, fentry, fexit, fmod_ret, lsm.
    Tracing {
        /// The attach type that the program was loaded with.
        attach_type: AttachType,
        /// The hook as its section name spells it, for errors.
        target: String,
        /// What `bpf_get_attach_cookie` returns. Since 6.0.
        cookie: Option<u64>,
    },
    /// A function of another program, whose place the program takes (freplace). Since 5.6.
    Replace {
        /// The function, for errors.
        function: String,
        /// Where else than the program was loaded for, which that fits too: a program, and the
        /// function's id in its BTF. Since 5.10.
        elsewhere: Option<(&'a ProgramFd, u32)>,
        /// What `bpf_get_attach_cookie` returns. Since 6.0.
        cookie: Option<u64>,
    },
    /// Many functions of the kernel with their arguments, by one link: fentry.multi, fexit.multi,
    /// fsession.multi. Since 7.2.
    TracingMulti {
        /// The attach type that the program was loaded with.
        attach_type: AttachType,
        /// The functions: names or a pattern, no addresses.
        functions: KernelFunctions,
        /// A cookie each, in the order of names; or none.
        cookies: Vec<u64>,
    },
    /// An instruction of a binary in user space.
    Uprobe {
        /// At the return, not the entry.
        at_return: bool,
        /// The binary or shared library.
        binary: PathBuf,
        /// Offset in the file.
        offset: u64,
        /// Only in this process.
        pid: Option<u32>,
        /// Offset of a USDT semaphore in the file, or 0.
        semaphore: u64,
        /// What makes the event.
        source: ProbeSource,
        /// What `bpf_get_attach_cookie` returns.
        cookie: Option<u64>,
    },
    /// Many instructions of a binary in user space, by one link; the program must be loaded as
    /// [`attach_type`](MultiMode::uprobe) of the mode. Since 6.6.
    UprobeMulti {
        /// When it fires.
        mode: MultiMode,
        /// The binary or shared library.
        binary: PathBuf,
        /// The places.
        places: Vec<UprobePlace>,
        /// Only in this process.
        pid: Option<u32>,
    },
    /// A function of the kernel, or an instruction in one.
    Kprobe {
        /// At the return, not the entry.
        at_return: bool,
        /// The function; `module:function` for one of a module, `0x…` for one by its address.
        function: String,
        /// Bytes from its start, which must be 0 at the return.
        offset: u64,
        /// What makes the event.
        source: ProbeSource,
        /// What `bpf_get_attach_cookie` returns. Since 5.15.
        cookie: Option<u64>,
    },
    /// Many functions of the kernel, by one link; the program must be loaded as
    /// [`attach_type`](MultiMode::kprobe) of the mode. Since 5.18.
    KprobeMulti {
        /// When it fires.
        mode: MultiMode,
        /// The functions.
        functions: KernelFunctions,
        /// A cookie each, in the order of names or addresses; or none.
        cookies: Vec<u64>,
    },
    /// A perf event: a timer or a counter.
    PerfEvent {
        /// Which event, how often.
        event: PerfEvent,
        /// On which CPU, in which process.
        scope: PerfScope,
        /// What `bpf_get_attach_cookie` returns.
        cookie: Option<u64>,
    },
    /// Packets as a device receives them. By link since 5.9.
    Xdp {
        /// The device's index.
        ifindex: u32,
        /// In the driver or after it.
        mode: XdpMode,
    },
    /// The traffic-control hook as kernels before 6.6 have it: a filter of `clsact`, by netlink.
    /// Since 4.5. It has no link: no pin, and no info.
    Clsact {
        /// Whose packets.
        parent: FilterParent,
        /// Priority and handle, among its filters.
        slot: FilterSlot,
    },
    /// Packets at the traffic-control hook, in order with other programs. Since 6.6.
    Tcx {
        /// The device's index.
        ifindex: u32,
        /// Coming or going.
        direction: TcxDirection,
        /// Where among the others.
        order: Order,
    },
    /// Packets at an end of a netkit pair, in order with other programs. Since 6.7.
    Netkit {
        /// The index of the pair's primary device, for both ends.
        ifindex: u32,
        /// Which end's packets.
        end: NetkitEnd,
        /// Where among the others.
        order: Order,
    },
    /// A netfilter hook. Since 6.4.
    Netfilter(NetfilterHook),
    /// What the sockets in a sockmap or sockhash receive or send. By link since 6.10.
    Sockmap {
        /// The map.
        map: &'a MapFd,
        /// Which of its hooks: `SkSkb*`, `SkMsgVerdict`.
        attach_type: AttachType,
    },
    /// A cgroup and all below it.
    Cgroup {
        /// The cgroup.
        cgroup: &'a CgroupFd,
        /// Which of its hooks.
        attach_type: AttachType,
        /// With other programs or alone.
        mode: CgroupMode,
        /// Where among the others, where there can be others.
        order: Order,
    },
    /// A socket of this process.
    SocketFilter {
        /// Its file descriptor; it must stay open while attached.
        socket: i32,
    },
    /// Which socket gets what comes to a port that several share (`SO_REUSEPORT`), for programs of
    /// type `sk_reuseport` (since 4.19) and `socket_filter` (since 4.5). It has no link.
    #[doc(alias = "SO_ATTACH_REUSEPORT_EBPF")]
    Reuseport {
        /// One of the sockets, bound.
        socket: i32,
    },
    /// Packets that a route sends on, which is made for the program; what of it the program sees is
    /// said by its type. It has no link.
    Lwt(Route),
    /// The pulses of an infrared receiver. Since 4.18. It has no link.
    Lirc {
        /// Such as `/dev/lirc0`.
        device: PathBuf,
    },
    /// An iterator: reading the link's iterator runs the program.
    Iterator(IterTarget<'a>),
    /// Network-namespace hooks: `sk_lookup`, `flow_dissector`.
    Netns {
        /// A descriptor of the namespace.
        netns: i32,
        /// Which of its hooks.
        attach_type: AttachType,
    },
}

impl fmt::Display for AttachPoint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tracepoint { category, name, .. } => write!(f, "tracepoint/{category}/{name}"),
            Self::RawTracepoint { name, .. } => write!(f, "raw_tp/{name}"),
            Self::Tracing { target, .. } => f.write_str(target),
            Self::Replace { function, .. } => write!(f, "freplace/{function}"),
            Self::Uprobe {
                at_return,
                binary,
                offset,
                ..
            } => {
                let kind = if *at_return { "uretprobe" } else { "uprobe" };
                write!(f, "{kind}/{}:{offset:#x}", binary.display())
            }
            Self::UprobeMulti {
                mode,
                binary,
                places,
                ..
            } => {
                let count = places.len();
                write!(
                    f,
                    "{}/{} ({count} places)",
                    mode.uprobe_section(),
                    binary.display()
                )
            }
            Self::Kprobe {
                at_return,
                function,
                offset,
                source,
                ..
            } => {
                let kind = if *at_return { "kretprobe" } else { "kprobe" };
                write!(f, "{kind}/{function}")?;
                if *offset != 0 {
                    write!(f, "+{offset:#x}")?;
                }
                match source {
                    ProbeSource::Auto => Ok(()),
                    ProbeSource::Tracefs => f.write_str(" (tracefs)"),
                    ProbeSource::TracefsReturns(most) => {
                        write!(f, " (tracefs, maxactive {most})")
                    }
                }
            }
            Self::KprobeMulti {
                mode, functions, ..
            } => {
                write!(f, "{}/{functions}", mode.kprobe_section())
            }
            Self::TracingMulti {
                attach_type,
                functions,
                ..
            } => {
                let section = match attach_type {
                    AttachType::TraceFexitMulti => "fexit.multi",
                    AttachType::TraceFsessionMulti => "fsession.multi",
                    _ => "fentry.multi",
                };
                write!(f, "{section}/{functions}")
            }
            Self::PerfEvent { event, scope, .. } => write!(f, "perf_event/{event}{scope}"),
            Self::Xdp { ifindex, .. } => write!(f, "xdp on device {ifindex}"),
            Self::Tcx {
                ifindex,
                direction: TcxDirection::Ingress,
                ..
            } => {
                write!(f, "tcx/ingress on device {ifindex}")
            }
            Self::Tcx { ifindex, .. } => write!(f, "tcx/egress on device {ifindex}"),
            Self::Clsact { parent, .. } => parent.fmt(f),
            Self::Netkit { ifindex, end, .. } => {
                let end = match end {
                    NetkitEnd::Primary => "primary",
                    NetkitEnd::Peer => "peer",
                };
                write!(f, "netkit/{end} on device {ifindex}")
            }
            Self::Netfilter(hook) => write!(f, "netfilter hook {hook}"),
            Self::Sockmap { attach_type, .. } => write!(f, "sockmap hook {}", attach_type.name()),
            Self::Cgroup { attach_type, .. } => write!(f, "cgroup hook {}", attach_type.name()),
            Self::SocketFilter { socket } => write!(f, "socket {socket}"),
            Self::Reuseport { socket } => write!(f, "the group of socket {socket}"),
            Self::Lwt(route) => write!(f, "the route to {route}"),
            Self::Lirc { device } => write!(f, "infrared receiver {}", device.display()),
            Self::Iterator(_) => f.write_str("iterator"),
            Self::Netns { attach_type, .. } => write!(f, "netns hook {}", attach_type.name()),
        }
    }
}

/// The host's side of an attachment that is not a plain link.
pub trait Detach: Send + Sync + fmt::Debug {
    /// Ends it.
    ///
    /// # Errors
    /// The host refused; the attachment may still be there.
    fn detach(&mut self) -> Result<()>;

    /// Swaps the program, atomically where the host can.
    ///
    /// # Errors
    /// The host can't, or refused.
    fn update(&mut self, program: &ProgramFd) -> Result<()>;

    /// Events that it left out, where the host counts them elsewhere than in a link's info.
    fn missed(&self) -> Option<u64> {
        None
    }

    /// The filter of traffic control that it is, with the priority and handle that it got.
    fn filter(&self) -> Option<&Filter> {
        None
    }

    /// Why its link can't be pinned, if it can't: what it holds would not outlive this process.
    fn cannot_pin(&self) -> Option<&'static str> {
        None
    }
}

/// Keeps a program attached; dropping it detaches.
#[derive(Debug)]
pub struct Attachment(Kind);

#[derive(Debug)]
enum Kind {
    Link(LinkFd),
    /// What holds it may only go when its link has gone: they are dropped in this order.
    Held {
        link: Option<LinkFd>,
        holder: Box<dyn Detach>,
    },
}

impl Attachment {
    /// An attachment that is a link and nothing else.
    pub fn link(link: LinkFd) -> Self {
        Self(Kind::Link(link))
    }

    /// An attachment that the host holds in another way, with a link where there is one too
    /// (a perf event with a link on it).
    pub fn held(holder: Box<dyn Detach>, link: Option<LinkFd>) -> Self {
        Self(Kind::Held { holder, link })
    }

    /// The same attachment, held by something more: which takes what holds it now, if that is not
    /// a plain link, and is dropped after the link.
    pub fn beside(self, holder: impl FnOnce(Option<Box<dyn Detach>>) -> Box<dyn Detach>) -> Self {
        let (link, held) = match self.0 {
            Kind::Link(link) => (Some(link), None),
            Kind::Held { link, holder } => (link, Some(holder)),
        };
        Self(Kind::Held {
            link,
            holder: holder(held),
        })
    }

    /// The link, where there is one: for pins and info.
    pub fn link_fd(&self) -> Option<&LinkFd> {
        match &self.0 {
            Kind::Link(link) => Some(link),
            Kind::Held { link, .. } => link.as_ref(),
        }
    }

    /// The host's holder, where it is not a plain link.
    pub fn holder(&self) -> Option<&(dyn Detach + 'static)> {
        match &self.0 {
            Kind::Link(_) => None,
            Kind::Held { holder, .. } => Some(holder.as_ref()),
        }
    }

    /// The same, to change it.
    pub fn holder_mut(&mut self) -> Option<&mut (dyn Detach + 'static)> {
        match &mut self.0 {
            Kind::Link(_) => None,
            Kind::Held { holder, .. } => Some(holder.as_mut()),
        }
    }

    /// Detaches now and says how that went; dropping does the same in silence.
    ///
    /// # Errors
    /// The host refused to detach.
    pub fn detach(self) -> Result<()> {
        match self.0 {
            Kind::Link(link) => drop(link),
            Kind::Held { mut holder, link } => {
                drop(link);
                holder.detach()?;
            }
        }
        Ok(())
    }
}
