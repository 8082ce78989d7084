//! Ids, and what the kernel tells of programs, maps, BTF and links.

pub(crate) mod link;
pub(crate) mod map;
pub(crate) mod program;

use std::os::fd::OwnedFd;

use skep_abi::{Command, ObjectFlags};
use skep_host::{
    BtfFd, BtfInfo, Errno, Error, LinkFd, MapFd, ObjectId, ProgramFd, Result, TaskAttachment,
    TokenFd, TokenInfo,
};
use zerocopy::{FromBytes, IntoBytes};

use crate::{
    LinuxHost,
    attr::{self, text},
    cause::Subject,
    files::{self, Kind},
    sys::{address_mut, bpf, bpf_open},
};

/// Bytes of the longest path or symbol that a descriptor's probe has.
const NAME_ROOM: usize = 4096;

pub(crate) fn next_id(host: &LinuxHost, id: ObjectId) -> Result<Option<ObjectId>> {
    let (command, start) = match id {
        ObjectId::Program(id) => (Command::ProgGetNextId, id),
        ObjectId::Map(id) => (Command::MapGetNextId, id),
        ObjectId::Btf(id) => (Command::BtfGetNextId, id),
        ObjectId::Link(id) => (Command::LinkGetNextId, id),
    };
    // Ids are positive numbers of 31 bits; the kernel calls larger ones invalid.
    if i32::try_from(start).is_err() {
        return Ok(None);
    }
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

pub(crate) fn btf(host: &LinuxHost, btf: &BtfFd) -> Result<BtfInfo> {
    let fail = |errno| failed(host, "BTF", btf.raw(), errno);
    files::expect(btf.descriptor(), |kind| kind == Kind::Btf).map_err(fail)?;
    let mut sizes = attr::BtfInfo::default();
    // SAFETY: the struct carries no addresses.
    unsafe { ask(btf.raw(), &mut sizes) }.map_err(fail)?;
    let mut bytes = vec![0u8; sizes.btf_size as usize];
    // Before 5.11 BTF has no name, and the kernel takes no room for one.
    let mut name = match sizes.name_len {
        0 => Vec::new(),
        len => vec![0u8; (len as usize).saturating_add(1)],
    };
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

pub(crate) fn token(host: &LinuxHost, token: &TokenFd) -> Result<TokenInfo> {
    token_raw(token).map_err(|errno| failed(host, "token", token.raw(), errno))
}

/// What a token delegates, without the error's dress: it is also asked for a cause.
pub(crate) fn token_raw(token: &TokenFd) -> Result<TokenInfo, Errno> {
    let mut info = attr::TokenInfo::default();
    // SAFETY: the struct carries no addresses.
    unsafe { ask(token.raw(), &mut info) }?;
    Ok(TokenInfo {
        commands: info.allowed_cmds,
        map_types: info.allowed_maps,
        program_types: info.allowed_progs,
        attach_types: info.allowed_attachs,
    })
}
