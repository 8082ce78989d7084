//! Ids, and what the kernel tells of programs, maps, BTF and links.

use std::{os::fd::OwnedFd, time::Duration};

use skep_abi::{Command, LinkType, ObjectFlags, PerfEventLinkType};
use skep_host::{
    BtfFd, BtfInfo, Errno, Error, LinkDetails, LinkFd, LinkInfo, MapFd, MapInfo, ObjectId,
    ProgramFd, ProgramInfo, Result, TaskAttachment, TokenFd,
};
use zerocopy::{FromBytes, IntoBytes};

use crate::{
    LinuxHost,
    attr::{self, pack, text, unpack},
    cause::Subject,
    files::{self, Kind},
    sys::{address_mut, bpf, bpf_open},
};

/// Longest path or symbol that a link's info is asked for.
const NAME_ROOM: usize = 4096;

pub(crate) fn next_id(host: &LinuxHost, id: ObjectId) -> Result<Option<ObjectId>> {
    let (command, start) = match id {
        ObjectId::Program(id) => (Command::ProgGetNextId, id),
        ObjectId::Map(id) => (Command::MapGetNextId, id),
        ObjectId::Btf(id) => (Command::BtfGetNextId, id),
        ObjectId::Link(id) => (Command::LinkGetNextId, id),
    };
    let mut attr = attr::Id {
        id: start,
        ..Default::default()
    };
    // SAFETY: the attribute carries no address.
    match unsafe { bpf(command, &mut attr) } {
        Ok(_) => Ok(Some(match id {
            ObjectId::Program(_) => ObjectId::Program(attr.next_id),
            ObjectId::Map(_) => ObjectId::Map(attr.next_id),
            ObjectId::Btf(_) => ObjectId::Btf(attr.next_id),
            ObjectId::Link(_) => ObjectId::Link(attr.next_id),
        })),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(host.failed(command, format!("id {start}"), errno, Subject::Ids)),
    }
}

fn by_id(
    host: &LinuxHost,
    command: Command,
    id: u32,
    flags: ObjectFlags,
    token: Option<&TokenFd>,
) -> Result<Option<OwnedFd>> {
    let mut flags = flags;
    if token.is_some() {
        flags |= ObjectFlags::TOKEN_FD;
    }
    let mut attr = attr::Id {
        id,
        open_flags: flags.bits(),
        token_fd: token.map_or(0, TokenFd::raw),
        ..Default::default()
    };
    // SAFETY: the attribute carries no address.
    match unsafe { bpf_open(command, &mut attr) } {
        Ok(fd) => Ok(Some(fd)),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(host.failed(command, format!("id {id}"), errno, Subject::Ids)),
    }
}

pub(crate) fn program_by_id(host: &LinuxHost, id: u32) -> Result<Option<ProgramFd>> {
    let fd = by_id(host, Command::ProgGetFdById, id, ObjectFlags::empty(), None)?;
    Ok(fd.map(|fd| ProgramFd::new(host.files().own(fd, Kind::Program))))
}

pub(crate) fn map_by_id(host: &LinuxHost, id: u32, flags: ObjectFlags) -> Result<Option<MapFd>> {
    let fd = by_id(host, Command::MapGetFdById, id, flags, None)?;
    fd.map(|fd| crate::map::own(host, fd)).transpose()
}

pub(crate) fn btf_by_id(
    host: &LinuxHost,
    id: u32,
    token: Option<&TokenFd>,
) -> Result<Option<BtfFd>> {
    let fd = by_id(host, Command::BtfGetFdById, id, ObjectFlags::empty(), token)?;
    Ok(fd.map(|fd| BtfFd::new(host.files().own(fd, Kind::Btf))))
}

pub(crate) fn link_by_id(host: &LinuxHost, id: u32) -> Result<Option<LinkFd>> {
    let fd = by_id(host, Command::LinkGetFdById, id, ObjectFlags::empty(), None)?;
    Ok(fd.map(|fd| LinkFd::new(host.files().own(fd, Kind::Link))))
}

/// `BPF_OBJ_GET_INFO_BY_FD`: fills `info`, which may itself carry addresses.
///
/// # Safety
/// The addresses in `info` must be null or point to memory as large as the sizes beside them
/// say, valid through the call. `raw` must be of the kind that `info` describes, or `info` must
/// carry no addresses at all.
unsafe fn ask<T: IntoBytes + FromBytes>(raw: i32, info: &mut T) -> Result<(), Errno> {
    let mut attr = attr::Info {
        bpf_fd: raw as u32,
        info_len: size_of::<T>() as u32,
        info: std::ptr::from_mut(info) as u64,
    };
    // SAFETY: `info` is an exclusive buffer of `info_len` bytes in which any bytes are valid;
    // what its own addresses point to is the caller's promise.
    unsafe { bpf(Command::ObjGetInfoByFd, &mut attr) }.map(drop)
}

fn failed(host: &LinuxHost, what: &str, raw: i32, errno: Errno) -> Error {
    host.failed(
        Command::ObjGetInfoByFd,
        format!("{what} descriptor {raw}"),
        errno,
        Subject::None,
    )
}

pub(crate) fn map(host: &LinuxHost, map: &MapFd) -> Result<MapInfo> {
    map_raw(host, map.raw())
}

/// [`map`] for a map that has no owner of the right type yet.
pub(crate) fn map_raw(host: &LinuxHost, raw: i32) -> Result<MapInfo> {
    let mut info = attr::MapInfo::default();
    // SAFETY: the struct carries no addresses (`hash` is null).
    unsafe { ask(raw, &mut info) }.map_err(|errno| failed(host, "map", raw, errno))?;
    Ok(MapInfo {
        id: info.id,
        name: text(&info.name),
        type_raw: info.kind,
        key_size: info.key_size,
        value_size: info.value_size,
        max_entries: info.max_entries,
        flags: info.map_flags,
        ifindex: info.ifindex,
        btf_id: info.btf_id,
        key_type: info.btf_key_type_id,
        value_type: info.btf_value_type_id,
        map_extra: info.map_extra,
    })
}

pub(crate) fn program(host: &LinuxHost, program: &ProgramFd) -> Result<ProgramInfo> {
    let fail = |errno| failed(host, "program", program.raw(), errno);
    if files::kind(program.descriptor()) != Kind::Program {
        return Err(fail(Errno::EBADF));
    }
    let mut info = attr::ProgInfo::default();
    // SAFETY: the struct carries no addresses.
    unsafe { ask(program.raw(), &mut info) }.map_err(fail)?;
    let mut maps = vec![0u32; info.nr_map_ids.min(1 << 16) as usize];
    if !maps.is_empty() {
        let mut again = attr::ProgInfo {
            nr_map_ids: maps.len() as u32,
            map_ids: address_mut(&mut maps),
            ..Default::default()
        };
        // SAFETY: the descriptor is a program's; the only address is of `maps`, with its length
        // beside it.
        unsafe { ask(program.raw(), &mut again) }.map_err(fail)?;
        maps.truncate(again.nr_map_ids as usize);
    }
    Ok(ProgramInfo {
        id: info.id,
        name: text(&info.name),
        type_raw: info.kind,
        tag: info.tag,
        loaded_at: Duration::from_nanos(info.load_time),
        created_by_uid: info.created_by_uid,
        maps,
        gpl_compatible: info.gpl_compatible & 1 != 0,
        translated_size: info.xlated_prog_len,
        jited_size: info.jited_prog_len,
        btf_id: info.btf_id,
        run_time: Duration::from_nanos(info.run_time_ns),
        run_count: info.run_cnt,
        recursion_misses: info.recursion_misses,
        verified_instructions: info.verified_insns,
    })
}

pub(crate) fn btf(host: &LinuxHost, btf: &BtfFd) -> Result<BtfInfo> {
    let fail = |errno| failed(host, "BTF", btf.raw(), errno);
    if files::kind(btf.descriptor()) != Kind::Btf {
        return Err(fail(Errno::EBADF));
    }
    let mut sizes = attr::BtfInfo::default();
    // SAFETY: the struct carries no addresses.
    unsafe { ask(btf.raw(), &mut sizes) }.map_err(fail)?;
    let mut bytes = vec![0u8; sizes.btf_size as usize];
    let mut name = vec![0u8; sizes.name_len as usize + 1];
    let mut info = attr::BtfInfo {
        btf: address_mut(&mut bytes),
        btf_size: bytes.len() as u32,
        name: address_mut(&mut name),
        name_len: name.len() as u32,
        ..Default::default()
    };
    // SAFETY: the descriptor is BTF's; both addresses are of live buffers with their lengths
    // beside them.
    unsafe { ask(btf.raw(), &mut info) }.map_err(fail)?;
    Ok(BtfInfo {
        id: info.id,
        name: text(&name),
        kernel: info.kernel_btf != 0,
        bytes,
    })
}

pub(crate) fn link(host: &LinuxHost, link: &LinkFd) -> Result<LinkInfo> {
    let fail = |errno| failed(host, "link", link.raw(), errno);
    if files::kind(link.descriptor()) != Kind::Link {
        return Err(fail(Errno::EBADF));
    }
    let mut info = attr::LinkInfo::default();
    // SAFETY: the struct carries no addresses.
    unsafe { ask(link.raw(), &mut info) }.map_err(fail)?;
    let mut name = vec![0u8; NAME_ROOM];
    let details = details(link, &info, &mut name).map_err(fail)?;
    Ok(LinkInfo {
        id: info.id,
        type_raw: info.kind,
        program_id: info.prog_id,
        details,
    })
}

/// Asks again with room for a name, where the link's type has one.
fn details(link: &LinkFd, info: &attr::LinkInfo, name: &mut [u8]) -> Result<LinkDetails, Errno> {
    let words = &info.details;
    Ok(match LinkType::from_raw(info.kind) {
        Some(LinkType::RawTracepoint) => LinkDetails::RawTracepoint(named(link, name)?),
        Some(LinkType::Iter) => LinkDetails::Iterator(named(link, name)?),
        Some(LinkType::Tracing) => {
            let tracing: attr::TracingLinkInfo = unpack(words);
            LinkDetails::Tracing {
                attach_type: tracing.attach_type,
                target_object: tracing.target_obj_id,
                target_btf: tracing.target_btf_id,
            }
        }
        Some(LinkType::Cgroup) => {
            let cgroup: attr::CgroupLinkInfo = unpack(words);
            LinkDetails::Cgroup {
                cgroup: cgroup.cgroup_id,
                attach_type: cgroup.attach_type,
            }
        }
        Some(LinkType::Netns) => {
            let netns: attr::NumberedLinkInfo = unpack(words);
            LinkDetails::Netns {
                inode: netns.number,
                attach_type: netns.attach_type,
            }
        }
        Some(LinkType::Xdp | LinkType::Tcx | LinkType::Netkit) => {
            let device: attr::NumberedLinkInfo = unpack(words);
            LinkDetails::Device {
                ifindex: device.number,
                attach_type: device.attach_type,
            }
        }
        Some(LinkType::KprobeMulti) => {
            let multi: attr::KprobeMultiLinkInfo = unpack(words);
            LinkDetails::Multi {
                count: multi.count,
                missed: multi.missed,
            }
        }
        Some(LinkType::UprobeMulti) => {
            let multi: attr::UprobeMultiLinkInfo = unpack(words);
            LinkDetails::Multi {
                count: multi.count,
                missed: 0,
            }
        }
        Some(LinkType::PerfEvent) => {
            let first: attr::PerfLinkInfo = unpack(words);
            let named = !matches!(
                PerfEventLinkType::from_raw(first.kind),
                None | Some(PerfEventLinkType::Unspec | PerfEventLinkType::Event)
            );
            if !named {
                return Ok(LinkDetails::PerfEvent {
                    kind: first.kind,
                    name: String::new(),
                    offset: 0,
                    missed: 0,
                });
            }
            let mut again = attr::LinkInfo {
                details: pack(&attr::PerfLinkInfo {
                    name: address_mut(name),
                    name_len: name.len() as u32,
                    ..Default::default()
                }),
                ..Default::default()
            };
            // SAFETY: the descriptor is a perf event's link that carries a name (it was just
            // asked, and a link's type is for life); the address is of `name`, with its length.
            unsafe { ask(link.raw(), &mut again)? };
            let perf: attr::PerfLinkInfo = unpack(&again.details);
            let probe = matches!(
                PerfEventLinkType::from_raw(perf.kind),
                Some(PerfEventLinkType::Kprobe | PerfEventLinkType::Kretprobe)
            );
            LinkDetails::PerfEvent {
                kind: perf.kind,
                name: text(name),
                offset: u64::from(perf.offset),
                missed: if probe { perf.missed } else { 0 },
            }
        }
        _ => LinkDetails::None,
    })
}

fn named(link: &LinkFd, name: &mut [u8]) -> Result<String, Errno> {
    let mut info = attr::LinkInfo {
        details: pack(&attr::NamedLinkInfo {
            name: address_mut(name),
            name_len: name.len() as u32,
            ..Default::default()
        }),
        ..Default::default()
    };
    // SAFETY: the descriptor is a link whose info starts with a name (it was just asked, and a
    // link's type is for life); the address is of `name`, with its length beside it.
    unsafe { ask(link.raw(), &mut info)? };
    Ok(text(name))
}

pub(crate) fn task_fd(host: &LinuxHost, pid: u32, fd: i32) -> Result<TaskAttachment> {
    let mut name = vec![0u8; NAME_ROOM];
    let mut attr = attr::TaskQuery {
        pid,
        fd: fd as u32,
        buf: address_mut(&mut name),
        buf_len: name.len() as u32,
        ..Default::default()
    };
    // SAFETY: the kernel writes at most `buf_len` bytes to `name`.
    match unsafe { bpf(Command::TaskFdQuery, &mut attr) } {
        Ok(_) => Ok(TaskAttachment {
            program_id: attr.prog_id,
            kind: attr.fd_type,
            name: text(&name),
            offset: attr.probe_offset,
            address: attr.probe_addr,
        }),
        Err(errno) => Err(host.failed(
            Command::TaskFdQuery,
            format!("descriptor {fd} of process {pid}"),
            errno,
            Subject::None,
        )),
    }
}
