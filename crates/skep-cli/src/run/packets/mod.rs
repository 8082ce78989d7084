//! Runs over packets: those of a capture (`--pcap`), or those of a command in a network of its own
//! (`--tap`). The virtual machine has one device for them, to which all programs are attached.

mod pcap;
mod tap;
mod verdicts;

use std::path::PathBuf;

use clap::Args;
use skep::{
    AttachOptions, Link, Loaded, Object,
    abi::{MapType, ProgramType},
    boundary::Error,
    vm::{Clock, Config, Device, Network, Vm, feed::FeedOptions},
};

use super::{RunArgs, stop::Stop, workload::Workload};
use crate::exit::Usage;
pub(crate) use tap::{NETWORKED, become_networked};

/// Where packets come from and go to.
#[derive(Debug, Args)]
pub(crate) struct PacketArgs {
    /// Run the packets of FILE through the programs, in the virtual machine
    ///
    /// A pcap or pcapng file, or - for standard input. Programs of xdp, tc, tcx, cgroup_skb and
    /// socket sections are attached to the machine's one device, which receives each packet, in
    /// the kernel's order; where all of them are hooks of sending (tcx/egress, cgroup_skb/egress),
    /// it sends it. The clock that programs read is the capture's. At the end verdicts are
    /// printed.
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub(crate) pcap: Option<PathBuf>,

    /// Write the packets that are let pass or sent to FILE
    ///
    /// As the last program has left them, in their order, with the time that they came at: those
    /// that all programs let pass, and those that a program or the device sends (XDP_TX,
    /// redirects, bpf_clone_redirect). Where there are socket filters, as much as the one keeps
    /// that keeps most. The name says the format (.pcap, .pcapng), or else it is the input's.
    #[arg(long, value_name = "FILE", requires = "pcap", value_hint = clap::ValueHint::FilePath)]
    pub(crate) out: Option<PathBuf>,

    /// Run CMD in a network of its own, whose packets the programs get, in the virtual machine
    ///
    /// As --pcap, but the packets are those that CMD sends by the device NAME, its only one beside
    /// lo; what programs send there (XDP_TX, redirects) it receives. It takes no privileges, where
    /// users may make user namespaces and open /dev/net/tun: CMD is root in a namespace of its
    /// own. It ends with the run, and its exit status is the run's. The device speaks IPv4 alone.
    #[arg(
        long,
        value_name = "NAME",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "tap0",
        conflicts_with = "pcap"
    )]
    pub(crate) tap: Option<String>,

    /// The address of --tap's device, and the bits of its network
    #[arg(
        long,
        value_name = "ADDRESS/BITS",
        default_value = "10.7.0.1/24",
        requires = "tap"
    )]
    pub(crate) tap_address: tap::Address,
}

impl PacketArgs {
    /// The flag that says where packets come from.
    pub(crate) fn asked(&self) -> Option<&'static str> {
        let pcap = self.pcap.as_ref().map(|_| "--pcap");
        pcap.or(self.tap.as_ref().map(|_| "--tap"))
    }

    /// The machine that it takes.
    pub(crate) fn configure(&self, config: &mut Config) {
        if self.pcap.is_some() {
            config.clock = Clock::manual(std::time::Duration::ZERO);
        }
    }
}

/// The machine's device: its index, behind `lo`, its name and address.
const DEVICE: u32 = 2;
const NAME: &str = "eth0";
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// Any number: the machine's sockets are not this process's.
const SOCKET: i32 = 0;

/// Gives the machine its device.
pub(crate) fn prepare(args: &RunArgs, vm: &Vm) -> Result<(), Error> {
    let mut network = Network::default();
    let name = args.device.as_deref().unwrap_or(NAME);
    if name != "lo" {
        network.devices.push(Device::new(DEVICE, name, MAC));
    }
    if let Some(cgroup) = &args.cgroup {
        vm.make_cgroup(cgroup);
    }
    let set = vm.set_network(network);
    set.map_err(|errno| Error::system("make", "a network", errno))
}

/// How the machine is fed.
fn feed_options(args: &RunArgs) -> FeedOptions {
    let device = match args.device.as_deref() {
        Some("lo") => 1,
        _ => DEVICE,
    };
    let mut options = FeedOptions::new(device);
    if let Some(cgroup) = &args.cgroup {
        options.cgroup = cgroup.clone();
    }
    options
}

/// The run over packets.
pub(crate) fn of(
    args: &RunArgs,
    vm: &Vm,
    object: &Object,
    stop: &Stop,
) -> anyhow::Result<Box<dyn Workload>> {
    let asked = args.packets.asked().unwrap_or_default();
    let beside = [
        (args.pid.is_some(), "-p"),
        (
            args.packets.pcap.is_some() && !args.command.is_empty(),
            "a command",
        ),
    ];
    if let Some((_, what)) = beside.iter().find(|(given, _)| *given) {
        return Err(Usage(format!(
            "{asked} and {what}: packets have no process; leave one out"
        ))
        .into());
    }
    if !object
        .chosen_programs()
        .any(|program| has_packets(program.program_type()))
    {
        return Err(Usage(format!(
            "{asked}: none of these programs sees packets; those of xdp, tc, tcx, cgroup_skb and \
             socket sections do"
        ))
        .into());
    }
    match args.packets.pcap {
        Some(_) => pcap::of(args, vm),
        None => tap::of(args, vm, stop),
    }
}

fn has_packets(program_type: ProgramType) -> bool {
    matches!(
        program_type,
        ProgramType::Xdp
            | ProgramType::SchedCls
            | ProgramType::SchedAct
            | ProgramType::CgroupSkb
            | ProgramType::SocketFilter
    )
}

/// Where programs are attached.
struct Places {
    device: String,
    cgroup: PathBuf,
}

impl Places {
    fn of(args: &RunArgs) -> Self {
        Self {
            device: args.device.clone().unwrap_or_else(|| NAME.to_owned()),
            cgroup: args.cgroup.clone().unwrap_or_else(|| "/".into()),
        }
    }

    /// Attaches all programs to what the machine has.
    fn attach(&self, loaded: &Loaded, options: &AttachOptions) -> anyhow::Result<Vec<Link>> {
        let options = AttachOptions {
            device: Some(self.device.clone()),
            cgroup: Some(self.cgroup.clone()),
            socket: Some(SOCKET),
            ..options.clone()
        };
        Ok(loaded.attach_all_with(&options)?)
    }
}

/// How many packets are fed between two looks at what programs have sent: as many as rings surely
/// have room for if each packet sends a record of middle length.
fn batch(loaded: &Loaded) -> u64 {
    /// Bytes of a record, its header too, and packets where nothing is sent.
    const RECORD: u64 = 256;
    const MOST: u64 = 1 << 16;
    /// What a perf buffer has if nobody says more.
    const PERF: u64 = 64 * 4096;
    let rings = loaded.maps().iter().filter_map(|map| match map.map_type() {
        Some(MapType::Ringbuf) => Some(u64::from(map.max_entries())),
        Some(MapType::PerfEventArray) => Some(PERF),
        _ => None,
    });
    rings
        .min()
        .map_or(MOST, |bytes| (bytes / RECORD).clamp(1, MOST))
}
