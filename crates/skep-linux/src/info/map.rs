//! What the kernel tells of a map: its info, the hash of its contents, and what only its file in
//! /proc says.

use std::fs;

use skep_host::{Cause, Errno, Error, MapFd, MapInfo, MapStatus, Result};

use super::{ask, failed};
use crate::{
    LinuxHost,
    attr::{self, text},
    files::{self, Kind},
    sys::{address_mut, errno_of},
};

pub(crate) fn info(host: &LinuxHost, map: &MapFd) -> Result<MapInfo> {
    expect(host, map)?;
    info_raw(host, map.raw())
}

fn expect(host: &LinuxHost, map: &MapFd) -> Result<()> {
    let expected = files::expect(map.descriptor(), |kind| matches!(kind, Kind::Map(_)));
    expected.map_err(|errno| failed(host, "map", map.raw(), errno))
}

/// [`info`] for a map that has no owner of the right type yet.
pub(crate) fn info_raw(host: &LinuxHost, raw: i32) -> Result<MapInfo> {
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
        kernel_value_type: info.btf_vmlinux_value_type_id,
        kernel_btf_id: info.btf_vmlinux_id,
        netns_device: info.netns_dev,
        netns_inode: info.netns_ino,
        map_extra: info.map_extra,
    })
}

pub(crate) fn hash(host: &LinuxHost, map: &MapFd) -> Result<[u8; 32]> {
    expect(host, map)?;
    let mut hash = [0; 32];
    let mut info = attr::MapInfo {
        hash: address_mut(&mut hash),
        hash_size: hash.len() as u32,
        ..Default::default()
    };
    // SAFETY: the descriptor is a map's; the only address is of `hash`, with its length beside it.
    unsafe { ask(map.raw(), &mut info) }.map_err(|errno| {
        let cause = match errno {
            Errno::EPERM => Some(Cause::Other {
                what: "the map is not frozen, so its contents may still change".into(),
                fix: "freeze it first".into(),
            }),
            Errno::EINVAL | Errno::E2BIG => {
                const SINCE: skep_abi::KernelVersion = skep_abi::KernelVersion::new(6, 18);
                crate::cause::too_old(host, "the hash of a map", SINCE).or_else(|| {
                    Some(Cause::Other {
                        what: "the kernel hashes only arrays".into(),
                        fix: "ask it of a map of type array".into(),
                    })
                })
            }
            _ => None,
        };
        Error::command(
            skep_abi::Command::ObjGetInfoByFd,
            crate::map::describe(host, map),
            errno,
        )
        .because(cause)
    })?;
    Ok(hash)
}

pub(crate) fn status(host: &LinuxHost, map: &MapFd) -> Result<MapStatus> {
    expect(host, map)?;
    let path = format!("/proc/self/fdinfo/{}", map.raw());
    let text = fs::read_to_string(&path).map_err(|error| {
        Error::system("read", crate::map::describe(host, map), errno_of(&error))
    })?;
    Ok(parse_status(&text))
}

/// What the file of a map under /proc says; fields of newer kernels stay at their defaults.
fn parse_status(text: &str) -> MapStatus {
    let number = |name: &str| -> Option<u64> {
        text.lines().find_map(|line| {
            line.strip_prefix(name)?
                .strip_prefix(':')?
                .trim()
                .parse()
                .ok()
        })
    };
    MapStatus {
        frozen: number("frozen").is_some_and(|frozen| frozen != 0),
        memory: number("memlock").unwrap_or(0),
        owner_type: number("owner_prog_type").and_then(|kind| u32::try_from(kind).ok()),
        owner_jited: number("owner_jited").map(|jited| jited != 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_of_a_program_array() {
        let text = "pos:\t0\nmap_type:\t3\nmemlock:\t4096\nfrozen:\t1\n\
                    owner_prog_type:\t6\nowner_jited:\t1\n";
        let expected = MapStatus {
            frozen: true,
            memory: 4096,
            owner_type: Some(6),
            owner_jited: Some(true),
        };
        assert_eq!(parse_status(text), expected);
    }

    #[test]
    fn an_old_kernel_says_less() {
        assert_eq!(
            parse_status("memlock:\t0\nfrozenness:\t1\n"),
            MapStatus::default()
        );
    }
}
