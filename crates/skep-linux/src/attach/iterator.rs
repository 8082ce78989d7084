//! Iterators: a link that is opened as often as wanted.

use skep_abi::{AttachType, KernelVersion};
use skep_host::{Attachment, Cause, Errno, IterTarget, LinkOptions, LinkTarget, ProgramFd, Result};

use super::Refusal;
use crate::{LinuxHost, cause, link};

/// The kernel whose iterators take tasks and cgroups.
const PARAMETERS: KernelVersion = KernelVersion::new(6, 1);

pub(super) fn attach(
    host: &LinuxHost,
    program: &ProgramFd,
    target: IterTarget<'_>,
) -> Result<Attachment, Refusal> {
    let mut request = link::plain(program, LinkTarget::None, AttachType::TraceIter);
    request.options = LinkOptions::Iterator(target);
    let link = link::create_raw(host, &request).map_err(|errno| Refusal {
        errno,
        cause: why(host, errno, target),
    })?;
    Ok(Attachment::link(link))
}

fn why(host: &LinuxHost, errno: Errno, target: IterTarget<'_>) -> Option<Cause> {
    let other = |what: String, fix: &str| {
        Some(Cause::Other {
            what,
            fix: fix.into(),
        })
    };
    let old = |what| cause::too_old(host, what, PARAMETERS);
    match (errno, target) {
        (Errno::EBADF, IterTarget::All) => other(
            "it walks over the elements of a map, and none is given".into(),
            "say which map",
        ),
        (Errno::EINVAL | Errno::EACCES, IterTarget::Map(_)) => other(
            "the map is of a type that this iterator does not walk over, or its keys or values \
             are smaller than what the program reads"
                .into(),
            "give a map of the type and the sizes that the program is for",
        ),
        (
            Errno::EINVAL,
            IterTarget::Process(_) | IterTarget::ProcessFile(_) | IterTarget::Thread(_),
        ) => old("an iterator over the tasks of one process"),
        (Errno::ENOENT, IterTarget::Cgroup { .. }) => other(
            "there is no such cgroup of the second version".into(),
            "choose one of the tree that `mount -t cgroup2` shows",
        ),
        (Errno::EINVAL, IterTarget::Cgroup { .. }) => old("an iterator over cgroups"),
        _ => None,
    }
}
