//! Packets at the traffic-control hook: by link, in order with others (6.6).

use skep_abi::{AttachFlags, AttachType};
use skep_host::{Attachment, LinkOptions, LinkTarget, Position, ProgramFd, Result, TcxDirection};

use super::Refusal;
use crate::{LinuxHost, link};

pub(super) fn attach(
    host: &LinuxHost,
    program: &ProgramFd,
    ifindex: u32,
    direction: TcxDirection,
    position: Position,
) -> Result<Attachment, Refusal> {
    let attach_type = match direction {
        TcxDirection::Ingress => AttachType::TcxIngress,
        TcxDirection::Egress => AttachType::TcxEgress,
    };
    let mut request = link::plain(program, LinkTarget::Device(ifindex), attach_type);
    (request.flags, request.options) = place(position);
    Ok(Attachment::link(link::create_raw(host, &request)?))
}

/// A position among the programs of a hook, as flags and options of a link.
pub(super) fn place(position: Position) -> (u32, LinkOptions<'static>) {
    let (flags, relative) = match position {
        Position::Last => (AttachFlags::empty(), 0),
        Position::First => (AttachFlags::BEFORE, 0),
        Position::BeforeProgram(id) => (AttachFlags::BEFORE | AttachFlags::ID, id),
        Position::AfterProgram(id) => (AttachFlags::AFTER | AttachFlags::ID, id),
    };
    let options = LinkOptions::Ordered {
        relative,
        expected_revision: 0,
    };
    (flags.bits(), options)
}
