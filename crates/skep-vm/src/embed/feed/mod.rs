//! Packets that come to a device of the machine, through all that is attached there, in the
//! kernel's order and with the kernel's rules.

mod capture;
mod forward;
mod path;
mod report;

use std::{fmt, sync::Arc};

use skep_abi::{AttachType, Command};
use skep_host::{Errno, Error, Result};

use super::{Frame, Packets};
use crate::{
    Vm,
    machine::{Attached, HookKey},
    program::Program,
    run::{Cpu, Run, packet::Sent},
    vm::Shared,
};

use report::Counts;
pub use report::{Counted, Outcome, PacketFault, PacketHook, ProgramVerdicts, Report};

/// Which way packets go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Way {
    /// They are received; but sent where programs are attached to hooks of sending alone.
    #[default]
    Auto,
    /// The device receives them.
    Received,
    /// The machine sends them by the device.
    Sent,
}

/// How packets are fed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FeedOptions {
    /// The device, by its index.
    pub ifindex: u32,
    /// Which way packets go.
    pub way: Way,
    /// The cgroup whose sockets packets are for, or come from.
    pub cgroup: std::path::PathBuf,
    /// A manual clock of the machine ([`Clock::manual`](crate::Clock::manual)) is moved to each
    /// packet's timestamp before its programs run: they are told the capture's time, and runs give
    /// the same every time. Real clocks go their own way.
    pub clock_follows: bool,
    /// [`Feed::outputs`] has what leaves.
    pub keep_outputs: bool,
}

impl FeedOptions {
    /// By this device; the root cgroup; the clock follows.
    #[must_use]
    pub fn new(ifindex: u32) -> Self {
        Self {
            ifindex,
            way: Way::Auto,
            cgroup: "/".into(),
            clock_follows: true,
            keep_outputs: false,
        }
    }
}

/// A packet that leaves what programs have made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Output<'a> {
    /// The frame, from its link-layer header on.
    pub bytes: &'a [u8],
    /// The device that sends it; `None`: it passes, to whoever it is for.
    pub device: Option<u32>,
    /// How many bytes it had before a socket filter, or the capture, cut it.
    pub original_len: u32,
}

/// A device that packets come to. Made by [`Vm::feed`].
pub struct Feed<'r> {
    vm: &'r Shared,
    cpu: &'r Cpu<'r>,
    options: FeedOptions,
    /// Packets are sent, not received.
    sends: bool,
    lines: Vec<Line<'r>>,
    sockets: Vec<Stage<'r>>,
    cgroup_ingress: Vec<Stage<'r>>,
    cgroup_egress: Vec<Stage<'r>>,
    /// Programs of maps' entries that have run.
    of_maps: Vec<(Arc<Program>, PacketHook, Counts)>,
    /// A run that only looks at packets. None: there are no programs.
    ground: Option<Run<'r>>,
    report: Report,
    outputs: Outputs,
    /// Copies that are still to be sent.
    copies: Vec<Sent>,
    /// Where a frame is kept that begins anew at another device.
    kept: Vec<u8>,
    /// How often the packet has gone on to a device.
    hops: u32,
}

/// A device, with the programs on it.
struct Line<'r> {
    ifindex: u32,
    mac: [u8; 6],
    mtu: u32,
    up: bool,
    xdp: Option<Stage<'r>>,
    ingress: Vec<Stage<'r>>,
    egress: Vec<Stage<'r>>,
}

/// A program on the way.
struct Stage<'r> {
    packets: Packets<'r>,
    entry: &'r Attached,
    hook: PacketHook,
    counts: Counts,
}

/// What leaves, in buffers that are kept for the next packet.
#[derive(Debug, Default)]
struct Outputs {
    all: Vec<Kept>,
    used: usize,
}

#[derive(Debug, Default)]
struct Kept {
    bytes: Vec<u8>,
    device: Option<u32>,
    original_len: u32,
}

/// The programs on hooks, as they are when a feed begins.
struct Attachments {
    lines: Vec<(crate::Device, [Vec<Attached>; 3])>,
    sockets: Vec<Attached>,
    cgroup_ingress: Vec<Attached>,
    cgroup_egress: Vec<Attached>,
}

impl Attachments {
    fn now(vm: &Shared, options: &FeedOptions) -> std::result::Result<Self, Errno> {
        let net = vm.net.now();
        net.device(options.ifindex).ok_or(Errno::ENODEV)?;
        let cgroup = vm.cgroups.find(&options.cgroup).ok_or(Errno::ENOENT)?;
        let programs = |key| {
            let programs = vm.hooks.programs(&key);
            programs.map_or_else(Vec::new, |programs| programs.list.clone())
        };
        let lines = net.network.devices.iter().map(|device| {
            let ifindex = device.ifindex;
            let on = |attach| programs(HookKey::Device { ifindex, attach });
            let stages = [
                programs(HookKey::Xdp { ifindex }),
                on(AttachType::TcxIngress),
                on(AttachType::TcxEgress),
            ];
            (device.clone(), stages)
        });
        Ok(Self {
            lines: lines.collect(),
            sockets: vm.hooks.of_sockets(),
            cgroup_ingress: vm.hooks.effective(&cgroup, AttachType::CgroupInetIngress),
            cgroup_egress: vm.hooks.effective(&cgroup, AttachType::CgroupInetEgress),
        })
    }

    /// Whether packets are sent, and not received.
    fn send(&self, options: &FeedOptions) -> bool {
        let mut lines = self.lines.iter();
        let line = lines.find(|(device, _)| device.ifindex == options.ifindex);
        let stages = line.map(|(_, stages)| stages);
        let any = |of: usize| stages.is_some_and(|stages| !stages[of].is_empty());
        match options.way {
            Way::Received => false,
            Way::Sent => true,
            Way::Auto => {
                let receive = any(0) || any(1) || !self.cgroup_ingress.is_empty();
                let send = any(2) || !self.cgroup_egress.is_empty();
                send && !receive && self.sockets.is_empty()
            }
        }
    }
}

impl Vm {
    /// Lends a device of the machine to `body`, which feeds it packets: each goes through what is
    /// attached as this begins, on one virtual CPU.
    ///
    /// A packet that is *received* comes to the device's XDP program, then as an `sk_buff` to
    /// packet sockets (all sockets that filters are attached to), the programs of tcx/ingress in
    /// their order, and if it is one of IP, to those of `cgroup_skb/ingress`: as if a socket of
    /// the cgroup waited for each. One that is *sent* goes through `cgroup_skb/egress`, tcx/egress
    /// and packet sockets. What programs do with it is the kernel's:
    ///
    /// - XDP: metadata stays for tcx; `XDP_TX` and redirects leave without tcx/egress; programs in
    ///   entries of device and CPU maps run, the latter on this CPU. Native and generic mode are
    ///   alike here.
    /// - tcx: `TC_ACT_UNSPEC` goes on to the next program, `TC_ACT_SHOT` drops, what else has no
    ///   meaning for tcx passes. A redirect goes through the other device's egress, or with
    ///   `BPF_F_INGRESS` begins anew there. VLAN tags are beside the packet, not in it.
    /// - cgroup: all programs run, and one that denies is enough.
    /// - socket filters see the packet from its link-layer header on, and get a copy: the packet
    ///   goes on whatever they say. One that passes in the end counts as dropped if there are
    ///   filters and none of them keeps it.
    ///
    /// What can't go on is dropped, and so is what a program does wrong with.
    ///
    /// Where this differs from the kernel: copies of `bpf_clone_redirect` go their way after the
    /// packet; IP checks no checksums; a redirect to a peer is [`Outcome::Elsewhere`].
    ///
    /// ```
    /// use skep_abi::ProgramType;
    /// use skep_host::{AttachPoint, Host, ProgramLoad, XdpMode};
    /// use skep_isa::{Endian, assemble, encode_slots};
    /// use skep_vm::{Frame, Vm, feed::{FeedOptions, Outcome}};
    ///
    /// let vm = Vm::new()?;
    /// // XDP_DROP for all.
    /// let code = encode_slots(&assemble("r0 = 1\nexit")?, Endian::NATIVE);
    /// let program = vm.prog_load(&ProgramLoad::new(ProgramType::Xdp, "none", &code))?.fd;
    /// let lo = AttachPoint::Xdp { ifindex: 1, mode: XdpMode::Auto };
    /// let _link = vm.attach("none", &program, ProgramType::Xdp, &lo)?;
    /// let report = vm.feed(&FeedOptions::new(1), |feed| {
    ///     assert_eq!(feed.packet(&Frame::new(&[0; 60])), Outcome::Dropped);
    ///     feed.report()
    /// })?;
    /// assert_eq!(report.programs[0].verdicts[0].name, "XDP_DROP");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// There is no such device (`ENODEV`) or cgroup (`ENOENT`); no memory.
    pub fn feed<T>(
        &self,
        options: &FeedOptions,
        body: impl FnOnce(&mut Feed<'_>) -> T,
    ) -> Result<T> {
        let failed = |errno| {
            let what = format!("device {}", options.ifindex);
            Error::command(Command::ProgTestRun, what, errno)
        };
        let attached = Attachments::now(&self.0, options).map_err(failed)?;
        let cpu = self.0.cpus.take(None).map_err(failed)?;
        let stages = |list, hook| Stage::all(&self.0, &cpu, list, hook);
        let lines = attached
            .lines
            .iter()
            .map(|(device, [xdp, ingress, egress])| Line {
                ifindex: device.ifindex,
                mac: device.mac,
                mtu: device.mtu,
                up: device.up,
                xdp: stages(xdp, PacketHook::Xdp).into_iter().next(),
                ingress: stages(ingress, PacketHook::Ingress),
                egress: stages(egress, PacketHook::Egress),
            });
        let of_lines = attached
            .lines
            .iter()
            .flat_map(|(_, stages)| stages.iter().flatten());
        let beside = [
            &attached.sockets,
            &attached.cgroup_ingress,
            &attached.cgroup_egress,
        ];
        let any = of_lines.chain(beside.into_iter().flatten()).next();
        let ground = any.map(|entry| {
            Run::new(
                &self.0,
                &entry.program,
                cpu.id(),
                cpu.scratch(),
                self.0.limits,
            )
        });
        let mut feed = Feed {
            vm: &self.0,
            cpu: &cpu,
            sends: attached.send(options),
            options: options.clone(),
            lines: lines.collect(),
            sockets: stages(&attached.sockets, PacketHook::Socket),
            cgroup_ingress: stages(&attached.cgroup_ingress, PacketHook::CgroupIngress),
            cgroup_egress: stages(&attached.cgroup_egress, PacketHook::CgroupEgress),
            of_maps: Vec::new(),
            ground,
            report: Report::default(),
            outputs: Outputs::default(),
            copies: Vec::new(),
            kept: Vec::new(),
            hops: 0,
        };
        Ok(body(&mut feed))
    }
}

impl<'r> Stage<'r> {
    fn all(vm: &'r Shared, cpu: &'r Cpu<'_>, list: &'r [Attached], hook: PacketHook) -> Vec<Self> {
        let stages = list.iter().map(|entry| {
            let packets = Packets::of(vm, &entry.program, cpu);
            packets.inner().current.cookie.set(entry.cookie);
            Self {
                packets,
                entry,
                hook,
                counts: Counts::default(),
            }
        });
        stages.collect()
    }
}

impl Feed<'_> {
    /// Feeds a packet, and says what became of it.
    pub fn packet(&mut self, frame: &Frame<'_>) -> Outcome {
        self.outputs.used = 0;
        self.hops = 0;
        self.report.packets += 1;
        self.report.bytes += frame.bytes.len() as u64;
        let outcome = self.whole_way(frame);
        self.report.outcomes[outcome as usize] += 1;
        outcome
    }

    /// What left of the last packet, where [`FeedOptions::keep_outputs`] asks for it: the packet
    /// itself if it passed or was sent, as the last program left it, and its copies.
    pub fn outputs(&self) -> impl Iterator<Item = Output<'_>> {
        let used = self.outputs.all.iter().take(self.outputs.used);
        used.map(|kept| Output {
            bytes: &kept.bytes,
            device: kept.device,
            original_len: kept.original_len,
        })
    }

    /// What became of all packets so far.
    #[must_use]
    pub fn report(&self) -> Report {
        let lines = self.lines.iter();
        let received = lines.clone().flat_map(|line| &line.xdp);
        let ingress = lines.clone().flat_map(|line| &line.ingress);
        let egress = lines.flat_map(|line| &line.egress);
        let stages = received
            .chain(&self.sockets)
            .chain(ingress)
            .chain(&self.cgroup_ingress)
            .chain(&self.cgroup_egress)
            .chain(egress);
        let mut report = Report::default();
        let of_stages = stages.map(|stage| {
            let program = &stage.entry.program;
            stage.counts.report(&program.name, program.id, stage.hook)
        });
        let of_maps = self.of_maps.iter();
        let of_maps =
            of_maps.map(|(program, hook, counts)| counts.report(&program.name, program.id, *hook));
        report.programs = of_stages.chain(of_maps).collect();
        // A program on several devices is one program; and what is counted beside is added once.
        let mut all = self.report.clone();
        all.add(report);
        all
    }
}

impl fmt::Debug for Feed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Feed({} packets)", self.report.packets)
    }
}
