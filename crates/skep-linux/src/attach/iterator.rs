//! Iterators: a link that is opened as often as wanted.

use skep_abi::AttachType;
use skep_host::{Attachment, IterTarget, LinkOptions, LinkTarget, ProgramFd, Result};

use super::Refusal;
use crate::{LinuxHost, link};

pub(super) fn attach(
    host: &LinuxHost,
    program: &ProgramFd,
    target: IterTarget<'_>,
) -> Result<Attachment, Refusal> {
    let mut request = link::plain(program, LinkTarget::None, AttachType::TraceIter);
    request.options = LinkOptions::Iterator(target);
    Ok(Attachment::link(link::create_raw(host, &request)?))
}
