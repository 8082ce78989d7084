//! Verdicts on the sockets of a map: by link (6.10), or without one.

use skep_abi::{AttachFlags, AttachType, LinkType};
use skep_host::{Attachment, LinkTarget, MapFd, ProgramFd, Result};

use super::{Refusal, unlinked};
use crate::{LinuxHost, link};

pub(super) fn attach(
    host: &LinuxHost,
    program: &ProgramFd,
    map: &MapFd,
    attach_type: AttachType,
) -> Result<Attachment, Refusal> {
    if host.version() < LinkType::Sockmap.since() {
        return Ok(unlinked::attach(
            program,
            map.raw(),
            attach_type,
            AttachFlags::empty(),
        )?);
    }
    let request = link::plain(program, LinkTarget::Map(map), attach_type);
    Ok(Attachment::link(link::create_raw(host, &request)?))
}
