//! Packets at the traffic-control hook: by link, in order with others (6.6).

use skep_abi::{AttachFlags, AttachType};
use skep_host::{
    Attachment, LinkOptions, LinkTarget, Order, Position, ProgramFd, Result, TcxDirection,
};

use super::Refusal;
use crate::{LinuxHost, link};

pub(super) fn attach(
    host: &LinuxHost,
    program: &ProgramFd,
    ifindex: u32,
    direction: TcxDirection,
    order: Order,
) -> Result<Attachment, Refusal> {
    let attach_type = match direction {
        TcxDirection::Ingress => AttachType::TcxIngress,
        TcxDirection::Egress => AttachType::TcxEgress,
    };
    let mut request = link::plain(program, LinkTarget::Device(ifindex), attach_type);
    (request.flags, request.options) = place(order);
    Ok(Attachment::link(link::create_raw(host, &request)?))
}

/// A place in the order of a hook, as flags and options of a link.
pub(super) fn place(order: Order) -> (u32, LinkOptions<'static>) {
    let (flags, relative) = flags(order);
    let options = LinkOptions::Ordered {
        relative,
        expected_revision: order.revision,
    };
    (flags.bits(), options)
}

/// A place in the order of a hook, as flags and the id that they speak of.
pub(super) fn flags(order: Order) -> (AttachFlags, u32) {
    let link = AttachFlags::ID | AttachFlags::LINK;
    let (mut flags, relative) = match order.position {
        Position::First => (AttachFlags::BEFORE, 0),
        Position::BeforeProgram(id) => (AttachFlags::BEFORE | AttachFlags::ID, id),
        Position::AfterProgram(id) => (AttachFlags::AFTER | AttachFlags::ID, id),
        Position::BeforeLink(id) => (AttachFlags::BEFORE | link, id),
        Position::AfterLink(id) => (AttachFlags::AFTER | link, id),
        // As the kernel does by itself.
        _ => (AttachFlags::empty(), 0),
    };
    if order.preorder {
        flags |= AttachFlags::PREORDER;
    }
    (flags, relative)
}
