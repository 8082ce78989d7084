//! Netfilter hooks: by link (6.4).

use skep_abi::{AttachType, NetfilterLinkFlags};
use skep_host::{
    Attachment, Cause, Errno, LinkOptions, LinkTarget, NetfilterHook, ProgramFd, Result,
};

use super::Refusal;
use crate::{LinuxHost, link};

pub(super) fn attach(
    host: &LinuxHost,
    program: &ProgramFd,
    hook: &NetfilterHook,
) -> Result<Attachment, Refusal> {
    let mut request = link::plain(program, LinkTarget::None, AttachType::Netfilter);
    request.options = LinkOptions::Netfilter {
        protocol_family: hook.protocol_family,
        hook: hook.hook,
        priority: hook.priority,
        flags: if hook.defragment {
            NetfilterLinkFlags::IP_DEFRAG
        } else {
            NetfilterLinkFlags::empty()
        },
    };
    let link = link::create_raw(host, &request).map_err(|errno| Refusal {
        errno,
        cause: cause(errno, hook),
    })?;
    Ok(Attachment::link(link))
}

fn cause(errno: Errno, hook: &NetfilterHook) -> Option<Cause> {
    match errno {
        Errno::EBUSY => Some(Cause::InUse(format!(
            "another BPF program is on this hook with priority {}",
            hook.priority
        ))),
        Errno::EAFNOSUPPORT => Some(Cause::Other {
            what: format!(
                "there are no such hooks for protocol family {}",
                hook.protocol_family
            ),
            fix: "name NFPROTO_IPV4 (2) or NFPROTO_IPV6 (10)".into(),
        }),
        // The first and last priorities are connection tracking's: reassembly comes before it.
        Errno::ERANGE => Some(Cause::Other {
            what: format!("priority {} is the kernel's own", hook.priority),
            fix: "choose another, and above -400 to have fragments reassembled".into(),
        }),
        _ => None,
    }
}
