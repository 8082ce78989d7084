//! Packets at the traffic-control hook of kernels before 6.6: a filter (`cls_bpf`, which decides
//! itself: direct action) of the queueing discipline `clsact`, by netlink. Since 4.5.
//!
//! The discipline is made if the device has none, and taken off again with the last filter.

use skep_host::{
    Attachment, Cause, Detach, Errno, Error, Position, ProgramFd, Result, TcxDirection,
};

use super::Refusal;
use crate::netlink::{self, Netlink, attribute, word};

const NEW_DISCIPLINE: u16 = 36;
const DELETE_DISCIPLINE: u16 = 37;
const NEW_FILTER: u16 = 44;
const DELETE_FILTER: u16 = 45;
const ALL_FILTERS: u16 = 46;

/// `TCA_KIND`, `TCA_OPTIONS`.
const KIND: u16 = 1;
const OPTIONS: u16 = 2;
/// `TCA_BPF_FD`, `TCA_BPF_NAME`, `TCA_BPF_FLAGS`.
const DESCRIPTOR: u16 = 6;
const NAME: u16 = 7;
const FLAGS: u16 = 8;
/// `TCA_BPF_FLAG_ACT_DIRECT`: what the program returns is what happens.
const DIRECT: u32 = 1;

/// `TC_H_CLSACT`, and its two sides.
const CLSACT: u32 = 0xffff_fff1;
const INGRESS: u32 = 0xffff_fff2;
const EGRESS: u32 = 0xffff_fff3;
/// The discipline's own handle.
const HANDLE: u32 = 0xffff_0000;

/// Where the first filter goes, if others may come before it and behind it.
const MIDDLE: u32 = 0x8000;

pub(super) fn attach(
    program: &ProgramFd,
    ifindex: u32,
    direction: TcxDirection,
    position: Position,
) -> Result<Attachment, Refusal> {
    let netlink = Netlink::open()?;
    let parent = match direction {
        TcxDirection::Ingress => INGRESS,
        TcxDirection::Egress => EGRESS,
    };
    let mut body = place(ifindex, HANDLE, CLSACT, 0);
    attribute(&mut body, KIND, b"clsact\0");
    let flags = netlink::CREATE | netlink::EXCLUSIVE;
    let made = match netlink.ask(NEW_DISCIPLINE, flags, &body) {
        Ok(_) => true,
        Err(Errno::EEXIST) => false,
        Err(errno) => return Err(lacking(errno, "CONFIG_NET_SCH_INGRESS")),
    };
    let mut filter = Filter {
        netlink,
        ifindex,
        parent,
        handle: 0,
        info: 0,
        made,
        attached: false,
    };
    // Dropped, it takes the discipline off again if it made it.
    filter.info = protocol() | filter.priority(position)? << 16;
    let flags = netlink::CREATE | netlink::EXCLUSIVE | netlink::ECHO;
    let answers = filter
        .put(program, flags)
        .map_err(|errno| lacking(errno, "CONFIG_NET_CLS_BPF"))?;
    let echoed = answers.iter().find(|(kind, _)| *kind == NEW_FILTER);
    let told = echoed.and_then(|(_, body)| Some((word(body, 8)?, word(body, 16)?)));
    filter.attached = true;
    (filter.handle, filter.info) = told.ok_or(Errno::EIO)?;
    Ok(Attachment::held(Box::new(filter), None))
}

fn lacking(errno: Errno, option: &'static str) -> Refusal {
    match errno {
        Errno::ENOENT => Refusal::because(errno, Cause::KernelOption(option)),
        errno => errno.into(),
    }
}

/// A `struct tcmsg`.
fn place(ifindex: u32, handle: u32, parent: u32, info: u32) -> Vec<u8> {
    [0, ifindex, handle, parent, info]
        .iter()
        .flat_map(|word| word.to_ne_bytes())
        .collect()
}

/// Packets of all protocols (`ETH_P_ALL`), as `tcm_info` has it.
const fn protocol() -> u32 {
    3_u16.to_be() as u32
}

/// A filter that is to be taken off by name.
#[derive(Debug)]
struct Filter {
    netlink: Netlink,
    ifindex: u32,
    parent: u32,
    handle: u32,
    /// Priority and protocol.
    info: u32,
    /// The discipline was made for it.
    made: bool,
    attached: bool,
}

impl Filter {
    /// The priorities of the filters of a side.
    fn priorities(&self, parent: u32) -> Result<Vec<u32>, Errno> {
        let body = place(self.ifindex, 0, parent, 0);
        let filters = self.netlink.ask(ALL_FILTERS, netlink::DUMP, &body)?;
        let infos = filters.iter().filter_map(|(_, body)| word(body, 16));
        Ok(infos.map(|info| info >> 16).collect())
    }

    /// The priority of a position: the lower runs earlier.
    fn priority(&self, position: Position) -> Result<u32, Refusal> {
        let there = self.priorities(self.parent)?;
        let (first, last) = (there.iter().min(), there.iter().max());
        let priority = match position {
            Position::First => first.map_or(Some(MIDDLE), |first| first.checked_sub(1)),
            Position::Last => last.map_or(Some(MIDDLE), |last| last.checked_add(1)),
            _ => {
                let cause = Cause::Other {
                    what: "filters of clsact have no place beside a given program".into(),
                    fix: "put it first or last; from Linux 6.6 on, attach by tcx".into(),
                };
                return Err(Refusal::because(Errno::EOPNOTSUPP, cause));
            }
        };
        let within = priority.filter(|priority| (1..=u32::from(u16::MAX)).contains(priority));
        within.ok_or_else(|| {
            let cause = Cause::InUse("a filter of the device has the outermost priority".into());
            Refusal::because(Errno::ENOSPC, cause)
        })
    }

    fn put(&self, program: &ProgramFd, flags: u16) -> Result<Vec<(u16, Vec<u8>)>, Errno> {
        let mut options = Vec::new();
        let descriptor = program.raw().cast_unsigned();
        attribute(&mut options, DESCRIPTOR, &descriptor.to_ne_bytes());
        attribute(&mut options, NAME, b"skep\0");
        attribute(&mut options, FLAGS, &DIRECT.to_ne_bytes());
        let mut body = place(self.ifindex, self.handle, self.parent, self.info);
        attribute(&mut body, KIND, b"bpf\0");
        attribute(&mut body, OPTIONS, &options);
        self.netlink.ask(NEW_FILTER, flags, &body)
    }

    fn take_off(&mut self) -> Result<(), Errno> {
        if std::mem::take(&mut self.attached) {
            let mut body = place(self.ifindex, self.handle, self.parent, self.info);
            attribute(&mut body, KIND, b"bpf\0");
            match self.netlink.ask(DELETE_FILTER, 0, &body) {
                // Someone else took it off, or the device or its discipline is gone.
                Ok(_) | Err(Errno::ENOENT | Errno::ENODEV | Errno::EINVAL) => {}
                Err(errno) => return Err(errno),
            }
        }
        if std::mem::take(&mut self.made) {
            let others = [INGRESS, EGRESS].map(|side| self.priorities(side));
            if others
                .iter()
                .all(|side| side.as_ref().is_ok_and(Vec::is_empty))
            {
                let body = place(self.ifindex, HANDLE, CLSACT, 0);
                match self.netlink.ask(DELETE_DISCIPLINE, 0, &body) {
                    Ok(_) | Err(Errno::ENOENT | Errno::ENODEV | Errno::EINVAL) => {}
                    Err(errno) => return Err(errno),
                }
            }
        }
        Ok(())
    }

    fn failed(&self, operation: &'static str, errno: Errno) -> Error {
        Error::system(
            operation,
            format!("a filter of device {}", self.ifindex),
            errno,
        )
    }
}

impl Detach for Filter {
    fn detach(&mut self) -> Result<()> {
        self.take_off()
            .map_err(|errno| self.failed("detach", errno))
    }

    fn update(&mut self, program: &ProgramFd) -> Result<()> {
        self.put(program, netlink::CREATE | netlink::REPLACE)
            .map(drop)
            .map_err(|errno| self.failed("update", errno))
    }
}

impl Drop for Filter {
    fn drop(&mut self) {
        // Nobody is left to tell; `detach` is there for those who ask.
        let _ = self.take_off();
    }
}
