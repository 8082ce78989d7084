//! Packets of a netkit pair: by link, in order with others (6.7).

use skep_abi::AttachType;
use skep_host::{Attachment, Cause, Errno, LinkTarget, NetkitEnd, Order, ProgramFd, Result};

use super::{Refusal, tcx::place};
use crate::{LinuxHost, link};

pub(super) fn attach(
    host: &LinuxHost,
    program: &ProgramFd,
    ifindex: u32,
    end: NetkitEnd,
    order: Order,
) -> Result<Attachment, Refusal> {
    let attach_type = match end {
        NetkitEnd::Primary => AttachType::NetkitPrimary,
        NetkitEnd::Peer => AttachType::NetkitPeer,
    };
    let mut request = link::plain(program, LinkTarget::Device(ifindex), attach_type);
    (request.flags, request.options) = place(order);
    let link = link::create_raw(host, &request).map_err(|errno| Refusal {
        errno,
        cause: (errno == Errno::ENXIO).then(|| Cause::Other {
            what: format!("device {ifindex} is not the primary device of a netkit pair"),
            fix: "name that one: `ip link add type netkit` makes a pair".into(),
        }),
    })?;
    Ok(Attachment::link(link))
}
