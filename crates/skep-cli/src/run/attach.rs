//! Attaching by the flags, and what runs once when all is attached.

use std::{io::Read as _, num::NonZeroU32, os::fd::OwnedFd};

use anyhow::Context as _;
use rustix::net::{AddressFamily, Protocol, SocketFlags, SocketType};
use skep::{
    AttachOptions, Link, Loaded, Object,
    boundary::{PerfScope, TestRun, XdpMode},
    spec::AttachKind,
};

use super::{Format, Output, RunArgs, args, choices};

/// Packets of every protocol (`linux/if_ether.h`).
const ETH_P_ALL: u16 = 3;

/// What the flags say of hooks; `pid` is the process that the run is about.
pub(crate) fn options(args: &RunArgs, object: &Object, pid: Option<u32>) -> AttachOptions {
    // Where the program filters by itself, its timers may as well run everywhere.
    let unfiltered = pid.filter(|_| !choices::has_process_filter(object));
    AttachOptions {
        device: args.device.clone(),
        xdp_mode: match args.xdp {
            args::Xdp::Auto => XdpMode::Auto,
            args::Xdp::Generic => XdpMode::Generic,
            args::Xdp::Native => XdpMode::Native,
            args::Xdp::Offload => XdpMode::Offload,
        },
        cgroup: args.cgroup.clone(),
        pid,
        perf_scope: unfiltered.map(PerfScope::Process),
        frequency: args.frequency,
        ..AttachOptions::default()
    }
}

/// Prints what iterators say.
pub(crate) fn print_iterators(links: &[Link], output: &mut Output) -> anyhow::Result<()> {
    for link in links.iter().filter(|link| is_iterator(link)) {
        let mut text = Vec::new();
        link.iterate()?
            .read_to_end(&mut text)
            .with_context(|| format!("cannot read iterator `{}`", link.name()))?;
        output.write_bytes(&text)?;
    }
    Ok(())
}

/// `syscall` programs have no event: each is run once, on an empty context.
pub(crate) fn run_once(loaded: &Loaded, output: &mut Output) -> anyhow::Result<()> {
    for program in loaded.programs() {
        if program.section().kind() != AttachKind::Syscall {
            continue;
        }
        let outcome = program
            .test_run(&mut TestRun::default())
            .with_context(|| format!("cannot run `{}`", program.name()))?;
        // The kernel hands on what the program returned, which is signed.
        let value = outcome.return_value as i32;
        let name = program.name();
        output.write(&match output.format {
            Format::Table => format!("{name} returned {value}\n"),
            Format::Json => format!(
                "{}\n",
                serde_json::json!({"program": name, "returned": value})
            ),
        })?;
    }
    Ok(())
}

/// The socket that socket filters filter: one that sees the packets of every device. Nothing
/// reads it, so what a filter lets pass is dropped once its queue is full; the filter still runs
/// on every packet.
pub(crate) fn packet_socket(loaded: &Loaded) -> anyhow::Result<Option<OwnedFd>> {
    if !loaded
        .programs()
        .any(|program| program.section().kind() == AttachKind::SocketFilter)
    {
        return Ok(None);
    }
    let every_protocol = NonZeroU32::new(u32::from(ETH_P_ALL.to_be())).map(Protocol::from_raw);
    let socket = rustix::net::socket_with(
        AddressFamily::PACKET,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        every_protocol,
    );
    Ok(Some(socket.context(
        "cannot open a packet socket (it takes CAP_NET_RAW)",
    )?))
}

/// It runs when it is read, not by events.
pub(crate) fn is_iterator(link: &Link) -> bool {
    let program = link.program();
    program.is_some_and(|program| program.section().kind() == AttachKind::Iterator)
}

/// With `-v`, says what hangs where.
pub(crate) fn say_attached(links: &[Link], verbose: u8) {
    if verbose > 0 {
        for link in links {
            let (name, place) = (link.name(), link.place());
            match link.filter() {
                Some(filter) => {
                    let (priority, handle) = (filter.priority, filter.handle);
                    say!("attached {name}: {place}, priority {priority}, handle {handle:#x}");
                }
                None => say!("attached {name}: {place}"),
            }
        }
    }
}
