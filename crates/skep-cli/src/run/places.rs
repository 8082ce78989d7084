//! The flags of `skep run` for places that sections leave open, beside devices and cgroups. Their
//! comments are what `--help` and the man page say.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use skep::{
    AttachOptions, Loaded, XdpShare,
    abi::XdpAction,
    boundary::{
        self, FilterParent, FilterSlot, NetfilterHook, Order, Position, ProbeSource, RouteTo,
    },
};

/// How a cgroup program stands to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CgroupMode {
    /// By a link, beside others
    Link,
    /// Without a link, beside others
    Multi,
    /// Without a link, and cgroups below may override it
    Override,
    /// Without a link, alone
    Exclusive,
}

impl From<CgroupMode> for boundary::CgroupMode {
    fn from(mode: CgroupMode) -> Self {
        match mode {
            CgroupMode::Link => Self::Link,
            CgroupMode::Multi => Self::Multi,
            CgroupMode::Override => Self::Override,
            CgroupMode::Exclusive => Self::Exclusive,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct PlaceArgs {
    /// Run beside the device's other XDP programs; the lower PRIORITY runs earlier
    ///
    /// Of all programs that were attached so, by whatever process: each runs if the one before it
    /// answered one of --xdp-chain. libxdp's programs are not among them. Without PRIORITY it is what
    /// the object says (XDP_RUN_CONFIG of libxdp's xdp_helpers.h), or 50.
    #[arg(long, value_name = "PRIORITY", num_args = 0..=1, require_equals = true)]
    xdp_share: Option<Option<u32>>,

    /// Answers after which the next program runs [default: as the object says, or pass]
    #[arg(
        long, value_name = "ACTION,...", value_delimiter = ',', value_parser = action,
        requires = "xdp_share"
    )]
    xdp_chain: Vec<XdpAction>,

    /// Attach tc programs as filters, as before Linux 6.6: 10, 10:0x1, 10:0x1:replace
    ///
    /// PRIORITY, of which the lower run earlier, then perhaps :HANDLE, then perhaps :replace for one
    /// that is there. A handle is chosen by the kernel, and said with -v.
    #[arg(long, value_name = "PRIORITY[:HANDLE]")]
    filter: Option<FilterSlot>,

    /// The block of filters that devices share, for tc programs, in a device's place
    #[arg(long, value_name = "NUMBER", conflicts_with = "device")]
    block: Option<u32>,

    /// How many calls of a kretprobe's function may be under way at once: attach by tracefs
    ///
    /// What is more is counted as missed. Without it, by perf events, it is twice the number of CPUs,
    /// and at least 10.
    #[arg(long, value_name = "CALLS", value_parser = clap::value_parser!(u32).range(1..=4096))]
    maxactive: Option<u32>,

    /// Where among others tc, netkit and cgroup programs run [default: last]
    ///
    /// first, last, before:link:ID, after:link:ID, before:program:ID or after:program:ID. Cgroups
    /// have an order since Linux 6.17.
    #[arg(long, value_name = "PLACE")]
    order: Option<Position>,

    /// Run before all cgroup programs without this, ancestors first (Linux 6.15)
    #[arg(long)]
    preorder: bool,

    /// How cgroup programs stand to others
    #[arg(long, value_enum, default_value = "link")]
    cgroup_mode: CgroupMode,

    /// The hook of netfilter programs: ipv4/local-in, ipv6/forward:PRIORITY:defrag
    ///
    /// The hooks are pre-routing, local-in, forward, local-out and post-routing. With :defrag the
    /// program sees whole packets (Linux 6.6).
    #[arg(long, value_name = "HOOK")]
    netfilter: Option<NetfilterHook>,

    /// The network namespace of sk_lookup and flow_dissector programs [default: this one]
    #[arg(long, value_name = "PATH", value_hint = clap::ValueHint::FilePath)]
    netns: Option<PathBuf>,

    /// Make a route to these addresses by --device, for lwt programs: 10.1.0.0/16
    #[arg(long, value_name = "ADDRESSES", requires = "device")]
    route: Option<RouteTo>,

    /// The map whose sockets sk_msg and sk_skb programs are for
    #[arg(long, value_name = "MAP")]
    sockets: Option<String>,

    /// The receiver of lirc_mode2 programs: /dev/lirc0
    #[arg(long, value_name = "PATH", value_hint = clap::ValueHint::FilePath)]
    infrared: Option<PathBuf>,
}

impl PlaceArgs {
    /// Fills in what the flags say.
    pub(crate) fn fill(&self, loaded: &Loaded, options: &mut AttachOptions) -> anyhow::Result<()> {
        options.xdp_share = self.xdp_share.map(|priority| XdpShare {
            priority,
            chain: (!self.xdp_chain.is_empty()).then(|| self.xdp_chain.clone()),
        });
        options.order = Order {
            preorder: self.preorder,
            ..Order::from(self.order.unwrap_or_default())
        };
        options.filter = self.filter;
        options.filter_parent = self.block.map(FilterParent::Block);
        options.probe_source = self
            .maxactive
            .map_or(ProbeSource::Auto, ProbeSource::TracefsReturns);
        options.cgroup_mode = self.cgroup_mode.into();
        options.netfilter = self.netfilter;
        options.netns.clone_from(&self.netns);
        options.route = self.route;
        options.infrared.clone_from(&self.infrared);
        if let Some(name) = &self.sockets {
            let map = loaded.map(name).context("--sockets")?;
            options.sockets = Some(map);
        }
        Ok(())
    }
}

/// Reads `pass`, `drop`, …
fn action(text: &str) -> Result<XdpAction, String> {
    XdpAction::from_name(text).ok_or_else(|| "it is aborted, drop, pass, tx or redirect".to_owned())
}
