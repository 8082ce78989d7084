//! From a program's section name to a link. What a name can't say (a device, a cgroup, a
//! socket) comes from [`AttachOptions`]; a place that no name describes goes to
//! [`Program::attach_to`].

mod iterator;
mod kprobe;
mod network;
mod own;
mod perf_event;
mod tracing;
mod uprobe;
mod usdt;
mod xdp_share;

pub(crate) use own::Attachers;
pub use xdp_share::XdpShare;

use std::{path::PathBuf, sync::Arc};

use skep_abi::CgroupIterOrder;
use skep_host::{
    AttachPoint, Cause, CgroupMode, Errno, FilterParent, FilterSlot, MultiMode, NetfilterHook,
    Order, PerfEvent, PerfScope, ProbeSource, RouteTo, TcxDirection, XdpMode,
};
use skep_object::AttachKind;

use crate::{Error, Link, Map, Program, Result, TargetProgram, binary::has_ended};

/// What section names leave open.
#[derive(Debug, Clone, Default)]
pub struct AttachOptions {
    /// The network device of xdp and tc programs.
    pub device: Option<String>,
    /// Where XDP runs.
    pub xdp_mode: XdpMode,
    /// XDP beside the other programs of the device that are attached so; without it, alone. Since
    /// Linux 5.10, on x86-64 (6.0 on arm64); it takes `CAP_SYS_ADMIN`, to find the others by id.
    pub xdp_share: Option<XdpShare>,
    /// The cgroup of cgroup programs, or where iterators over cgroups begin; without it, the root
    /// of the cgroup v2 tree.
    pub cgroup: Option<PathBuf>,
    /// How cgroup programs stand to others; without it, by link, beside them.
    pub cgroup_mode: CgroupMode,
    /// Where among the programs of their hook tc, netkit and cgroup programs run; without it, after
    /// those that are there.
    pub order: Order,
    /// Attach `tc` programs as filters, with this priority and handle, though the kernel may have tcx.
    /// [`Link::filter`](crate::Link::filter) tells what was chosen.
    #[doc(alias = "bpf_tc_opts")]
    pub filter: Option<FilterSlot>,
    /// Whose packets `tc` programs see as filters, if not one side's of the
    /// [`device`](Self::device): a block's that devices share, or a class's.
    pub filter_parent: Option<FilterParent>,
    /// What makes the events of kprobes and uprobes: a perf event, or one of tracefs; with how many
    /// calls of a kretprobe's function may be under way (kprobes are as without it, then).
    pub probe_source: ProbeSource,
    /// Where in the binary a uprobe has a counter of those who watch, in bytes from the file's
    /// start, which the kernel keeps while it is attached; 0 for none. USDT points say theirs.
    #[doc(alias = "ref_ctr_offset")]
    pub semaphore: u64,
    /// The only process that uprobes and static probe points of user space fire in; also where
    /// their libraries are looked for. Of iterators over tasks, whose threads they walk over (6.1).
    pub pid: Option<u32>,
    /// The one thread that iterators over tasks walk over. Since 6.1.
    #[doc(alias = "tid")]
    pub thread: Option<u32>,
    /// The map that iterators over elements of maps (`iter/bpf_map_elem`, `iter/sockmap`,
    /// `iter/bpf_sk_storage_map`) walk over.
    pub elements: Option<Arc<Map>>,
    /// Which way iterators over cgroups walk from their [`cgroup`](Self::cgroup); without it, to
    /// its descendants, parents first. Since 6.1.
    pub cgroup_order: Option<CgroupIterOrder>,
    /// Which perf event fires; without it, the CPU's clock.
    pub perf_event: Option<PerfEvent>,
    /// Where perf events count; without it, on every running CPU.
    pub perf_scope: Option<PerfScope>,
    /// Samples a second of the CPU's clock; without it, 99.
    pub frequency: Option<u64>,
    /// The socket of socket filters; of `sk_reuseport` programs, one of those that share a port.
    pub socket: Option<i32>,
    /// The map of the sockets of `sk_msg` and `sk_skb` programs.
    pub sockets: Option<Arc<Map>>,
    /// The network namespace of `sk_lookup` and `flow_dissector` programs, such as
    /// `/run/netns/blue`; without it, the one that this thread is in.
    pub netns: Option<PathBuf>,
    /// Where the route goes that is made for `lwt` programs, by the [`device`](Self::device).
    pub route: Option<RouteTo>,
    /// The receiver of `lirc_mode2` programs, such as `/dev/lirc0`.
    pub infrared: Option<PathBuf>,
    /// The hook of netfilter programs.
    pub netfilter: Option<NetfilterHook>,
    /// What `bpf_get_attach_cookie` returns; `bpf_usdt_cookie` at static probe points.
    pub cookie: Option<u64>,
}

impl Program {
    /// Attaches it by its section's name.
    ///
    /// # Errors
    /// The name says no place, or the place needs an option, is not there, or refuses.
    pub fn attach(self: &Arc<Self>) -> Result<Link> {
        self.attach_with(&AttachOptions::default())
    }

    /// [`attach`](Self::attach), with what the name leaves open.
    ///
    /// # Errors
    /// As `attach`.
    pub fn attach_with(self: &Arc<Self>, options: &AttachOptions) -> Result<Link> {
        match self.section().kind() {
            AttachKind::Tracepoint => tracing::tracepoint(self, options),
            AttachKind::RawTracepoint => tracing::raw_tracepoint(self, options),
            AttachKind::TracepointBtf
            | AttachKind::Fentry
            | AttachKind::Fexit
            | AttachKind::FmodRet
            | AttachKind::Fsession
            | AttachKind::Lsm => tracing::by_btf(self, options),
            AttachKind::Freplace => tracing::replace(self, options),
            AttachKind::FentryMulti | AttachKind::FexitMulti | AttachKind::FsessionMulti => {
                tracing::many(self, options)
            }
            AttachKind::Iterator => iterator::attach(self, options),
            AttachKind::Uprobe => in_process(options, || uprobe::attach(self, options, false)),
            AttachKind::Uretprobe => in_process(options, || uprobe::attach(self, options, true)),
            AttachKind::UprobeMulti => {
                in_process(options, || uprobe::many(self, options, MultiMode::Entry))
            }
            AttachKind::UretprobeMulti => {
                in_process(options, || uprobe::many(self, options, MultiMode::Return))
            }
            AttachKind::UprobeSession => {
                in_process(options, || uprobe::many(self, options, MultiMode::Session))
            }
            AttachKind::Usdt => in_process(options, || usdt::attach(self, options)),
            AttachKind::Kprobe => kprobe::one(self, options, false),
            AttachKind::Kretprobe => kprobe::one(self, options, true),
            AttachKind::Ksyscall => kprobe::system_call(self, options, false),
            AttachKind::Kretsyscall => kprobe::system_call(self, options, true),
            AttachKind::KprobeMulti => kprobe::many(self, options, MultiMode::Entry),
            AttachKind::KretprobeMulti => kprobe::many(self, options, MultiMode::Return),
            AttachKind::KprobeSession => kprobe::many(self, options, MultiMode::Session),
            AttachKind::PerfEvent => perf_event::attach(self, options),
            AttachKind::Xdp => network::xdp(self, options),
            AttachKind::Tc => network::tcx(self, options),
            AttachKind::Netkit => network::netkit(self, options),
            AttachKind::Netfilter => network::netfilter(self, options),
            AttachKind::Cgroup | AttachKind::LsmCgroup => network::cgroup(self, options),
            AttachKind::Netns => network::netns(self, options),
            AttachKind::SocketFilter => network::socket_filter(self, options),
            AttachKind::StructOps => Err(self.cannot_attach(
                "the kernel calls it through the struct that holds it: attach that \
                 (`Loaded::struct_ops`)",
            )),
            AttachKind::Custom => Err(self.cannot_attach(
                "its section's name is its loader's own, which says how (`Object::attach_by`)",
            )),
            AttachKind::Manual | AttachKind::Syscall => {
                Err(self.cannot_attach("its section says no place to attach to; run it by hand"))
            }
            AttachKind::Sockmap => network::sockmap(self, options),
            AttachKind::Reuseport => network::reuseport(self, options),
            AttachKind::Lwt => network::lwt(self, options),
            AttachKind::Lirc => network::infrared(self, options),
            _ => Err(self.cannot_attach(&format!(
                "this version of Skep does not attach {} programs yet",
                self.section().name()
            ))),
        }
    }

    /// Attaches it to a place that is described in full.
    ///
    /// # Errors
    /// The place is not there, or the host refuses.
    pub fn attach_to(self: &Arc<Self>, point: &AttachPoint<'_>) -> Result<Link> {
        self.attach_to_each(std::slice::from_ref(point))
    }

    /// Puts a program of `freplace` into the place of a function of another program than the one
    /// that it was loaded for, whose arguments and type must be like that one's. Since 5.10.
    ///
    /// # Errors
    /// The other program has no function of that name, or it is not like the first.
    #[doc(alias = "bpf_program__attach_freplace")]
    pub fn replace(
        self: &Arc<Self>,
        target: &TargetProgram,
        function: &str,
        options: &AttachOptions,
    ) -> Result<Link> {
        let function = target.function(function)?;
        self.attach_to(&AttachPoint::Replace {
            function: function.name().to_owned(),
            elsewhere: Some((function.program(), function.type_id().0)),
            cookie: options.cookie,
        })
    }

    /// One link over several places, such as a perf event on each CPU.
    fn attach_to_each(self: &Arc<Self>, points: &[AttachPoint<'_>]) -> Result<Link> {
        let attachments = points
            .iter()
            .map(|point| {
                self.host()
                    .attach(self.name(), self.fd(), self.program_type(), point)
            })
            .collect::<std::result::Result<Vec<_>, _>>()?;
        let place = points.first().map(ToString::to_string).unwrap_or_default();
        Ok(Link::new(Arc::clone(self), place, attachments))
    }

    fn cannot_attach(&self, reason: &str) -> Error {
        Error::Attach {
            program: self.name().to_owned(),
            section: self.section().to_string(),
            reason: reason.to_owned(),
        }
    }

    /// What follows the slash in the section's name, which must be there.
    fn needed_target(&self, example: &str) -> Result<&str> {
        self.target().ok_or_else(|| {
            self.cannot_attach(&format!(
                "its section must say what to attach to, as in `{example}`"
            ))
        })
    }
}

/// Attaches in a process, if one is chosen. Where that ended meanwhile, this is what is wrong, not the
/// files below `/proc` that went with it; and a link to one that nobody has waited for, which some
/// hooks of the kernel give, would never fire.
fn in_process(options: &AttachOptions, attach: impl FnOnce() -> Result<Link>) -> Result<Link> {
    let gone = |pid| {
        let cause = Cause::NotFound {
            kind: "process",
            name: format!("{pid}"),
            near: Vec::new(),
        };
        let what = format!("process {pid}");
        Error::Host(skep_host::Error::system("watch", what, Errno::ESRCH).because(Some(cause)))
    };
    match options.pid {
        Some(pid) if has_ended(pid) => Err(gone(pid)),
        Some(pid) => attach().map_err(|error| match has_ended(pid) {
            true => gone(pid),
            false => error,
        }),
        None => attach(),
    }
}

/// The direction that a tc section's name says.
fn direction(program: &Program) -> Option<TcxDirection> {
    let name = program.section().name();
    if name.ends_with("/egress") {
        Some(TcxDirection::Egress)
    } else if name.ends_with("/ingress") || matches!(name, "tc" | "classifier") {
        Some(TcxDirection::Ingress)
    } else {
        None
    }
}
