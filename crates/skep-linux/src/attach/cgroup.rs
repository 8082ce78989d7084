//! Cgroup hooks: by link (5.7), or without one for older kernels and older ways. In order with
//! others since 6.17.

use skep_abi::{AttachFlags, AttachType, KernelVersion};
use skep_host::{
    Attachment, Cause, CgroupFd, CgroupMode, Errno, LinkTarget, Order, Position, ProgramFd, Result,
};

use super::{
    Refusal,
    tcx::{flags, place},
    unlinked,
};
use crate::{LinuxHost, cause::too_old, link};

/// The order of programs on a cgroup.
const ORDERED: KernelVersion = KernelVersion::new(6, 17);
const PREORDER: KernelVersion = KernelVersion::new(6, 15);

pub(super) fn attach(
    host: &LinuxHost,
    program: &ProgramFd,
    cgroup: &CgroupFd,
    attach_type: AttachType,
    mode: CgroupMode,
    order: Order,
) -> Result<Attachment, Refusal> {
    let kind = match mode {
        CgroupMode::Link => {
            let mut request = link::plain(program, LinkTarget::Cgroup(cgroup), attach_type);
            if order != Order::default() {
                (request.flags, request.options) = place(order);
            }
            return match link::create_raw(host, &request) {
                Ok(link) => Ok(Attachment::link(link)),
                Err(errno) => Err(refusal(host, errno, order)),
            };
        }
        CgroupMode::Multi => AttachFlags::ALLOW_MULTI,
        CgroupMode::Override => AttachFlags::ALLOW_OVERRIDE,
        CgroupMode::Exclusive => AttachFlags::empty(),
    };
    let (place, relative) = flags(order);
    let place = unlinked::Place {
        flags: kind | place,
        relative,
        revision: order.revision,
    };
    unlinked::attach(program, cgroup.raw(), attach_type, place)
        .map_err(|errno| refusal(host, errno, order))
}

fn refusal(host: &LinuxHost, errno: Errno, order: Order) -> Refusal {
    let ordered = order.position != Position::Last || order.revision != 0;
    let beside = !matches!(order.position, Position::First | Position::Last);
    let cause = match errno {
        Errno::EINVAL | Errno::E2BIG if ordered && host.version() < ORDERED => {
            too_old(host, "the order of a cgroup's programs", ORDERED)
        }
        Errno::EINVAL if order.preorder && host.version() < PREORDER => {
            too_old(host, "`BPF_F_PREORDER`", PREORDER)
        }
        Errno::ENOENT | Errno::EINVAL if beside => Some(Cause::Other {
            what: "what to stand beside is not attached to this cgroup in the same way".into(),
            fix: "beside a link, attach by link and name that link by its own id; beside a \
                  program that is there without a link, attach without one (`bpftool cgroup show`)"
                .into(),
        }),
        _ => None,
    };
    Refusal { errno, cause }
}
