//! Cgroup hooks: by link (5.7), or without one for older kernels and older ways.

use skep_abi::{AttachFlags, AttachType};
use skep_host::{Attachment, CgroupFd, CgroupMode, LinkTarget, ProgramFd, Result};

use super::{Refusal, unlinked};
use crate::{LinuxHost, link};

pub(super) fn attach(
    host: &LinuxHost,
    program: &ProgramFd,
    cgroup: &CgroupFd,
    attach_type: AttachType,
    mode: CgroupMode,
) -> Result<Attachment, Refusal> {
    let flags = match mode {
        CgroupMode::Link => {
            let request = link::plain(program, LinkTarget::Cgroup(cgroup), attach_type);
            return Ok(Attachment::link(link::create_raw(host, &request)?));
        }
        CgroupMode::Multi => AttachFlags::ALLOW_MULTI,
        CgroupMode::Override => AttachFlags::ALLOW_OVERRIDE,
        CgroupMode::Exclusive => AttachFlags::empty(),
    };
    unlinked::attach(program, cgroup.raw(), attach_type, flags)
}
