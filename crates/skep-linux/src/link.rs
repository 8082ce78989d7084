//! The commands on links, iterators and raw tracepoints.

use std::ffi::CString;

use skep_abi::{AttachFlags, AttachType, Command, UprobeMultiFlags};
use skep_host::{
    Cause, CgroupRoot, Errno, Error, IterFd, IterTarget, LinkCreate, LinkFd, LinkOptions,
    LinkSource, LinkTarget, ProgramFd, Result,
};

use crate::{
    LinuxHost,
    attr::{self, pack},
    cause::Subject,
    files::Kind,
    program::{describe, target_number},
    sys::{SysResult, address, bpf, bpf_open},
};

/// `BPF_LINK_CREATE` without the error's dress: attaching gives it its own.
pub(crate) fn create_raw(host: &LinuxHost, request: &LinkCreate<'_>) -> SysResult<LinkFd> {
    let mut attr = attr::LinkCreate {
        source_fd: request.program.raw() as u32,
        target: target_number(request.target),
        attach_type: request.attach_type.raw(),
        flags: request.flags,
        ..Default::default()
    };
    // What the addresses below point to: either borrowed from `request` or owned here.
    let iterator: [attr::IteratorTarget; 1];
    match &request.options {
        LinkOptions::PerfEvent { cookie } => {
            attr.options = pack(&attr::LinkPerfEvent {
                bpf_cookie: *cookie,
            });
        }
        LinkOptions::Tracing {
            target_btf_id,
            cookie,
        } => {
            attr.options = pack(&attr::LinkTracing {
                target_btf_id: *target_btf_id,
                cookie: *cookie,
                ..Default::default()
            });
        }
        LinkOptions::Iterator(target) => {
            if let Some(target) = iterator_target(target) {
                iterator = [target];
                attr.options = pack(&attr::LinkIterator {
                    iter_info: address(&iterator),
                    iter_info_len: size_of::<attr::IteratorTarget>() as u32,
                    ..Default::default()
                });
            }
        }
        LinkOptions::Ordered {
            relative,
            expected_revision,
        } => {
            attr.options = pack(&attr::LinkOrdered {
                relative: *relative,
                expected_revision: *expected_revision,
                ..Default::default()
            });
        }
        LinkOptions::KprobeMulti {
            symbols: names,
            addresses,
            cookies,
            flags,
        } => {
            let symbols = names.addresses().ok_or(Errno::EINVAL)?;
            let count = if symbols.is_empty() {
                addresses.len()
            } else {
                symbols.len()
            };
            if (!symbols.is_empty() && !addresses.is_empty())
                || (!cookies.is_empty() && cookies.len() != count)
            {
                return Err(Errno::EINVAL);
            }
            attr.options = pack(&attr::LinkKprobeMulti {
                flags: flags.bits(),
                cnt: count as u32,
                syms: address(symbols),
                addrs: address(addresses),
                cookies: address(cookies),
            });
        }
        LinkOptions::UprobeMulti {
            path,
            offsets,
            semaphores,
            cookies,
            pid,
            path_fd,
            flags,
        } => {
            let mut flags = *flags;
            if path_fd.is_some() {
                flags |= UprobeMultiFlags::PATH_FD;
            }
            let fits = |items: &[u64]| items.is_empty() || items.len() == offsets.len();
            if !fits(semaphores) || !fits(cookies) {
                return Err(Errno::EINVAL);
            }
            attr.options = pack(&attr::LinkUprobeMulti {
                path: path.as_ptr() as u64,
                offsets: address(offsets),
                ref_ctr_offsets: address(semaphores),
                cookies: address(cookies),
                cnt: offsets.len() as u32,
                flags: flags.bits(),
                pid: *pid,
                path_fd: path_fd.unwrap_or(0) as u32,
            });
        }
        LinkOptions::Netfilter {
            protocol_family,
            hook,
            priority,
            flags,
        } => {
            attr.options = pack(&attr::LinkNetfilter {
                pf: *protocol_family,
                hooknum: *hook,
                priority: *priority,
                flags: flags.bits(),
            });
        }
        LinkOptions::TracingMulti { ids, cookies } => {
            if !cookies.is_empty() && cookies.len() != ids.len() {
                return Err(Errno::EINVAL);
            }
            attr.options = pack(&attr::LinkTracingMulti {
                ids: address(ids),
                cookies: address(cookies),
                cnt: ids.len() as u32,
                ..Default::default()
            });
        }
        _ => {}
    }
    // SAFETY: every address in the options is of a slice or C string borrowed from `request`, or
    // of `iterator`, which lives to the end of this function; the names' own addresses are good as
    // long as `request` borrows them, and each ends with a zero. The command only reads them, and
    // each count was derived from, or held against, its slice.
    let fd = unsafe { bpf_open(Command::LinkCreate, &mut attr)? };
    Ok(LinkFd::new(host.files().own(fd, Kind::Link)))
}

fn iterator_target(target: &IterTarget<'_>) -> Option<attr::IteratorTarget> {
    let target = match target {
        IterTarget::Map(map) => attr::IteratorTarget {
            first: map.raw() as u32,
            ..Default::default()
        },
        IterTarget::Process(pid) => attr::IteratorTarget {
            second: *pid,
            ..Default::default()
        },
        IterTarget::Thread(tid) => attr::IteratorTarget {
            first: *tid,
            ..Default::default()
        },
        IterTarget::ProcessFile(pidfd) => attr::IteratorTarget {
            // `pid_fd` shares the word of `cgroup_id`, in its first four bytes.
            third: low_half(*pidfd as u32),
            ..Default::default()
        },
        IterTarget::Cgroup { root, order } => {
            let (directory, id) = match root {
                CgroupRoot::Default => (0, 0),
                CgroupRoot::Directory(cgroup) => (cgroup.raw() as u32, 0),
                CgroupRoot::Id(id) => (0, *id),
            };
            attr::IteratorTarget {
                first: order.raw(),
                second: directory,
                third: id,
            }
        }
        _ => return None,
    };
    Some(target)
}

/// `value` as the first four bytes of a word, whatever the byte order.
fn low_half(value: u32) -> u64 {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&value.to_ne_bytes());
    u64::from_ne_bytes(bytes)
}

pub(crate) fn create(host: &LinuxHost, request: &LinkCreate<'_>) -> Result<LinkFd> {
    create_raw(host, request).map_err(|errno| {
        let object = describe_source(host, request.program);
        host.failed(
            Command::LinkCreate,
            object,
            errno,
            Subject::Attach(request.attach_type),
        )
    })
}

/// What a link holds or shall hold, for errors.
fn describe_source(host: &LinuxHost, source: LinkSource<'_>) -> String {
    match source {
        LinkSource::Program(program) => describe(host, program),
        LinkSource::StructOps(map) => crate::map::describe(host, map),
    }
}

pub(crate) fn update(
    host: &LinuxHost,
    link: &LinkFd,
    new: LinkSource<'_>,
    expected: Option<LinkSource<'_>>,
) -> Result<()> {
    let mut attr = attr::LinkUpdate {
        link_fd: link.raw() as u32,
        new_fd: new.raw() as u32,
        flags: if expected.is_some() {
            AttachFlags::REPLACE.bits()
        } else {
            0
        },
        old_fd: expected.map_or(0, |source| source.raw() as u32),
    };
    // SAFETY: the attribute carries no address.
    match unsafe { bpf(Command::LinkUpdate, &mut attr) } {
        Ok(_) => Ok(()),
        Err(errno) => Err(link_failed(host, Command::LinkUpdate, link, errno)
            .because(cannot_swap(host, link, errno))),
    }
}

/// What the kernel answers for links that have no way to swap their program, in words.
fn cannot_swap(host: &LinuxHost, link: &LinkFd, errno: Errno) -> Option<Cause> {
    use skep_abi::LinkType::{
        KprobeMulti, Netfilter, PerfEvent, RawTracepoint, Tracing, TracingMulti, UprobeMulti,
    };
    if errno == Errno::ENOLINK {
        return Some(Cause::Other {
            what: "the cgroup, network device or namespace that it was attached to is gone".into(),
            fix: "attach the program anew, to one that is there".into(),
        });
    }
    let link_type = crate::info::link::info(host, link).ok()?.link_type()?;
    let fixed = matches!(
        link_type,
        RawTracepoint | Tracing | TracingMulti | PerfEvent | KprobeMulti | UprobeMulti | Netfilter
    );
    let refused = matches!(errno, Errno::EINVAL | Errno::EOPNOTSUPP);
    (refused && fixed).then(|| Cause::Other {
        what: format!("links of type {link_type} keep the program they were made with"),
        fix: "detach it, and attach the other program anew".into(),
    })
}

pub(crate) fn detach(host: &LinuxHost, link: &LinkFd) -> Result<()> {
    let mut attr = attr::LinkDetach {
        link_fd: link.raw() as u32,
    };
    // SAFETY: the attribute carries no address.
    match unsafe { bpf(Command::LinkDetach, &mut attr) } {
        Ok(_) => Ok(()),
        Err(errno) => {
            let error = link_failed(host, Command::LinkDetach, link, errno);
            Err(error.because(held(host, link, errno)))
        }
    }
}

/// What the kernel answers for links that go only with their last holder, in words.
fn held(host: &LinuxHost, link: &LinkFd, errno: Errno) -> Option<Cause> {
    if errno != Errno::EOPNOTSUPP || host.version() < Command::LinkDetach.since() {
        return None;
    }
    let link_type = crate::info::link::info(host, link).ok()?.link_type()?;
    Some(Cause::Other {
        what: format!("links of type {link_type} are detached when nobody holds them"),
        fix: "close its descriptors and remove its pins".into(),
    })
}

pub(crate) fn iterate(host: &LinuxHost, link: &LinkFd) -> Result<IterFd> {
    let mut attr = attr::IterCreate {
        link_fd: link.raw() as u32,
        flags: 0,
    };
    // SAFETY: the attribute carries no address.
    match unsafe { bpf_open(Command::IterCreate, &mut attr) } {
        Ok(fd) => Ok(IterFd::new(host.files().own(fd, Kind::Other))),
        Err(errno) => Err(link_failed(host, Command::IterCreate, link, errno)),
    }
}

fn link_failed(host: &LinuxHost, command: Command, link: &LinkFd, errno: Errno) -> Error {
    let object = match crate::info::link::info(host, link) {
        Ok(info) => format!("link {}", info.id),
        Err(_) => format!("link descriptor {}", link.raw()),
    };
    host.failed(command, object, errno, Subject::None)
}

/// `BPF_RAW_TRACEPOINT_OPEN` without the error's dress.
pub(crate) fn raw_tracepoint_raw(
    host: &LinuxHost,
    program: &ProgramFd,
    name: Option<&str>,
    cookie: u64,
) -> SysResult<LinkFd> {
    let name = name
        .map(CString::new)
        .transpose()
        .map_err(|_| Errno::EINVAL)?;
    let mut attr = attr::RawTracepoint {
        name: name.as_ref().map_or(0, |name| name.as_ptr() as u64),
        prog_fd: program.raw() as u32,
        cookie,
        ..Default::default()
    };
    // SAFETY: the name is null or a C string that lives through the call.
    let fd = unsafe { bpf_open(Command::RawTracepointOpen, &mut attr)? };
    Ok(LinkFd::new(host.files().own(fd, Kind::Link)))
}

pub(crate) fn raw_tracepoint(
    host: &LinuxHost,
    program: &ProgramFd,
    name: Option<&str>,
    cookie: u64,
) -> Result<LinkFd> {
    raw_tracepoint_raw(host, program, name, cookie).map_err(|errno| {
        let object = describe(host, program);
        let subject = match name {
            Some(name) => Subject::RawTracepoint(name),
            None => Subject::Attach(AttachType::TraceRawTp),
        };
        host.failed(Command::RawTracepointOpen, object, errno, subject)
    })
}

/// A plain link's request, with no flags and no options.
pub(crate) fn plain<'a>(
    program: &'a ProgramFd,
    target: LinkTarget<'a>,
    attach_type: AttachType,
) -> LinkCreate<'a> {
    LinkCreate {
        program: program.into(),
        target,
        attach_type,
        flags: 0,
        options: LinkOptions::None,
    }
}
