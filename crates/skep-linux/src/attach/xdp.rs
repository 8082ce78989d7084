//! Packets as a device receives them: by link (5.9).

use skep_abi::{AttachType, XdpFlags};
use skep_host::{Attachment, LinkTarget, ProgramFd, Result, XdpMode};

use super::Refusal;
use crate::{LinuxHost, link};

pub(super) fn attach(
    host: &LinuxHost,
    program: &ProgramFd,
    ifindex: u32,
    mode: XdpMode,
) -> Result<Attachment, Refusal> {
    let mut request = link::plain(program, LinkTarget::Device(ifindex), AttachType::Xdp);
    request.flags = match mode {
        XdpMode::Auto => XdpFlags::empty(),
        XdpMode::Generic => XdpFlags::SKB_MODE,
        XdpMode::Native => XdpFlags::DRV_MODE,
        XdpMode::Offload => XdpFlags::HW_MODE,
    }
    .bits();
    Ok(Attachment::link(link::create_raw(host, &request)?))
}
