//! The commands on maps. Every buffer is measured against the map before the kernel sees it.

use std::os::fd::{AsRawFd as _, OwnedFd};

use skep_abi::{Command, MapCreateFlags, MapType, MapUpdateFlags};
use skep_host::{BatchOutcome, BtfFd, Cause, Errno, Error, MapBatch, MapCreate, MapFd, Result};

use crate::{
    LinuxHost, attr,
    cause::{
        Subject,
        token::{self, Delegated},
    },
    files::{self, Kind, MapShape},
    sys::{self, address, address_mut, bpf, bpf_open},
};

pub(crate) fn create(host: &LinuxHost, request: &MapCreate<'_>) -> Result<MapFd> {
    let mut flags = request.flags;
    if request.numa_node.is_some() {
        flags |= MapCreateFlags::NUMA_NODE;
    }
    if request.token.is_some() {
        flags |= MapCreateFlags::TOKEN_FD;
    }
    if request.btf.is_some_and(|btf| btf.kernel_btf.is_some()) {
        flags |= MapCreateFlags::VTYPE_BTF_OBJ_FD;
    }
    let mut attr = attr::MapCreate {
        map_type: request.map_type.raw(),
        key_size: request.key_size,
        value_size: request.value_size,
        max_entries: request.max_entries,
        map_flags: flags.bits(),
        inner_map_fd: request.inner_map.map_or(0, |map| map.raw() as u32),
        numa_node: request.numa_node.unwrap_or(0),
        map_name: attr::object_name(request.name),
        map_ifindex: request.ifindex,
        map_extra: request.map_extra,
        map_token_fd: request.token.map_or(0, |token| token.raw()),
        ..Default::default()
    };
    if let Some(btf) = request.btf {
        attr.btf_fd = btf.btf.raw() as u32;
        attr.btf_key_type_id = btf.key_type;
        attr.btf_value_type_id = btf.value_type;
        attr.btf_vmlinux_value_type_id = btf.kernel_value_type;
        attr.value_type_btf_obj_fd = btf.kernel_btf.map_or(0, BtfFd::raw);
    }
    if let Some(hash) = request.exclusive {
        attr.excl_prog_hash = address(hash);
        attr.excl_prog_hash_size = hash.len() as u32;
    }
    // SAFETY: the attribute's one address is null or of the hash, which is borrowed from
    // `request` and as long as its size says; the command only reads it.
    let fd = match unsafe { bpf_open(Command::MapCreate, &mut attr) } {
        Ok(fd) => fd,
        Err(errno) => {
            let mut log = [0; WORDS_ROOM];
            // SAFETY: as above.
            let again = host
                .takes_common_attributes()
                .then(|| unsafe { sys::bpf_open_logged(Command::MapCreate, &mut attr, &mut log) });
            match again {
                Some(Ok(fd)) => fd,
                _ => return Err(create_error(host, request, errno, &attr::text(&log))),
            }
        }
    };
    let shape = shape(
        host,
        request.map_type.raw(),
        request.key_size,
        request.value_size,
    )?;
    Ok(MapFd::new(host.files().own(fd, Kind::Map(shape))))
}

/// Room for what the kernel says of a map that it refuses: a line.
const WORDS_ROOM: usize = 1024;

/// A refused map; `words` are the kernel's own, where it has any (7.2).
fn create_error(host: &LinuxHost, request: &MapCreate<'_>, errno: Errno, words: &str) -> Error {
    let words = words.trim().trim_end_matches('.');
    let cause = if words.is_empty() {
        let delegated = Delegated::Map(request.map_type);
        token::lacking(request.token, errno, delegated)
            .or_else(|| host.cause(Command::MapCreate, errno, Subject::Map(request.map_type)))
            .or_else(|| request.too_large(errno))
    } else {
        Some(Cause::Said(words.to_owned()))
    };
    Error::command(Command::MapCreate, format!("map `{}`", request.name), errno).because(cause)
}

/// What the buffers of a map's commands measure.
pub(crate) fn shape(host: &LinuxHost, kind: u32, key: u32, value: u32) -> Result<MapShape> {
    let value = value as usize;
    let buffer = match MapType::from_raw(kind) {
        Some(
            MapType::PercpuHash
            | MapType::PercpuArray
            | MapType::LruPercpuHash
            | MapType::PercpuCgroupStorage,
        ) => value.next_multiple_of(8) * host.possible()?,
        // These hold descriptors and show ids, whatever they say of their size.
        Some(
            MapType::ProgArray
            | MapType::PerfEventArray
            | MapType::CgroupArray
            | MapType::ArrayOfMaps
            | MapType::HashOfMaps,
        ) => value.max(4),
        _ => value,
    };
    Ok(MapShape {
        key: key as usize,
        value,
        buffer,
    })
}

/// The shape of an open map: remembered, or asked of the kernel for one that came from outside.
fn shape_of(host: &LinuxHost, map: &MapFd) -> Result<MapShape> {
    match files::kind(map.descriptor()) {
        Kind::Map(shape) => Ok(shape),
        _ => asked_shape(host, map.raw()),
    }
}

/// The shape of an open map, asked of the kernel.
fn asked_shape(host: &LinuxHost, raw: i32) -> Result<MapShape> {
    let info = crate::info::map::info_raw(host, raw)?;
    shape(host, info.type_raw, info.key_size, info.value_size)
}

/// Takes ownership of a map that was opened by id or path.
pub(crate) fn own(host: &LinuxHost, fd: OwnedFd) -> Result<MapFd> {
    let shape = asked_shape(host, fd.as_raw_fd())?;
    Ok(MapFd::new(host.files().own(fd, Kind::Map(shape))))
}

fn check(host: &LinuxHost, map: &MapFd, what: &str, have: usize, need: usize) -> Result<()> {
    if have == need {
        return Ok(());
    }
    Err(Error::Request {
        object: describe(host, map),
        reason: format!("the {what} has {have} bytes where the map's has {need}"),
    })
}

fn at_least(
    host: &LinuxHost,
    map: &MapFd,
    what: &str,
    have: usize,
    need: Option<usize>,
) -> Result<()> {
    if need.is_some_and(|need| have >= need) {
        return Ok(());
    }
    Err(Error::Request {
        object: describe(host, map),
        reason: match need {
            Some(need) => format!("the {what} has {have} bytes and needs {need}"),
            None => format!("the {what} would be larger than memory"),
        },
    })
}

/// The map by name, for errors.
pub(crate) fn describe(host: &LinuxHost, map: &MapFd) -> String {
    match crate::info::map::info(host, map) {
        Ok(info) if !info.name.is_empty() => format!("map `{}`", info.name),
        Ok(info) => format!("map {}", info.id),
        Err(_) => format!("map descriptor {}", map.raw()),
    }
}

fn failed(host: &LinuxHost, command: Command, map: &MapFd, errno: Errno) -> Error {
    host.failed(command, describe(host, map), errno, Subject::MapAccess)
}

/// The bytes of the value buffer that a command with these flags reads or fills.
fn buffer_size(shape: MapShape, flags: u64) -> usize {
    // These make a per-CPU command one of a single value.
    let single = MapUpdateFlags::CPU | MapUpdateFlags::ALL_CPUS;
    if MapUpdateFlags::from_bits_retain(flags).intersects(single) {
        shape.value
    } else {
        shape.buffer
    }
}

/// `Ok(false)` for the answer that says "not there".
fn there(
    host: &LinuxHost,
    command: Command,
    map: &MapFd,
    answer: Result<i32, Errno>,
) -> Result<bool> {
    match answer {
        Ok(_) => Ok(true),
        Err(Errno::ENOENT) => Ok(false),
        Err(errno) => Err(failed(host, command, map, errno)),
    }
}

pub(crate) fn lookup(
    host: &LinuxHost,
    command: Command,
    map: &MapFd,
    key: &[u8],
    value: &mut [u8],
    flags: u64,
) -> Result<bool> {
    let shape = shape_of(host, map)?;
    check(host, map, "key", key.len(), shape.key)?;
    check(host, map, "value", value.len(), buffer_size(shape, flags))?;
    let mut attr = attr::MapElement {
        map_fd: map.raw() as u32,
        key: address(key),
        value: address_mut(value),
        flags,
        ..Default::default()
    };
    // SAFETY: both buffers live through the call and were just measured against what the map's
    // commands read and write.
    let answer = unsafe { bpf(command, &mut attr) };
    there(host, command, map, answer)
}

pub(crate) fn update(
    host: &LinuxHost,
    map: &MapFd,
    key: &[u8],
    value: &[u8],
    flags: u64,
) -> Result<()> {
    let shape = shape_of(host, map)?;
    check(host, map, "key", key.len(), shape.key)?;
    check(host, map, "value", value.len(), buffer_size(shape, flags))?;
    // Kernels that don't know the flags for a single value read one of every CPU, and only then
    // refuse.
    let padded: Vec<u8>;
    let value = if value.len() < shape.buffer {
        let rest = std::iter::repeat_n(0, shape.buffer - value.len());
        padded = value.iter().copied().chain(rest).collect();
        &padded
    } else {
        value
    };
    let mut attr = attr::MapElement {
        map_fd: map.raw() as u32,
        key: address(key),
        value: address(value),
        flags,
        ..Default::default()
    };
    // SAFETY: the command reads a key and a value; both live through the call, and are as long as
    // the map's, the value's as any kernel takes it.
    match unsafe { bpf(Command::MapUpdateElem, &mut attr) } {
        Ok(_) => Ok(()),
        Err(errno) => Err(failed(host, Command::MapUpdateElem, map, errno)),
    }
}

pub(crate) fn delete(host: &LinuxHost, map: &MapFd, key: &[u8]) -> Result<bool> {
    check(host, map, "key", key.len(), shape_of(host, map)?.key)?;
    let mut attr = attr::MapElement {
        map_fd: map.raw() as u32,
        key: address(key),
        ..Default::default()
    };
    // SAFETY: the command reads a key, which lives through the call and has the map's size.
    let answer = unsafe { bpf(Command::MapDeleteElem, &mut attr) };
    there(host, Command::MapDeleteElem, map, answer)
}

pub(crate) fn next_key(
    host: &LinuxHost,
    map: &MapFd,
    key: Option<&[u8]>,
    next: &mut [u8],
) -> Result<bool> {
    let shape = shape_of(host, map)?;
    if let Some(key) = key {
        check(host, map, "key", key.len(), shape.key)?;
    }
    check(host, map, "next key", next.len(), shape.key)?;
    let mut attr = attr::MapElement {
        map_fd: map.raw() as u32,
        key: key.map_or(0, address),
        value: address_mut(next),
        ..Default::default()
    };
    // SAFETY: the command reads one key and writes another; both live through the call and have
    // the map's key size.
    let answer = unsafe { bpf(Command::MapGetNextKey, &mut attr) };
    there(host, Command::MapGetNextKey, map, answer)
}

pub(crate) fn freeze(host: &LinuxHost, map: &MapFd) -> Result<()> {
    let mut attr = attr::MapElement {
        map_fd: map.raw() as u32,
        ..Default::default()
    };
    // SAFETY: the attribute carries no address.
    match unsafe { bpf(Command::MapFreeze, &mut attr) } {
        Ok(_) => Ok(()),
        Err(errno) => Err(failed(host, Command::MapFreeze, map, errno)),
    }
}

/// `BPF_MAP_LOOKUP_BATCH` and `BPF_MAP_LOOKUP_AND_DELETE_BATCH`.
pub(crate) fn lookup_batch(
    host: &LinuxHost,
    command: Command,
    map: &MapFd,
    batch: &mut MapBatch<'_>,
) -> Result<BatchOutcome> {
    let shape = shape_of(host, map)?;
    let count = batch.count as usize;
    // Hash maps go on from a bucket number of 4 bytes, other maps from a key.
    let position = shape.key.max(4);
    let value = buffer_size(shape, batch.element_flags);
    if let Some(from) = batch.position {
        at_least(host, map, "batch position", from.len(), Some(position))?;
    }
    at_least(
        host,
        map,
        "next batch position",
        batch.next_position.len(),
        Some(position),
    )?;
    at_least(
        host,
        map,
        "keys' buffer",
        batch.keys.len(),
        shape.key.checked_mul(count),
    )?;
    at_least(
        host,
        map,
        "values' buffer",
        batch.values.len(),
        value.checked_mul(count),
    )?;
    let mut attr = attr::MapBatch {
        in_batch: batch.position.map_or(0, address),
        out_batch: address_mut(batch.next_position),
        keys: address_mut(batch.keys),
        values: address_mut(batch.values),
        count: batch.count,
        map_fd: map.raw() as u32,
        elem_flags: batch.element_flags,
        flags: 0,
    };
    // SAFETY: the four buffers live through the call and were just measured: a position each
    // way, and `count` keys and values.
    match unsafe { bpf(command, &mut attr) } {
        Ok(_) => Ok(BatchOutcome {
            count: attr.count,
            end: false,
        }),
        // The end; what came before it is there.
        Err(Errno::ENOENT) => Ok(BatchOutcome {
            count: attr.count,
            end: true,
        }),
        Err(errno) => Err(failed(host, command, map, errno)),
    }
}

/// `BPF_MAP_UPDATE_BATCH`, and with no values `BPF_MAP_DELETE_BATCH`.
pub(crate) fn write_batch(
    host: &LinuxHost,
    map: &MapFd,
    keys: &[u8],
    values: Option<&[u8]>,
    count: u32,
    element_flags: u64,
) -> Result<u32> {
    let shape = shape_of(host, map)?;
    let command = if values.is_some() {
        Command::MapUpdateBatch
    } else {
        Command::MapDeleteBatch
    };
    at_least(
        host,
        map,
        "keys' buffer",
        keys.len(),
        shape.key.checked_mul(count as usize),
    )?;
    if let Some(values) = values {
        let need = buffer_size(shape, element_flags).checked_mul(count as usize);
        at_least(host, map, "values' buffer", values.len(), need)?;
    }
    let mut attr = attr::MapBatch {
        keys: address(keys),
        values: values.map_or(0, address),
        count,
        map_fd: map.raw() as u32,
        elem_flags: element_flags,
        ..Default::default()
    };
    // SAFETY: the commands read `count` keys and values; the buffers live through the call and
    // were just measured.
    match unsafe { bpf(command, &mut attr) } {
        Ok(_) => Ok(attr.count),
        // The kernel stopped at an entry, and says how many came before it.
        Err(_) if (1..count).contains(&attr.count) => Ok(attr.count),
        Err(errno) => Err(failed(host, command, map, errno)),
    }
}
