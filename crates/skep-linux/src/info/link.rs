//! What the kernel tells of a link: first the numbers that every type has, then, with buffers as
//! long as those say, what the type adds.

use skep_abi::{KernelVersion, LinkType, PerfEventLinkType};
use skep_host::{Errno, IterScope, LinkDetails, LinkFd, LinkInfo, Result};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{ask, failed};
use crate::{
    LinuxHost,
    attr::{self, pack, text, unpack},
    files::{self, Kind},
    sys::address_mut,
};

/// Room that a name or path is first given; the kernel says when it takes more.
const NAME_ROOM: usize = 256;

/// The longest name or path that is asked for.
const LONGEST_NAME: usize = 1 << 16;

/// Bytes of the longest path that the kernel gives.
const PATH_MAX: usize = 4096;

/// The kernel that tells the cookies of a kprobe_multi link.
const COOKIES_TOLD: KernelVersion = KernelVersion::new(6, 9);

/// More places than a multi-probe may have (the kernel's limit is 2^20).
const MOST_PLACES: u32 = 1 << 20;

pub(crate) fn info(host: &LinuxHost, link: &LinkFd) -> Result<LinkInfo> {
    read(host, link).map_err(|errno| failed(host, "link", link.raw(), errno))
}

fn read(host: &LinuxHost, link: &LinkFd) -> Result<LinkInfo, Errno> {
    files::expect(link.descriptor(), |kind| kind == Kind::Link)?;
    let mut info = attr::LinkInfo::default();
    // SAFETY: the struct carries no addresses.
    unsafe { ask(link.raw(), &mut info) }?;
    Ok(LinkInfo {
        id: info.id,
        type_raw: info.kind,
        program_id: info.prog_id,
        details: details(&Told { host, link, info })?,
    })
}

/// A link and what it told of itself without being given buffers.
struct Told<'a> {
    host: &'a LinuxHost,
    link: &'a LinkFd,
    info: attr::LinkInfo,
}

impl Told<'_> {
    /// The type's own part.
    fn part<T: FromBytes + IntoBytes>(&self) -> T {
        unpack(&self.info.details)
    }

    /// Asks again with `part` in the place of the type's own part, and gives it as it came back.
    ///
    /// # Safety
    /// `part` must be of the link's own type, and its addresses null or of memory as large as the
    /// sizes beside them say, which the kernel may write to.
    unsafe fn again<T: FromBytes + IntoBytes + Immutable>(&self, part: &T) -> Result<T, Errno> {
        let mut info = attr::LinkInfo {
            details: pack(part),
            ..Default::default()
        };
        // SAFETY: the descriptor is a link, whose type is for life; the rest is the caller's
        // promise.
        unsafe { ask(self.link.raw(), &mut info) }?;
        if info.kind != self.info.kind {
            return Err(Errno::EBADF);
        }
        Ok(unpack(&info.details))
    }

    /// Asks again with room for a name, more of it if it does not fit. `with` puts the address
    /// and length of the room into the type's part.
    ///
    /// # Safety
    /// As for [`again`](Self::again): `with` must put the two where the link's type has the
    /// address and length of a name.
    unsafe fn named<T: FromBytes + IntoBytes + Immutable>(
        &self,
        with: impl Fn(u64, u32) -> T,
    ) -> Result<(T, String), Errno> {
        let mut room = NAME_ROOM;
        loop {
            let mut name = vec![0u8; room];
            let part = with(address_mut(&mut name), name.len() as u32);
            // SAFETY: the address is of `name`, with its length; where they stand is the
            // caller's promise.
            match unsafe { self.again(&part) } {
                Ok(part) => return Ok((part, text(&name))),
                Err(Errno::ENOSPC) if room < LONGEST_NAME => room *= 4,
                Err(errno) => return Err(errno),
            }
        }
    }
}

fn details(told: &Told<'_>) -> Result<LinkDetails, Errno> {
    Ok(match LinkType::from_raw(told.info.kind) {
        Some(LinkType::RawTracepoint) => raw_tracepoint(told)?,
        Some(LinkType::Iter) => iterator(told)?,
        Some(LinkType::PerfEvent) => perf_event(told)?,
        Some(LinkType::KprobeMulti) => kprobe_multi(told)?,
        Some(LinkType::UprobeMulti) => uprobe_multi(told)?,
        Some(LinkType::TracingMulti) => tracing_multi(told)?,
        Some(LinkType::Tracing) => {
            let tracing: attr::TracingLinkInfo = told.part();
            LinkDetails::Tracing {
                attach_type: tracing.attach_type,
                target_object: tracing.target_obj_id,
                target_btf: tracing.target_btf_id,
                cookie: tracing.cookie,
            }
        }
        Some(LinkType::Cgroup) => {
            let cgroup: attr::CgroupLinkInfo = told.part();
            LinkDetails::Cgroup {
                cgroup: cgroup.cgroup_id,
                attach_type: cgroup.attach_type,
            }
        }
        Some(LinkType::Netns) => {
            let netns: attr::NumberedLinkInfo = told.part();
            LinkDetails::Netns {
                inode: netns.number,
                attach_type: netns.attach_type,
            }
        }
        Some(LinkType::Xdp | LinkType::Tcx | LinkType::Netkit) => {
            let device: attr::NumberedLinkInfo = told.part();
            LinkDetails::Device {
                ifindex: device.number,
                attach_type: device.attach_type,
            }
        }
        Some(LinkType::StructOps) => {
            let map: attr::NumberedLinkInfo = told.part();
            LinkDetails::StructOps { map: map.number }
        }
        Some(LinkType::Sockmap) => {
            let map: attr::NumberedLinkInfo = told.part();
            LinkDetails::Sockmap {
                map: map.number,
                attach_type: map.attach_type,
            }
        }
        Some(LinkType::Netfilter) => {
            let hook: attr::NetfilterLinkInfo = told.part();
            LinkDetails::Netfilter {
                protocol_family: hook.pf,
                hook: hook.hooknum,
                priority: hook.priority,
                flags: hook.flags,
            }
        }
        Some(LinkType::Unspec) | None => LinkDetails::None,
        // A type that `skep-abi` learned since.
        Some(_) => LinkDetails::None,
    })
}

fn raw_tracepoint(told: &Told<'_>) -> Result<LinkDetails, Errno> {
    // SAFETY: a raw tracepoint's part begins with the name's address and length.
    let (part, name) = unsafe {
        told.named(|name, name_len| attr::RawTracepointLinkInfo {
            name,
            name_len,
            ..Default::default()
        })?
    };
    Ok(LinkDetails::RawTracepoint {
        name,
        cookie: part.cookie,
    })
}

fn iterator(told: &Told<'_>) -> Result<LinkDetails, Errno> {
    // SAFETY: an iterator's part begins with the name's address and length.
    let (part, target) = unsafe {
        told.named(|name, name_len| attr::IteratorLinkInfo {
            name,
            name_len,
            ..Default::default()
        })?
    };
    let scope = match target.as_str() {
        "bpf_map_elem" | "bpf_sk_storage_map" => IterScope::Map { id: part.map_id },
        "cgroup" => {
            let mut id = [0; 8];
            id.copy_from_slice(part.place.as_bytes());
            IterScope::Cgroup {
                id: u64::from_ne_bytes(id),
                order: part.order,
            }
        }
        "task" | "task_file" | "task_vma" => IterScope::Task {
            thread: part.place[0],
            process: part.place[1],
        },
        _ => IterScope::All,
    };
    Ok(LinkDetails::Iterator { target, scope })
}

fn perf_event(told: &Told<'_>) -> Result<LinkDetails, Errno> {
    let first: attr::EventLinkInfo = told.part();
    Ok(match PerfEventLinkType::from_raw(first.kind) {
        Some(kind @ (PerfEventLinkType::Kprobe | PerfEventLinkType::Kretprobe)) => {
            // SAFETY: the link is a kprobe's, whose part has the name's address and length there.
            let (part, function) = unsafe {
                told.named(|name, name_len| attr::KprobeLinkInfo {
                    name,
                    name_len,
                    ..Default::default()
                })?
            };
            LinkDetails::Kprobe {
                at_return: kind == PerfEventLinkType::Kretprobe,
                function,
                offset: u64::from(part.offset),
                address: part.address,
                missed: part.missed,
                cookie: part.cookie,
            }
        }
        Some(
            kind @ (PerfEventLinkType::Uprobe
            | PerfEventLinkType::Uretprobe
            | PerfEventLinkType::Tracepoint),
        ) => {
            // SAFETY: the link is a uprobe's or a tracepoint's, whose parts have the name's
            // address and length there.
            let (part, name) = unsafe {
                told.named(|name, name_len| attr::UprobeLinkInfo {
                    name,
                    name_len,
                    ..Default::default()
                })?
            };
            let cookie = part.cookie;
            if kind == PerfEventLinkType::Tracepoint {
                return Ok(LinkDetails::Tracepoint { name, cookie });
            }
            LinkDetails::Uprobe {
                at_return: kind == PerfEventLinkType::Uretprobe,
                path: name,
                offset: u64::from(part.offset),
                semaphore: part.semaphore,
                cookie,
            }
        }
        Some(PerfEventLinkType::Event) => LinkDetails::PerfEvent {
            kind: first.event_kind,
            config: first.config,
            cookie: first.cookie,
        },
        // Kernels before 6.6 say nothing.
        _ => LinkDetails::None,
    })
}

/// Room for one number a place.
fn places<T: Clone + Default>(count: u32) -> Vec<T> {
    vec![T::default(); count.min(MOST_PLACES) as usize]
}

fn kprobe_multi(told: &Told<'_>) -> Result<LinkDetails, Errno> {
    let first: attr::KprobeMultiLinkInfo = told.part();
    let mut addresses = places::<u64>(first.count);
    // Older kernels leave them as they are.
    let told_cookies = told.host.version() >= COOKIES_TOLD;
    let mut cookies = places::<u64>(if told_cookies { first.count } else { 0 });
    let part = attr::KprobeMultiLinkInfo {
        addrs: address_mut(&mut addresses),
        cookies: address_mut(&mut cookies),
        count: addresses.len() as u32,
        ..Default::default()
    };
    // SAFETY: the link is a kprobe_multi's; both arrays have `count` elements of 8 bytes, or
    // their address is null.
    let answer = unsafe { told.again(&part)? };
    Ok(LinkDetails::KprobeMulti {
        flags: answer.flags,
        missed: answer.missed,
        addresses,
        cookies,
    })
}

fn uprobe_multi(told: &Told<'_>) -> Result<LinkDetails, Errno> {
    let first: attr::UprobeMultiLinkInfo = told.part();
    // Before 6.8 nothing is told, and there is no place that is none.
    if first.count == 0 {
        return Ok(LinkDetails::None);
    }
    let mut path = vec![0u8; PATH_MAX];
    let mut offsets = places::<u64>(first.count);
    let mut semaphores = places::<u64>(first.count);
    let mut cookies = places::<u64>(first.count);
    let part = attr::UprobeMultiLinkInfo {
        path: address_mut(&mut path),
        path_size: path.len() as u32,
        offsets: address_mut(&mut offsets),
        ref_ctr_offsets: address_mut(&mut semaphores),
        cookies: address_mut(&mut cookies),
        count: offsets.len() as u32,
        ..Default::default()
    };
    // SAFETY: the link is a uprobe_multi's; the path has `path_size` bytes, the arrays have
    // `count` elements of 8 bytes.
    let answer = unsafe { told.again(&part)? };
    Ok(LinkDetails::UprobeMulti {
        path: text(&path),
        flags: answer.flags,
        pid: answer.pid,
        offsets,
        semaphores,
        cookies,
    })
}

fn tracing_multi(told: &Told<'_>) -> Result<LinkDetails, Errno> {
    let first: attr::TracingMultiLinkInfo = told.part();
    let mut ids = places::<u32>(first.count);
    let mut addresses = places::<u64>(first.count);
    let mut cookies = places::<u64>(first.count);
    let part = attr::TracingMultiLinkInfo {
        count: ids.len() as u32,
        ids: address_mut(&mut ids),
        addrs: address_mut(&mut addresses),
        cookies: address_mut(&mut cookies),
        ..Default::default()
    };
    // SAFETY: the link is a tracing_multi's; the arrays have `count` elements, of 4 bytes for ids
    // and 8 for addresses and cookies.
    let answer = unsafe { told.again(&part)? };
    Ok(LinkDetails::TracingMulti {
        attach_type: answer.attach_type,
        btf_object: answer.btf_obj_id,
        ids,
        addresses,
        cookies,
    })
}
