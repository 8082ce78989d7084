//! Hooks that the program's own BTF target names: tp_btf, fentry, fexit, fmod_ret, lsm.

use skep_abi::AttachType;
use skep_host::{Attachment, LinkOptions, LinkTarget, ProgramFd, Result};

use super::Refusal;
use crate::{LinuxHost, link};

pub(super) fn attach(
    host: &LinuxHost,
    program: &ProgramFd,
    attach_type: AttachType,
    cookie: Option<u64>,
) -> Result<Attachment, Refusal> {
    // Without a cookie the command of 5.5 does, and works on every kernel that has the hooks.
    let link = match cookie {
        None | Some(0) => link::raw_tracepoint_raw(host, program, None, 0)?,
        Some(cookie) => {
            let mut request = link::plain(program, LinkTarget::None, attach_type);
            request.options = LinkOptions::Tracing {
                target_btf_id: 0,
                cookie,
            };
            link::create_raw(host, &request)?
        }
    };
    Ok(Attachment::link(link))
}
