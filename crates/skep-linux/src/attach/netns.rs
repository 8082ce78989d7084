//! Hooks of a network namespace: `sk_lookup`, `flow_dissector`, by link (5.8).

use skep_abi::AttachType;
use skep_host::{Attachment, LinkTarget, ProgramFd, Result};

use super::Refusal;
use crate::{LinuxHost, link};

pub(super) fn attach(
    host: &LinuxHost,
    program: &ProgramFd,
    netns: i32,
    attach_type: AttachType,
) -> Result<Attachment, Refusal> {
    let request = link::plain(program, LinkTarget::File(netns), attach_type);
    Ok(Attachment::link(link::create_raw(host, &request)?))
}
