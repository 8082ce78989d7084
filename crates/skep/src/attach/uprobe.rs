//! Functions and instructions of user-space binaries: `uprobe/binary:function[+offset]`,
//! `uprobe.multi/binary:pattern`.

use std::sync::Arc;

use skep_host::{AttachPoint, MultiMode, UprobePlace};

use super::AttachOptions;
use crate::{Link, Program, Result, binary, find_binary, symbol_offset};

/// The binary is a path, a library's name or a program's on `PATH`; the function a symbol with
/// an optional offset, or `0x…`, which is an offset in the file.
pub(super) fn attach(
    program: &Arc<Program>,
    options: &AttachOptions,
    at_return: bool,
) -> Result<Link> {
    let example = if at_return {
        "uretprobe/libc:malloc"
    } else {
        "uprobe/libc:malloc"
    };
    let target = program.needed_target(example)?;
    let Some((binary, function)) = target.rsplit_once(':') else {
        return Err(program.cannot_attach(&format!(
            "`{target}` is no binary and function, as in `{example}`"
        )));
    };
    let binary = find_binary(binary, options.pid)?;
    let offset = match function.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16)
            .map_err(|_| program.cannot_attach(&format!("`{function}` is no offset")))?,
        None => symbol_offset(&binary, function)?,
    };
    program.attach_to(&AttachPoint::Uprobe {
        at_return,
        binary,
        offset,
        pid: options.pid,
        semaphore: options.semaphore,
        source: options.probe_source,
        cookie: options.cookie,
    })
}

/// `uprobe.multi/libc:str*`
pub(super) fn many(
    program: &Arc<Program>,
    options: &AttachOptions,
    mode: MultiMode,
) -> Result<Link> {
    const EXAMPLE: &str = "uprobe.multi/libc:str*";
    let target = program.needed_target(EXAMPLE)?;
    let Some((name, pattern)) = target.rsplit_once(':') else {
        return Err(program.cannot_attach(&format!(
            "`{target}` is no binary and pattern, as in `{EXAMPLE}`"
        )));
    };
    let path = find_binary(name, options.pid)?;
    let places = binary::offsets_like(&path, pattern)?;
    program.attach_to(&AttachPoint::UprobeMulti {
        mode,
        binary: path,
        places: places
            .into_iter()
            .map(|offset| UprobePlace {
                offset,
                semaphore: 0,
                cookie: options.cookie.unwrap_or(0),
            })
            .collect(),
        pid: options.pid,
    })
}
