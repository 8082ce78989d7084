//! Static probe points of user space: `usdt/binary:provider:name`, at each place of that name.

use std::{collections::BTreeSet, fs, os::unix::fs::MetadataExt as _, path::Path, sync::Arc};

use skep_host::{AttachPoint, MultiMode, UprobePlace};

use super::AttachOptions;
use crate::{
    Error, Link, Program, Result, find_binary,
    usdt::{Lease, Machine, Notes, Point, Semaphore},
};

const EXAMPLE: &str = "usdt/libstdc++:libstdcxx:throw";

/// The binary is a path, a library's name or a program's on `PATH`.
pub(super) fn attach(program: &Arc<Program>, options: &AttachOptions) -> Result<Link> {
    let target = program.needed_target(EXAMPLE)?;
    let mut parts = target.rsplitn(3, ':');
    let (name, provider, binary) = (parts.next(), parts.next(), parts.next());
    let (Some(name), Some(provider), Some(binary)) = (name, provider, binary) else {
        return Err(program.cannot_attach(&format!(
            "`{target}` is no binary, provider and name, as in `{EXAMPLE}`"
        )));
    };
    let binary = find_binary(binary, options.pid)?;
    let notes = Notes::open_like(&binary, &|of, called| {
        of == provider.as_bytes() && called == name.as_bytes()
    })?;
    let fault = |reason: String| Error::binary(&binary.display().to_string(), reason);
    if notes.points.is_empty() {
        return Err(fault(not_there(&binary, provider, name)?));
    }
    if Machine::HERE != Some(notes.machine) {
        return Err(fault(format!(
            "it is a binary for {}, which is not this machine's",
            notes.machine.name()
        )));
    }
    let point = |problem: String| fault(format!("point `{provider}:{name}` {problem}"));

    let specs = program.usdt().and_then(|usdt| usdt.specs.as_ref());
    let mut lease = specs.map(Lease::new).transpose()?;
    let finder = match specs {
        Some(specs) if specs.by_address() => Some(Finder::new(&binary, &notes, options.pid)?),
        _ => None,
    };
    let mut places = Vec::new();
    let mut seen = BTreeSet::new();
    for site in &notes.points {
        let offset = site.offset.ok_or_else(|| {
            point(format!(
                "is at {:#x}, which is in no code of the file",
                site.address
            ))
        })?;
        // An instruction fires once, however many notes are on it.
        if !seen.insert(offset) {
            continue;
        }
        let semaphore = match site.semaphore {
            Semaphore::None => 0,
            Semaphore::At { offset } => offset,
            Semaphore::Nowhere { address } => {
                return Err(point(format!(
                    "has its counter of watchers at {address:#x}, which is in no data of the file"
                )));
            }
        };
        let cookie = match &mut lease {
            Some(lease) => {
                let arguments = site
                    .arguments
                    .as_ref()
                    .map_err(|bad| point(format!("at {:#x}: {bad}", site.address)))?;
                let address = finder
                    .as_ref()
                    .map(|finder| finder.address(site))
                    .transpose()?;
                lease
                    .add(arguments, options.cookie.unwrap_or(0), address)?
                    .into()
            }
            // Programs that ask for no argument need no entry.
            None => options.cookie.unwrap_or(0),
        };
        places.push(UprobePlace {
            offset,
            semaphore,
            cookie,
        });
    }

    let by_address = finder.is_some();
    let points = match program.usdt() {
        Some(usdt) if usdt.multi => vec![AttachPoint::UprobeMulti {
            mode: MultiMode::Entry,
            binary: binary.clone(),
            places,
            pid: options.pid,
        }],
        _ => places
            .into_iter()
            .map(|place| AttachPoint::Uprobe {
                at_return: false,
                binary: binary.clone(),
                offset: place.offset,
                pid: options.pid,
                semaphore: place.semaphore,
                source: options.probe_source,
                cookie: (!by_address).then_some(place.cookie),
            })
            .collect(),
    };
    let link = program.attach_to_each(&points)?;
    let place = format!("usdt/{}:{provider}:{name}", binary.display());
    Ok(link.at_points(place, lease))
}

/// What to say of a point that a binary does not have.
fn not_there(binary: &Path, provider: &str, name: &str) -> Result<String> {
    let all = Notes::open(binary)?.points;
    let wanted = format!("{provider}:{name}");
    let known: BTreeSet<String> = all
        .iter()
        .map(|point| format!("{}:{}", point.provider, point.name))
        .collect();
    let mut near = skep_abi::near_names(&wanted, known.iter().map(String::as_str));
    if near.is_empty() {
        // The name alone, of whatever provider.
        let names = all.iter().map(|point| point.name.as_str());
        let like = skep_abi::near_names(name, names.collect::<BTreeSet<_>>());
        near.extend(
            known
                .iter()
                .filter(|known| {
                    known
                        .rsplit_once(':')
                        .is_some_and(|(_, name)| like.iter().any(|like| like == name))
                })
                .cloned(),
        );
    }
    let mut reason = format!("it has no point `{wanted}`");
    if !near.is_empty() {
        reason.push_str(&format!("; did you mean `{}`?", near.join("` or `")));
    } else {
        const SHOWN: usize = 12;
        let shown: Vec<&str> = known.iter().take(SHOWN).map(String::as_str).collect();
        let more = if known.len() > SHOWN { ", …" } else { "" };
        match shown.as_slice() {
            [] => reason.push_str("; it has none at all"),
            shown => reason.push_str(&format!("; it has {}{more}", shown.join(", "))),
        }
    }
    Ok(reason)
}

/// Finds the addresses of points in a process, for kernels that tell programs nothing else.
struct Finder {
    binary: String,
    /// The parts of the file that the process runs: addresses, and where they start in the file.
    parts: Option<Vec<(std::ops::Range<u64>, u64)>>,
}

impl Finder {
    fn new(binary: &Path, notes: &Notes, pid: Option<u32>) -> Result<Self> {
        let shown = binary.display().to_string();
        let fault = |reason: String| Error::binary(&shown, reason);
        let parts = match pid {
            _ if notes.fixed => None,
            Some(pid) => {
                let inode = fs::metadata(binary)
                    .map_err(|error| fault(error.to_string()))?
                    .ino();
                let maps = fs::read_to_string(format!("/proc/{pid}/maps")).map_err(|error| {
                    fault(format!("cannot see where process {pid} has it: {error}"))
                })?;
                Some(
                    maps.lines()
                        .filter_map(|line| running(line, inode))
                        .collect(),
                )
            }
            None => {
                return Err(fault(
                    "on this kernel programs find their arguments by a point's address, and processes \
                     have this file at any: choose one process (`--pid`), or use Linux 5.15 or newer"
                        .into(),
                ));
            }
        };
        Ok(Self {
            binary: shown,
            parts,
        })
    }

    fn address(&self, point: &Point) -> Result<u64> {
        let (Some(parts), Some(offset)) = (&self.parts, point.offset) else {
            return Ok(point.address);
        };
        let found = parts.iter().find_map(|(addresses, start)| {
            let address = addresses.start.checked_add(offset.checked_sub(*start)?)?;
            addresses.contains(&address).then_some(address)
        });
        found.ok_or_else(|| Error::binary(&self.binary, "the process does not have it mapped"))
    }
}

/// Reads a line of `/proc/PID/maps`, if it is of code of this file.
fn running(line: &str, inode: u64) -> Option<(std::ops::Range<u64>, u64)> {
    let mut words = line.split_ascii_whitespace();
    let (addresses, permissions, offset) = (words.next()?, words.next()?, words.next()?);
    let _device = words.next()?;
    if words.next()?.parse() != Ok(inode) || !permissions.contains('x') {
        return None;
    }
    let hex = |text| u64::from_str_radix(text, 16).ok();
    let (start, end) = addresses.split_once('-')?;
    Some((hex(start)?..hex(end)?, hex(offset)?))
}
