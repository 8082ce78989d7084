//! Packets at the traffic-control hook of kernels before 6.6: a filter (`cls_bpf`, which decides
//! itself: direct action) of the queueing discipline `clsact`, by netlink. Since 4.5.

mod discipline;
mod query;

use skep_host::{
    Attachment, Cause, Detach, Errno, Error, Filter, FilterParent, FilterSlot, Position, ProgramFd,
    Result, TcxDirection,
};

use super::Refusal;
use crate::netlink::{self, Netlink, attribute};

pub(crate) use query::{filters, remove};

const NEW_FILTER: u16 = 44;
const DELETE_FILTER: u16 = 45;

/// `TCA_KIND`, `TCA_OPTIONS`.
const KIND: u16 = 1;
const OPTIONS: u16 = 2;
/// `TCA_BPF_FD`, `TCA_BPF_NAME`, `TCA_BPF_FLAGS`, `TCA_BPF_ID`.
const DESCRIPTOR: u16 = 6;
const NAME: u16 = 7;
const FLAGS: u16 = 8;
const ID: u16 = 11;
/// `TCA_BPF_FLAG_ACT_DIRECT`: what the program returns is what happens.
const DIRECT: u32 = 1;

/// `TC_H_CLSACT`, and its two sides.
const CLSACT: u32 = 0xffff_fff1;
const INGRESS: u32 = 0xffff_fff2;
const EGRESS: u32 = 0xffff_fff3;
/// `TCM_IFINDEX_MAGIC_BLOCK`: in the device's place, it says that a block stands in the parent's.
const BLOCK: u32 = 0xffff_ffff;

/// Packets of all protocols (`ETH_P_ALL`).
const EVERY_PROTOCOL: u16 = 3;

/// Where the first filter goes, if others may come before it and behind it.
const MIDDLE: u16 = 0x8000;

/// Whom the kernel's messages name in a parent's place: a device, or that it is a block, and which.
fn named(parent: FilterParent) -> Result<(u32, u32), Errno> {
    Ok(match parent {
        FilterParent::Device { ifindex, direction } => match direction {
            TcxDirection::Ingress => (ifindex, INGRESS),
            TcxDirection::Egress => (ifindex, EGRESS),
        },
        FilterParent::Block(block) => (BLOCK, block),
        FilterParent::Discipline { ifindex, handle } => (ifindex, handle),
        _ => return Err(Errno::EOPNOTSUPP),
    })
}

/// A `struct tcmsg`.
fn place(ifindex: u32, handle: u32, parent: u32, info: u32) -> Vec<u8> {
    [0, ifindex, handle, parent, info]
        .iter()
        .flat_map(|word| word.to_ne_bytes())
        .collect()
}

/// Priority and protocol, as `tcm_info` has them.
fn info(priority: u16, protocol: u16) -> u32 {
    u32::from(priority) << 16 | u32::from(protocol.to_be())
}

/// What is known of a parent's filters is from before, so that others may come in between: then the
/// kernel refuses all the same, and only the words are lacking.
pub(super) fn attach(
    program: &ProgramFd,
    parent: FilterParent,
    slot: FilterSlot,
) -> Result<Attachment, Refusal> {
    if slot.replace && (slot.priority == 0 || slot.handle == 0) {
        let cause = Cause::Other {
            what: "which filter is to be replaced is said by its priority and its handle".into(),
            fix: "give both, as `tc filter show` and `Host::filters` list them".into(),
        };
        return Err(Refusal::because(Errno::EINVAL, cause));
    }
    let netlink = Netlink::open()?;
    let discipline = match parent {
        FilterParent::Device { ifindex, .. } => Some(discipline::hold(&netlink, ifindex)?),
        _ => None,
    };
    // Dropped, it takes the discipline off again if it was made.
    let mut holder = Holder {
        netlink,
        filter: None,
        discipline,
    };
    let netlink = &holder.netlink;
    let there = query::ask(netlink, parent)?;
    let mut filter = Filter::of(parent);
    filter.handle = slot.handle;
    filter.priority = match slot.priority {
        0 => free_priority(&there, slot.position)?,
        priority => priority,
    };
    let way = match slot.replace {
        true => netlink::REPLACE,
        false => netlink::EXCLUSIVE,
    };
    let made = put(netlink, program, &filter, way).map_err(|errno| {
        match in_the_way(&there, &filter, slot.replace) {
            Some(cause) => Refusal::because(errno, cause),
            None if errno == Errno::ENOENT => {
                Refusal::because(errno, Cause::KernelOption("CONFIG_NET_CLS_BPF"))
            }
            None => no_parent(errno, parent),
        }
    })?;
    holder.filter = Some(made);
    Ok(Attachment::held(Box::new(holder), None))
}

/// The priority of a position: the lower runs earlier.
fn free_priority(there: &[Filter], position: Position) -> Result<u16, Refusal> {
    let priorities = || there.iter().map(|filter| filter.priority);
    let free = match position {
        Position::First => priorities()
            .min()
            .map_or(Some(MIDDLE), |first| first.checked_sub(1)),
        Position::Last => priorities()
            .max()
            .map_or(Some(MIDDLE), |last| last.checked_add(1)),
        _ => {
            let cause = Cause::Other {
                what: "filters of clsact have no place beside a given program".into(),
                fix: "put it first or last, or say its priority; from Linux 6.6 on, attach by tcx"
                    .into(),
            };
            return Err(Refusal::because(Errno::EOPNOTSUPP, cause));
        }
    };
    free.filter(|priority| *priority != 0).ok_or_else(|| {
        let cause = Cause::InUse("a filter of the device has the outermost priority".into());
        Refusal::because(Errno::ENOSPC, cause)
    })
}

/// Makes a filter, and gives it as the kernel made it.
fn put(netlink: &Netlink, program: &ProgramFd, filter: &Filter, way: u16) -> Result<Filter, Errno> {
    let mut options = Vec::new();
    let descriptor = program.raw().cast_unsigned();
    attribute(&mut options, DESCRIPTOR, &descriptor.to_ne_bytes());
    attribute(&mut options, NAME, b"skep\0");
    attribute(&mut options, FLAGS, &DIRECT.to_ne_bytes());
    let (ifindex, parent) = named(filter.parent)?;
    let info = info(filter.priority, EVERY_PROTOCOL);
    let mut body = place(ifindex, filter.handle, parent, info);
    attribute(&mut body, KIND, b"bpf\0");
    attribute(&mut body, OPTIONS, &options);
    let flags = netlink::CREATE | netlink::ECHO | way;
    let answers = netlink.ask(NEW_FILTER, flags, &body)?;
    let mut echoed = answers.iter().filter(|(kind, _)| *kind == NEW_FILTER);
    let made = echoed.find_map(|(_, body)| query::read(filter.parent, body));
    made.ok_or(Errno::EIO)
}

/// Why a parent takes no filters.
fn no_parent(errno: Errno, parent: FilterParent) -> Refusal {
    let (what, fix) = match (parent, errno) {
        (FilterParent::Block(block), Errno::EINVAL) => (
            format!("there is no block {block} of filters in this network namespace"),
            format!(
                "make a device share it: `tc qdisc add dev DEVICE ingress_block {block} clsact`"
            ),
        ),
        (FilterParent::Discipline { .. }, Errno::EINVAL | Errno::ENOENT) => (
            "the device has no such queueing discipline or class, or it takes no filters".into(),
            "list them with `tc qdisc show` and `tc class show`".into(),
        ),
        _ => return errno.into(),
    };
    Refusal::because(errno, Cause::Other { what, fix })
}

/// Which filter has the place that another was to have.
fn in_the_way(there: &[Filter], wanted: &Filter, replace: bool) -> Option<Cause> {
    let mut same = there
        .iter()
        .filter(|filter| filter.priority == wanted.priority);
    let other = same
        .clone()
        .find(|filter| filter.kind != "bpf" || filter.protocol != EVERY_PROTOCOL);
    let priority = wanted.priority;
    if let Some(other) = other {
        return Some(Cause::InUse(format!(
            "priority {priority} has filters `{}` of protocol {:#06x} already, and takes no others: \
             choose another priority",
            other.kind, other.protocol
        )));
    }
    let one = same.find(|filter| filter.handle == wanted.handle)?;
    if replace {
        return None;
    }
    let program = one.program.unwrap_or(0);
    Some(Cause::InUse(format!(
        "priority {priority}, handle {:#x} has the filter `{}` of program {program} already: replace \
         it, or choose another handle (0 for any)",
        one.handle, one.name
    )))
}

/// A filter that is to be taken off by name.
#[derive(Debug)]
struct Holder {
    netlink: Netlink,
    /// `None` once it is taken off.
    filter: Option<Filter>,
    discipline: Option<discipline::Hold>,
}

impl Holder {
    fn take_off(&mut self) -> Result<(), Errno> {
        if let Some(filter) = self.filter.take() {
            // If not, someone else took it off or put another in its place, or the device is gone.
            query::remove_by(&self.netlink, &filter)?;
        }
        match self.discipline.take() {
            Some(discipline) => discipline.release(&self.netlink),
            None => Ok(()),
        }
    }

    fn failed(&self, operation: &'static str, errno: Errno) -> Error {
        let object = match &self.filter {
            Some(filter) => format!("the filter at {}", filter.parent),
            None => "a filter of clsact".into(),
        };
        Error::system(operation, object, errno)
    }
}

impl Detach for Holder {
    fn detach(&mut self) -> Result<()> {
        self.take_off()
            .map_err(|errno| self.failed("detach", errno))
    }

    fn update(&mut self, program: &ProgramFd) -> Result<()> {
        let fail = |errno| self.failed("update", errno);
        let filter = self.filter.as_ref().ok_or_else(|| fail(Errno::ENOENT))?;
        if !query::is_there(&self.netlink, filter).map_err(fail)? {
            let cause = Cause::InUse(
                "the filter is gone, or another program is in its place: attach anew".into(),
            );
            return Err(fail(Errno::ESTALE).because(Some(cause)));
        }
        let made = put(&self.netlink, program, filter, netlink::REPLACE).map_err(fail)?;
        self.filter = Some(made);
        Ok(())
    }

    fn filter(&self) -> Option<&Filter> {
        self.filter.as_ref()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // Nobody is left to tell; `detach` is there for those who ask.
        let _ = self.take_off();
    }
}
