//! What became of packets: an outcome each, verdicts by program, faults.

use std::{borrow::Cow, fmt};

use skep_abi::ProgramType;

use crate::Fault;

/// What became of a packet. Every packet has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// All programs let it pass, to whoever it is for.
    Passed,
    /// It was sent out of a device.
    Sent,
    /// A program dropped it, or wanted it sent to where nothing is.
    Dropped,
    /// It was given to what the machine does not have: a socket of AF_XDP, the peer of a device.
    Elsewhere,
    /// A program did wrong, and the packet was dropped.
    Faulted,
    /// It is no packet that a device can have: too short for a link-layer header, or longer than
    /// packets are. No program saw it.
    Unusable,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Passed,
        Self::Sent,
        Self::Dropped,
        Self::Elsewhere,
        Self::Faulted,
        Self::Unusable,
    ];

    /// Its name, in small letters.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Sent => "sent",
            Self::Dropped => "dropped",
            Self::Elsewhere => "elsewhere",
            Self::Faulted => "faulted",
            Self::Unusable => "unusable",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where on a packet's way a program is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum PacketHook {
    /// First of all, as the device receives.
    Xdp,
    /// In an entry of a device map: what is sent there.
    Devmap,
    /// In an entry of a CPU map: what goes on there.
    Cpumap,
    /// At a packet socket.
    Socket,
    /// Traffic control, of what is received.
    Ingress,
    /// Traffic control, of what is sent.
    Egress,
    /// At sockets of a cgroup, which receive.
    CgroupIngress,
    /// At sockets of a cgroup, which send.
    CgroupEgress,
}

impl PacketHook {
    fn program_type(self) -> ProgramType {
        match self {
            Self::Xdp | Self::Devmap | Self::Cpumap => ProgramType::Xdp,
            Self::Socket => ProgramType::SocketFilter,
            Self::Ingress | Self::Egress => ProgramType::SchedCls,
            Self::CgroupIngress | Self::CgroupEgress => ProgramType::CgroupSkb,
        }
    }

    /// The name of a value that programs return here; for socket filters, of what they did.
    fn verdict(self, value: i32) -> Option<&'static str> {
        match (self, value) {
            (Self::Socket, DROPPED) => Some("dropped"),
            (Self::Socket, WHOLE) => Some("kept whole"),
            (Self::Socket, CUT) => Some("kept cut"),
            (Self::CgroupIngress | Self::CgroupEgress, 0) => Some("deny"),
            (Self::CgroupIngress | Self::CgroupEgress, 1) => Some("allow"),
            (Self::CgroupEgress, 2) => Some("deny, congested"),
            (Self::CgroupEgress, 3) => Some("allow, congested"),
            _ => self.program_type().return_code_name(value),
        }
    }
}

impl fmt::Display for PacketHook {
    /// As sections are called.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Xdp => "xdp",
            Self::Devmap => "xdp/devmap",
            Self::Cpumap => "xdp/cpumap",
            Self::Socket => "socket",
            Self::Ingress => "tcx/ingress",
            Self::Egress => "tcx/egress",
            Self::CgroupIngress => "cgroup_skb/ingress",
            Self::CgroupEgress => "cgroup_skb/egress",
        })
    }
}

/// What socket filters did, in the place of the length that they return.
pub(super) const DROPPED: i32 = 0;
pub(super) const WHOLE: i32 = 1;
pub(super) const CUT: i32 = 2;

/// Verdicts of a program, counted.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    /// Of -1 and what follows.
    small: [u64; 16],
    other: u64,
    pub(super) faults: u64,
}

impl Counts {
    #[inline]
    pub(super) fn add(&mut self, value: u32) {
        match self.small.get_mut(value.wrapping_add(1) as usize) {
            Some(count) => *count += 1,
            None => self.other += 1,
        }
    }

    pub(super) fn report(&self, program: &str, id: u32, hook: PacketHook) -> ProgramVerdicts {
        let mut verdicts: Vec<Counted> = Vec::new();
        for (at, count) in self
            .small
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0)
        {
            let value = at as i32 - 1;
            verdicts.push(Counted {
                value: Some(value),
                name: match hook.verdict(value) {
                    Some(name) => Cow::Borrowed(name),
                    None => Cow::Owned(value.to_string()),
                },
                count: *count,
            });
        }
        if self.other > 0 {
            verdicts.push(Counted {
                value: None,
                name: Cow::Borrowed("other values"),
                count: self.other,
            });
        }
        ProgramVerdicts {
            program: program.to_owned(),
            id,
            hook,
            verdicts,
            faults: self.faults,
        }
    }
}

/// What a program at a hook has decided.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProgramVerdicts {
    /// Its name.
    pub program: String,
    /// Its id.
    pub id: u32,
    /// Where it is.
    pub hook: PacketHook,
    /// How often it returned what.
    pub verdicts: Vec<Counted>,
    /// How often it did wrong.
    pub faults: u64,
}

/// A verdict, counted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counted {
    /// What the program returned: 0 for what a socket filter dropped, 1 for what it kept whole, 2
    /// for what it cut. `None`: all values without a name and above 14 together.
    pub value: Option<i32>,
    /// The kernel's name of it.
    pub name: Cow<'static, str>,
    /// How often.
    pub count: u64,
}

/// A program's fault on a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PacketFault {
    /// The packet's number, from 1 on.
    pub packet: u64,
    /// Where the program was.
    pub hook: PacketHook,
    /// What it did.
    pub fault: Fault,
}

/// The faults that are kept whole.
pub(super) const FAULTS: usize = 16;

/// What became of packets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Packets.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Outcomes, in the order of [`Outcome::ALL`]: one of each packet.
    pub outcomes: [u64; 6],
    /// Programs that saw packets, in the order of a packet's way.
    pub programs: Vec<ProgramVerdicts>,
    /// The first faults.
    pub faults: Vec<PacketFault>,
    /// Packets of which the capture had not all.
    pub cut: u64,
    /// Packets that got a link-layer header made up, since they were captured without.
    pub made_up: u64,
    /// Packets that were captured before the one before them: the clock does not go back.
    pub backwards: u64,
    /// Copies that programs sent (`bpf_clone_redirect`, `BPF_F_BROADCAST`), beside the packets'
    /// outcomes.
    pub copies: u64,
    /// Packets and copies that were sent around in circles, and dropped.
    pub loops: u64,
}

impl Report {
    /// How many packets had this outcome.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome as usize]
    }

    /// The sum of a verdict over all programs at a hook, by its name.
    #[must_use]
    pub fn verdicts(&self, hook: PacketHook, name: &str) -> u64 {
        let programs = self.programs.iter().filter(|program| program.hook == hook);
        let verdicts = programs.flat_map(|program| &program.verdicts);
        verdicts
            .filter(|verdict| verdict.name == name)
            .map(|verdict| verdict.count)
            .sum()
    }

    /// Adds what became of later packets.
    pub fn add(&mut self, later: Self) {
        for fault in later.faults {
            if self.faults.len() < FAULTS {
                let packet = self.packets + fault.packet;
                self.faults.push(PacketFault { packet, ..fault });
            }
        }
        self.packets += later.packets;
        self.bytes += later.bytes;
        self.cut += later.cut;
        self.made_up += later.made_up;
        self.backwards += later.backwards;
        self.copies += later.copies;
        self.loops += later.loops;
        for (sum, count) in self.outcomes.iter_mut().zip(later.outcomes) {
            *sum += count;
        }
        for program in later.programs {
            let mut known = self.programs.iter_mut();
            match known.find(|known| (known.id, known.hook) == (program.id, program.hook)) {
                Some(known) => known.add(program),
                None => self.programs.push(program),
            }
        }
    }
}

impl ProgramVerdicts {
    fn add(&mut self, later: Self) {
        self.faults += later.faults;
        for verdict in later.verdicts {
            let mut known = self.verdicts.iter_mut();
            match known.find(|known| known.value == verdict.value) {
                Some(known) => known.count += verdict.count,
                None => self.verdicts.push(verdict),
            }
        }
    }
}
