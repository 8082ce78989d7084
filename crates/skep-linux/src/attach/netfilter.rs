//! Netfilter hooks: by link (6.4).

use skep_abi::{AttachType, NetfilterLinkFlags};
use skep_host::{
    Attachment, Cause, Errno, Host, LinkDetails, LinkInfo, LinkOptions, LinkTarget, NetfilterHook,
    ProgramFd, Result,
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
        cause: cause(host, errno, hook),
    })?;
    Ok(Attachment::link(link))
}

fn cause(host: &LinuxHost, errno: Errno, hook: &NetfilterHook) -> Option<Cause> {
    match errno {
        Errno::EBUSY => Some(Cause::InUse(format!(
            "another BPF program is on this hook with priority {}{}",
            hook.priority,
            in_the_way(host, hook).unwrap_or_default()
        ))),
        Errno::ENOENT if hook.defragment => {
            let module = match hook.protocol_family {
                10 => "nf_defrag_ipv6",
                _ => "nf_defrag_ipv4",
            };
            Some(Cause::Other {
                what: format!("the kernel's module {module} is not there"),
                fix: format!("load it: `modprobe {module}`"),
            })
        }
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

/// Who is there. Links don't say of which namespace they are: it may be another's, where several
/// have the same.
fn in_the_way(host: &LinuxHost, hook: &NetfilterHook) -> Option<String> {
    let same = |info: &LinkInfo| {
        matches!(info.details, LinkDetails::Netfilter { protocol_family, hook: number, priority, .. }
            if (protocol_family, number, priority)
                == (hook.protocol_family, hook.hook, hook.priority))
    };
    let (info, _) = LinkInfo::find(host, same).ok()??;
    let program = host.prog_by_id(info.program_id).ok()??;
    let name = host.prog_info(&program).ok()?.name;
    Some(format!(
        " (`{name}`, id {}, by link {})",
        info.program_id, info.id
    ))
}
