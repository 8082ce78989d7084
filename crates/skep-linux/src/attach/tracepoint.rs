//! Static tracepoints: by tracefs id and perf event.

use skep_host::{Attachment, Cause, Errno, Error, ProgramFd, Result};

use super::{Refusal, perf_event};
use crate::{
    LinuxHost,
    mounts::{Tree, missing_tracefs},
    perf,
    sys::errno_of,
};

pub(super) fn attach(
    host: &LinuxHost,
    program: &ProgramFd,
    category: &str,
    name: &str,
    cookie: Option<u64>,
) -> Result<Attachment, Refusal> {
    let id = id(host, category, name)?;
    let mut attr = perf::attributes(perf::TYPE_TRACEPOINT, id);
    attr.sample_period = 1;
    attr.flags = perf::FLAG_DISABLED;
    // The event is opened on one CPU, but the program runs for the tracepoint on every CPU.
    let event = perf::open(&attr, perf::any_cpu(host)).map_err(|errno| Refusal {
        errno,
        cause: perf::open_cause(host, errno),
    })?;
    perf_event::hold(host, program, vec![event], cookie)
}

/// The tracepoint's number.
fn id(host: &LinuxHost, category: &str, name: &str) -> Result<u64, Refusal> {
    let tree = host.tracefs().ok_or_else(|| missing_tracefs(host))?;
    let plain = |part: &str| !part.is_empty() && !part.contains('/') && !part.starts_with('.');
    if !plain(category) || !plain(name) {
        return Err(not_found(tree, category, name));
    }
    match tree.read(&format!("events/{category}/{name}/id")) {
        Ok(text) => text.trim().parse().map_err(|_| Errno::EIO.into()),
        Err(error) => match errno_of(&error) {
            Errno::ENOENT | Errno::ENOTDIR => Err(not_found(tree, category, name)),
            errno => Err(errno.into()),
        },
    }
}

fn not_found(tree: &Tree, category: &str, name: &str) -> Refusal {
    let wanted = format!("{category}/{name}");
    let all = list(tree).unwrap_or_default();
    // A right name in a wrong category is the commonest mistake.
    let elsewhere: Vec<String> = all
        .iter()
        .filter(|full| full.split_once('/').is_some_and(|(_, other)| other == name))
        .cloned()
        .collect();
    let near = if elsewhere.is_empty() {
        skep_abi::near_names(&wanted, all.iter().map(String::as_str))
    } else {
        elsewhere
    };
    Refusal::because(
        Errno::ENOENT,
        Cause::NotFound {
            kind: "tracepoint",
            name: wanted,
            near,
        },
    )
}

/// All tracepoints as `category/name`, sorted.
pub(crate) fn list(tree: &Tree) -> Result<Vec<String>> {
    let fail = |error: std::io::Error| Error::system("list", "tracefs events", errno_of(&error));
    let mut names = Vec::new();
    for category in tree.directories("events").map_err(fail)? {
        // `events/ftrace` holds the formats of the tracers' own records, which can't be attached to.
        if category == "ftrace" {
            continue;
        }
        for name in tree
            .directories(&format!("events/{category}"))
            .map_err(fail)?
        {
            names.push(format!("{category}/{name}"));
        }
    }
    Ok(names)
}
