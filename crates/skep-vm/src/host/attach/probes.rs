//! Probes: instructions of binaries, and functions of the machine.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use skep_abi::{AttachType, LinkType, ProgramType};
use skep_host::{Errno, LinkDetails, LinkFd, UprobePlace};

use super::RETURN;
use crate::{
    Vm,
    host::{
        link::{self, New, Raw},
        machine, program,
    },
    machine::{HookKey, calls},
    program::Program,
};

/// Most places of a link, and most functions.
const MOST: usize = 1 << 20;

/// Whether there is a process, which threads of one are not.
fn is_process(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
    let leader = |status: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix("Tgid:"))?;
        line.trim().parse().ok()
    };
    status.is_ok_and(|status| leader(&status) == Some(pid))
}

/// A binary's own name, whatever way leads to it.
///
/// # Errors
/// `ENOENT`: there is none. `EOPNOTSUPP`: instructions of this machine can't be probed.
fn probed(binary: &Path) -> Raw<PathBuf> {
    if !cfg!(target_arch = "x86_64") {
        return Err(Errno::EOPNOTSUPP);
    }
    std::fs::canonicalize(binary).map_err(|_| Errno::ENOENT)
}

pub(super) fn uprobe(
    vm: &Vm,
    program: &Arc<Program>,
    at_return: bool,
    binary: &Path,
    place: UprobePlace,
    pid: Option<u32>,
) -> Raw<LinkFd> {
    if program.program_type != ProgramType::Kprobe {
        return Err(Errno::EINVAL);
    }
    let path = probed(binary)?;
    let new = New {
        vm,
        program,
        link_type: LinkType::PerfEvent,
        details: LinkDetails::Uprobe {
            at_return,
            path: path.display().to_string(),
            offset: place.offset,
            semaphore: place.semaphore,
            cookie: place.cookie,
        },
    };
    let key = HookKey::Uprobe {
        binary: path,
        offset: place.offset,
        at_return,
        semaphore: place.semaphore,
    };
    new.on_all(vec![(key, place.cookie, pid)])
}

/// Many places of a binary.
pub(in crate::host) fn uprobes(
    vm: &Vm,
    program: &Arc<Program>,
    binary: PathBuf,
    places: &[UprobePlace],
    pid: Option<u32>,
    flags: u32,
) -> Raw<LinkFd> {
    if places.is_empty() || flags & !RETURN != 0 || pid.is_some_and(|pid| pid > i32::MAX as u32) {
        return Err(Errno::EINVAL);
    }
    if places.len() > MOST {
        return Err(Errno::E2BIG);
    }
    if binary.as_os_str().is_empty() {
        return Err(Errno::EBADF);
    }
    let path = probed(&binary)?;
    let length = std::fs::metadata(&path)
        .ok()
        .filter(std::fs::Metadata::is_file)
        .map(|file| file.len())
        .ok_or(Errno::EBADF)?;
    if pid.is_some_and(|pid| !is_process(pid)) {
        return Err(Errno::ESRCH);
    }
    let outside = |place: &UprobePlace| place.offset > length || place.semaphore > i64::MAX as u64;
    if places.iter().any(outside) {
        return Err(Errno::EINVAL);
    }
    let session = program::loaded_as(program) == Some(AttachType::TraceUprobeSession);
    let at_return = flags & RETURN != 0;
    let mut keys = Vec::new();
    for place in places {
        for at_return in ends(at_return, session) {
            let key = HookKey::Uprobe {
                binary: path.clone(),
                offset: place.offset,
                at_return,
                semaphore: place.semaphore,
            };
            keys.push((key, place.cookie, pid));
        }
    }
    let each = |of: fn(&UprobePlace) -> u64| places.iter().map(of).collect();
    let new = New {
        vm,
        program,
        link_type: LinkType::UprobeMulti,
        details: LinkDetails::UprobeMulti {
            path: path.display().to_string(),
            flags,
            pid: pid.unwrap_or(0),
            offsets: each(|place| place.offset),
            semaphores: each(|place| place.semaphore),
            cookies: each(|place| place.cookie),
        },
    };
    new.on_all(keys)
}

/// At entry, return or both.
fn ends(at_return: bool, session: bool) -> Vec<bool> {
    match session {
        true => vec![false, true],
        false => vec![at_return],
    }
}

pub(super) fn kprobe(
    vm: &Vm,
    program: &Arc<Program>,
    at_return: bool,
    function: &str,
    offset: u64,
    cookie: u64,
) -> Raw<LinkFd> {
    if program.program_type != ProgramType::Kprobe || (at_return && offset != 0) {
        return Err(Errno::EINVAL);
    }
    if !vm.0.hooks.has_function(function) {
        return Err(Errno::ENOENT);
    }
    link::check_sleeping(program, false)?;
    if offset != 0 && calls::of_function(function).is_some() {
        return Err(Errno::EOPNOTSUPP);
    }
    let new = New {
        vm,
        program,
        link_type: LinkType::PerfEvent,
        details: LinkDetails::Kprobe {
            at_return,
            function: function.to_owned(),
            offset,
            address: machine::address_of(function),
            missed: 0,
            cookie,
        },
    };
    let key = HookKey::Kprobe {
        function: function.to_owned(),
        offset,
        at_return,
    };
    new.on_all(vec![(key, cookie, None)])
}

/// Many functions of the machine.
pub(in crate::host) fn functions(
    vm: &Vm,
    program: &Arc<Program>,
    names: Vec<String>,
    cookies: &[u64],
    flags: u32,
) -> Raw<LinkFd> {
    let fits = cookies.is_empty() || cookies.len() == names.len();
    if program.program_type != ProgramType::Kprobe || names.is_empty() || !fits {
        return Err(if names.is_empty() {
            Errno::ENOENT
        } else {
            Errno::EINVAL
        });
    }
    if names.len() > MOST {
        return Err(Errno::E2BIG);
    }
    if !names.iter().all(|name| vm.0.hooks.has_function(name)) {
        return Err(Errno::ESRCH);
    }
    let session = program::loaded_as(program) == Some(AttachType::TraceKprobeSession);
    let at_return = flags & RETURN != 0;
    let mut keys = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let cookie = cookies.get(index).copied().unwrap_or(0);
        for at_return in ends(at_return, session) {
            let key = HookKey::Kprobe {
                function: name.clone(),
                offset: 0,
                at_return,
            };
            keys.push((key, cookie, None));
        }
    }
    let new = New {
        vm,
        program,
        link_type: LinkType::KprobeMulti,
        details: LinkDetails::KprobeMulti {
            flags,
            missed: 0,
            addresses: names.iter().map(|name| machine::address_of(name)).collect(),
            cookies: match cookies {
                [] => vec![0; names.len()],
                cookies => cookies.to_vec(),
            },
        },
    };
    new.on_all(keys)
}
