//! Hooks that the program's own BTF target names: tp_btf, fentry, fexit, fmod_ret, lsm; and
//! functions of other programs (freplace).

use skep_abi::AttachType;
use skep_host::{Attachment, Cause, Errno, LinkOptions, LinkTarget, ProgramFd, Result};

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

/// Takes a function's place: of the program that this one was loaded for, or of another one.
pub(super) fn replace(
    host: &LinuxHost,
    program: &ProgramFd,
    elsewhere: Option<(&ProgramFd, u32)>,
    cookie: Option<u64>,
) -> Result<Attachment, Refusal> {
    let made = match (elsewhere, cookie) {
        (None, None | Some(0)) => link::raw_tracepoint_raw(host, program, None, 0),
        _ => {
            let target =
                elsewhere.map_or(LinkTarget::None, |(other, _)| LinkTarget::File(other.raw()));
            let mut request = link::plain(program, target, AttachType::CgroupInetIngress);
            request.options = LinkOptions::Tracing {
                target_btf_id: elsewhere.map_or(0, |(_, function)| function),
                cookie: cookie.unwrap_or(0),
            };
            link::create_raw(host, &request)
        }
    };
    match made {
        Ok(link) => Ok(Attachment::link(link)),
        Err(errno) => Err(Refusal {
            errno,
            cause: replace_cause(errno, elsewhere.is_some()),
        }),
    }
}

fn replace_cause(errno: Errno, elsewhere: bool) -> Option<Cause> {
    match errno {
        Errno::EBUSY => Some(Cause::InUse(
            "another program has the function's place already, or traces it".into(),
        )),
        // Once its link is gone, the kernel has let go of the program that it was loaded for.
        Errno::ENOENT if !elsewhere => Some(Cause::Other {
            what: "it was attached before, and programs of freplace keep no place beyond that"
                .into(),
            fix: "load it again, or say the place anew (`Program::replace`)".into(),
        }),
        Errno::EINVAL if elsewhere => Some(Cause::Other {
            what:
                "the function there has other arguments than the one that the program was loaded \
                   for, or its program is of another type"
                    .into(),
            fix: "load the program for that one (`Object::attach_to_program`)".into(),
        }),
        _ => None,
    }
}
