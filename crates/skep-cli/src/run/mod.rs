//! `skep run`: from a source or an object to its events, until the user, the clock or the
//! command ends it; then the maps, the losses, and nothing left behind.

mod args;
mod cells;
mod choices;
mod command;
mod events;
mod histogram;
mod json;
mod losses;
mod map_table;
mod maps;
mod printk;
mod rows;
mod stacks;
mod table;

use std::{
    io::{self, Read as _, Write as _},
    num::NonZeroU32,
    os::fd::{AsRawFd, OwnedFd},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rustix::net::{AddressFamily, Protocol, SocketFlags, SocketType};
use signal_hook::consts::{SIGCHLD, SIGINT, SIGTERM};
use skep::{
    AttachOptions, Host, Link, LoadOptions, Loaded, Object,
    boundary::{PerfScope, TestRun, XdpMode},
    spec::AttachKind,
};

pub(crate) use args::{Format, RunArgs};
pub(crate) use command::{HIDDEN, become_command};

use crate::{cli::Global, input};
use cells::Context;
use command::Started;
use events::Events;
use losses::Losses;

/// Packets of every protocol (`linux/if_ether.h`).
const ETH_P_ALL: u16 = 3;

/// How long the loop sleeps at most: a signal that comes between the check and the sleep is
/// seen after this.
const LONGEST_SLEEP: Duration = Duration::from_millis(200);

/// Runs a program until it is told to stop.
pub(crate) fn run(args: RunArgs, global: &Global) -> anyhow::Result<ExitCode> {
    let stop = Stop::install()?;
    let host = Host::auto()?;
    eprintln!("host: {}", host.info());
    let mut object = input::open(&args.program, &args.compile, global)?;
    choices::apply(&mut object, &args)?;
    let mut command = start_command(&args, &mut object)?;

    let options = LoadOptions {
        log_level: match global.verbose {
            0 | 1 => skep::boundary::LogLevel::OnFailure,
            2 => skep::boundary::LogLevel::Verbose,
            _ => skep::boundary::LogLevel::States,
        },
        ..LoadOptions::default()
    };
    let loaded = object.load_with(&host, &options)?;
    say_loaded(&loaded, global.verbose);

    let mut output = Output::new(args.format);
    let mut events = Events::open(&object, &loaded, &mut output)?;
    let mut stacks = stacks::Stacks::new(&loaded);
    maps::watch_stacks(&loaded, &mut stacks);
    let context = Context::begin(&stacks);
    let socket = packet_socket(&loaded)?;
    let links = loaded
        .attach_all_with(&AttachOptions {
            socket: socket.as_ref().map(AsRawFd::as_raw_fd),
            ..attach_options(&args, &object, command.as_ref())
        })
        .inspect_err(|_| eprintln!("nothing was left attached"))?;
    say_attached(&links, global.verbose);
    let mut losses = Losses::begin(&loaded);

    let lasting = links.iter().any(|link| !is_iterator(link));
    if let Some(command) = &mut command {
        command.wake()?;
    }
    print_iterators(&links)?;
    run_once(&loaded, &mut output)?;
    if lasting || events.any() {
        let end = args.duration.map(|duration| Instant::now() + duration);
        watch(
            &stop,
            end,
            command.as_mut(),
            &mut events,
            context,
            &mut output,
        )?;
    }

    losses.probes(&links);
    drop(links);
    // Nothing comes any more, and one turn is not all that a large ring may hold.
    while events.drain(context, &mut output)? > 0 {}
    losses.end(&object, &loaded)?;
    maps::print(&object, &loaded, &args, context, &mut output)?;
    output.flush()?;
    losses.summary(&events);
    Ok(ExitCode::SUCCESS)
}

/// Signals that end the run, and the one that says the command has ended.
struct Stop {
    asked: Arc<AtomicBool>,
}

impl Stop {
    fn install() -> anyhow::Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // A second signal while we clean up ends at once, as users expect.
            signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&asked))?;
            signal_hook::flag::register(signal, Arc::clone(&asked))?;
        }
        // Only to wake the loop.
        signal_hook::flag::register(SIGCHLD, Arc::new(AtomicBool::new(false)))?;
        Ok(Self { asked })
    }

    fn asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }
}

/// Where data goes: a locked, buffered stdout that is flushed when there is nothing to do.
pub(crate) struct Output {
    stdout: io::BufWriter<io::Stdout>,
    pub(crate) format: Format,
}

impl Output {
    fn new(format: Format) -> Self {
        Self {
            stdout: io::BufWriter::with_capacity(1 << 16, io::stdout()),
            format,
        }
    }

    pub(crate) fn write(&mut self, text: &str) -> anyhow::Result<()> {
        Ok(self.stdout.write_all(text.as_bytes())?)
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        Ok(self.stdout.flush()?)
    }
}

fn start_command(args: &RunArgs, object: &mut Object) -> anyhow::Result<Option<Started>> {
    if args.command.is_empty() {
        return Ok(None);
    }
    let started = Started::stopped(&args.command, args.format)?;
    if args.pid.is_none() {
        match choices::limit_to(object, started.id())? {
            Some(name) => eprintln!("only process {} ({name})", started.id()),
            None => eprintln!(
                "all processes: this program has no target_pid to limit it to `{}`",
                args.command[0].display()
            ),
        }
    }
    Ok(Some(started))
}

fn attach_options(args: &RunArgs, object: &Object, command: Option<&Started>) -> AttachOptions {
    let pid = args.pid.or(command.map(Started::id));
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

/// Prints events until something ends the run.
fn watch(
    stop: &Stop,
    end: Option<Instant>,
    mut command: Option<&mut Started>,
    events: &mut Events,
    context: Context<'_>,
    output: &mut Output,
) -> anyhow::Result<()> {
    while !stop.asked() {
        let printed = events.drain(context, output)?;
        if printed == 0 {
            output.flush()?;
        }
        context.symbols().remember();
        if let Some(command) = command.as_deref_mut()
            && let Some(status) = command.ended()?
        {
            if !status.success() {
                eprintln!("the command ended with {status}");
            }
            break;
        }
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            break;
        }
        // There may be more, that no wake-up tells of: a program need not ask for them. And rows
        // are flushed when there is none.
        if printed > 0 {
            continue;
        }
        let longest = if context.symbols().watching() {
            stacks::EVERY
        } else {
            LONGEST_SLEEP
        };
        events.wait(left.map_or(longest, |left| left.min(longest)))?;
    }
    Ok(())
}

fn print_iterators(links: &[Link]) -> anyhow::Result<()> {
    for link in links.iter().filter(|link| is_iterator(link)) {
        let mut text = Vec::new();
        link.iterate()?
            .read_to_end(&mut text)
            .with_context(|| format!("cannot read iterator `{}`", link.name()))?;
        io::stdout().write_all(&text)?;
    }
    Ok(())
}

/// `syscall` programs have no event: each is run once, on an empty context.
fn run_once(loaded: &Loaded, output: &mut Output) -> anyhow::Result<()> {
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
fn packet_socket(loaded: &Loaded) -> anyhow::Result<Option<OwnedFd>> {
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

fn is_iterator(link: &Link) -> bool {
    let program = link.program();
    program.is_some_and(|program| program.section().kind() == AttachKind::Iterator)
}

fn say_loaded(loaded: &Loaded, verbose: u8) {
    if let Some(refusal) = loaded.refused_btf() {
        eprintln!("warning: loaded without types and lines of source: {refusal}");
    }
    if verbose == 0 {
        return;
    }
    for downgrade in loaded.downgrades() {
        eprintln!("downgraded: {downgrade}");
    }
    for map in loaded.maps() {
        let kind = map
            .map_type()
            .map_or_else(|| "?".into(), |map_type| map_type.to_string());
        eprintln!("map {}: {kind}, {} entries", map.name(), map.max_entries());
    }
    for program in loaded.programs() {
        let instructions = program.info().map_or(0, |info| info.verified_instructions);
        eprintln!(
            "program {}: {}, {instructions} instructions verified",
            program.name(),
            program.section()
        );
        if !program.log().is_empty() {
            eprintln!("{}", program.log());
        }
    }
}

fn say_attached(links: &[Link], verbose: u8) {
    if verbose > 0 {
        for link in links {
            eprintln!("attached {}: {}", link.name(), link.place());
        }
    }
}
