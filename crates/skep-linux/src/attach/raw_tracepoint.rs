//! Raw tracepoints: by name, without tracefs.

use skep_host::{Attachment, Cause, Errno, ProgramFd, Result};

use super::Refusal;
use crate::{LinuxHost, link};

pub(super) fn attach(
    host: &LinuxHost,
    program: &ProgramFd,
    name: &str,
    cookie: Option<u64>,
) -> Result<Attachment, Refusal> {
    match link::raw_tracepoint_raw(host, program, Some(name), cookie.unwrap_or(0)) {
        Ok(link) => Ok(Attachment::link(link)),
        Err(Errno::ENOENT) => Err(Refusal::because(Errno::ENOENT, not_found(host, name))),
        Err(errno) => Err(errno.into()),
    }
}

pub(crate) fn not_found(host: &LinuxHost, name: &str) -> Cause {
    let all = host
        .tracefs()
        .and_then(|tree| super::tracepoint::list(tree).ok())
        .unwrap_or_default();
    // System calls have one raw tracepoint for all entries and one for all exits.
    let near = if name.starts_with("sys_enter") {
        vec!["sys_enter".to_owned()]
    } else if name.starts_with("sys_exit") {
        vec!["sys_exit".to_owned()]
    } else {
        let names = all
            .iter()
            .filter_map(|full| full.split_once('/'))
            .map(|(_, name)| name);
        skep_abi::near_names(name, names)
    };
    Cause::NotFound {
        kind: "raw tracepoint",
        name: name.to_owned(),
        near,
    }
}
