//! `skep run`: from a source or an object to its events, until the user, the clock or the
//! command ends it; then the maps, the losses, and nothing left behind.
//!
//! What the run is over is a [`Workload`], a file each: this one only tells
//! the story.

mod args;
mod attach;
mod cells;
mod choices;
mod command;
mod coverage;
mod events;
mod faults;
mod histogram;
mod json;
mod losses;
mod map_table;
mod maps;
mod output;
mod packets;
mod places;
mod printk;
mod recording;
mod replay;
mod rows;
mod stacks;
mod stop;
mod table;
mod traced;
mod workload;

use std::{os::fd::AsRawFd as _, process::ExitCode, time::Instant};

use skep::{AttachOptions, LoadOptions, Loaded, abi::LoaderFeature, spec::Downgrade};

pub(crate) use args::{Format, RunArgs};
pub(crate) use command::{HIDDEN, become_command};
pub(crate) use output::Output;
pub(crate) use packets::{NETWORKED, become_networked};

use crate::{cli::Global, input, report};
use attach::is_iterator;
use cells::Context;
use events::Events;
use losses::Losses;
use stop::Stop;
use workload::{Turn, Workload};

/// Runs a program until it is told to stop.
pub(crate) fn run(args: RunArgs, global: &Global) -> anyhow::Result<ExitCode> {
    if let Some(path) = &args.replay {
        return replay::run(path, &args, global);
    }
    let stop = Stop::install()?;
    command::check(&args.command)?;
    let mut object = input::open(args.program(), &args.compile, global)?;
    choices::apply(&mut object, &args)?;
    let host = coverage::host(&args, &object)?;
    choices::translate(&mut object, &host, &args)?;
    let mut workload = workload::of(&args, &host, &mut object, &stop)?;

    object.settle(&host, &load_options(global))?;
    let mut recording = recording::prepare(&args, &object, &host, global)?;
    let loaded = match &recording {
        Some(recording) => recording.load(&object, &host, &load_options(global))?,
        None => object.load_with(&host, &load_options(global))?,
    };
    say_loaded(&loaded, global.verbose);

    let mut output = Output::new(args.format, Some(stop.try_clone()?));
    let mut events = Events::open(&object, &loaded, &mut output)?;
    let mut stacks = stacks::Stacks::new(&loaded);
    maps::watch_stacks(&loaded, &mut stacks);
    let context = Context::begin(&stacks);
    if let Some(recording) = &mut recording {
        recording.begin(&loaded, context)?;
    }
    let socket = match host.as_vm() {
        Some(_) => None,
        None => attach::packet_socket(&loaded)?,
    };
    let mut options = AttachOptions {
        socket: socket.as_ref().map(|socket| socket.as_raw_fd()),
        ..attach::options(&args, &object, workload.pid())
    };
    args.places.fill(&loaded, &mut options)?;
    let links = workload
        .attach(&loaded, &options)
        .map_err(report::NothingLeft)?;
    attach::say_attached(&links, global.verbose);
    let mut losses = Losses::begin(&loaded);

    if let Some(note) = stacks.noter() {
        workload.on_exits(note);
    }
    if !stop.asked() {
        workload.begin()?;
    }
    attach::print_iterators(&links, &mut output)?;
    attach::run_once(&loaded, &mut output)?;
    let goes_on = links.iter().any(|link| !is_iterator(link)) || events.any();
    if goes_on || !args.command.is_empty() {
        let end = args.duration.map(|duration| Instant::now() + duration);
        output.ends_at(end);
        watch(
            &stop,
            end,
            workload.as_mut(),
            &mut events,
            recording.as_mut(),
            context,
            &mut output,
        )?;
    }

    workload.end(&mut losses)?;
    losses.probes(&links);
    drop(links);
    output.insist();
    events.follow()?;
    // Nothing comes any more, and one turn is not all that a large ring may hold.
    while events.drain(context, &mut output)? > 0 {}
    losses.end(&object, &loaded)?;
    workload.results(&mut output)?;
    maps::print(&object, &loaded, &args, context, &mut output)?;
    losses.print(&mut events, &mut output)?;
    output.flush()?;
    if let Some(recording) = &mut recording {
        recording.end(context)?;
    }
    losses.summary(&mut events, global.verbose > 0);
    coverage::finish(&args, &object, &loaded, global.verbose)?;
    workload.leave();
    match workload.failure() {
        Some(error) => Err(error),
        None => Ok(workload.exit_code()),
    }
}

/// Prints events until something ends the run.
fn watch(
    stop: &Stop,
    end: Option<Instant>,
    workload: &mut dyn Workload,
    events: &mut Events,
    mut recording: Option<&mut recording::Recording>,
    context: Context<'_>,
    output: &mut Output,
) -> anyhow::Result<()> {
    while !stop.asked() {
        let printed = events.drain(context, output)?;
        if let Some(recording) = &mut recording {
            recording.drain()?;
        }
        context.symbols().remember();
        let longest = match workload.turn()? {
            Turn::Ended => break,
            Turn::More => None,
            Turn::Wait(longest) => Some(longest),
        };
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            break;
        }
        // There may be more, that no wake-up tells of: a program need not ask for them. And rows
        // are flushed when there is none.
        let Some(mut longest) = longest.filter(|_| printed == 0) else {
            continue;
        };
        output.flush()?;
        if context.symbols().watching() {
            longest = longest.min(stacks::EVERY);
        }
        if recording.is_some() {
            longest = longest.min(recording::EVERY);
        }
        events.wait(left.map_or(longest, |left| left.min(longest)), stop)?;
    }
    Ok(())
}

fn load_options(global: &Global) -> LoadOptions {
    LoadOptions {
        log_level: match global.verbose {
            0 | 1 => skep::boundary::LogLevel::OnFailure,
            2 => skep::boundary::LogLevel::Verbose,
            _ => skep::boundary::LogLevel::States,
        },
        ..LoadOptions::default()
    }
}

fn say_loaded(loaded: &Loaded, verbose: u8) {
    for fallback in loaded.fallbacks() {
        say!("fell back: {fallback}");
    }
    // What the source asked for, and is another way for its events to come.
    let rings = |downgrade: &&Downgrade| downgrade.feature == LoaderFeature::RingBuffers;
    if let Some(downgrade) = loaded.downgrades().iter().find(rings) {
        say!("fell back: {downgrade}");
    }
    if let Some(refusal) = loaded.refused_btf() {
        say!("warning: loaded without types and lines of source: {refusal}");
    }
    if verbose == 0 {
        return;
    }
    for downgrade in loaded.downgrades() {
        say!("downgraded: {downgrade}");
    }
    for map in loaded.maps() {
        let kind = map
            .map_type()
            .map_or_else(|| "?".into(), |map_type| map_type.to_string());
        say!("map {}: {kind}, {} entries", map.name(), map.max_entries());
    }
    for program in loaded.programs() {
        let verified = match program.info().map_or(0, |info| info.verified_instructions) {
            // Nobody verifies what is checked while it runs.
            0 => String::new(),
            instructions => format!(", {instructions} instructions verified"),
        };
        say!(
            "program {}: {}{verified}",
            program.name(),
            program.section()
        );
        if !program.log().is_empty() {
            say!("{}", program.log());
        }
    }
}
