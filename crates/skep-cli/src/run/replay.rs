//! `skep run --replay FILE`: the programs of a recording see again what they saw, in the virtual
//! machine, and what they send and count is printed as it was; or `--list` prints what was
//! recorded.

use std::{fs, path::Path, process::ExitCode, sync::Arc, time::Instant};

use anyhow::Context as _;
use skep::{
    Loaded,
    abi::MapType,
    recording::{Difference, Event, Recording, Replay},
};

use super::{
    Output, RunArgs, cells::Context, choices, events::Events, losses::Losses, maps, stacks::Stacks,
};
use crate::{
    cli::Global,
    exit::{Exit, Usage},
    input,
};

/// How many differences are said one by one.
const SAID: usize = 10;
/// Bytes of a ring that an event may need, before it is read again.
const ROOM: u32 = 16 << 10;

/// Replays or lists.
pub(crate) fn run(path: &Path, args: &RunArgs, global: &Global) -> anyhow::Result<ExitCode> {
    let shown = path.display();
    let bytes = fs::read(path).with_context(|| format!("cannot read {shown}"))?;
    let recording = Recording::parse(bytes).map_err(skep::Error::from);
    let recording = recording.with_context(|| format!("cannot replay {shown}"))?;
    let recording = Arc::new(recording);
    say_what(&recording);
    let own = args.program() == Path::new("");
    let choices = args.set.len() + args.only.len() + args.map_size.len() + args.config.len();
    if own && choices > 0 {
        let text = "--set, --only, --map-size and --config: a recording is replayed with what was \
                    chosen for it; give the program to replay it by";
        return Err(Usage(text.into()).into());
    }
    if args.list {
        return list(&recording, args);
    }
    let mut replay = if own {
        Replay::new(Arc::clone(&recording))?
    } else {
        let mut object = input::open(args.program(), &args.compile, global)?;
        choices::apply(&mut object, args)?;
        Replay::by(Arc::clone(&recording), object)?
    };
    let mut output = Output::new(args.format, None);
    let mut events = Events::open(replay.object(), replay.loaded(), &mut output)?;
    let stacks = Stacks::recorded(replay.stacks().cloned(), recording.names());
    let context = Context::began_at(recording.header().zero, &stacks);
    let mut losses = Losses::begin(replay.loaded());
    let turn = turn(replay.loaded());
    let began = Instant::now();
    let mut differences = Differences::default();
    for number in 0..recording.len() {
        differences.add(replay.run(number)?);
        if number % turn == turn - 1 {
            events.drain(context, &mut output)?;
        }
    }
    while events.drain(context, &mut output)? > 0 {}
    let took = began.elapsed();
    losses.end(replay.object(), replay.loaded())?;
    maps::print(replay.object(), replay.loaded(), args, context, &mut output)?;
    losses.print(&mut events, &mut output)?;
    output.flush()?;
    losses.summary(&mut events, global.verbose > 0);
    let rate = recording.len() as f64 / took.as_secs_f64().max(1e-9);
    say!("replayed {} events, {rate:.0} a second", recording.len());
    Ok(differences.end())
}

/// Events that are run before rings are read.
fn turn(loaded: &Loaded) -> usize {
    let rings = loaded
        .maps()
        .iter()
        .filter(|map| map.map_type() == Some(MapType::Ringbuf));
    let smallest = rings.map(|map| map.max_entries()).min().unwrap_or(1 << 20);
    (smallest / ROOM).clamp(1, 64) as usize
}

/// What came out otherwise.
#[derive(Debug, Default)]
struct Differences {
    count: usize,
}

impl Differences {
    fn add(&mut self, difference: Option<Difference>) {
        let Some(difference) = difference else { return };
        self.count += 1;
        if self.count <= SAID {
            say!("differs: {difference}");
        }
    }

    fn end(&self) -> ExitCode {
        if self.count == 0 {
            return ExitCode::SUCCESS;
        }
        if self.count > SAID {
            say!("and {} more", self.count - SAID);
        }
        say!(
            "{} event{} came out otherwise than recorded",
            self.count,
            if self.count == 1 { "" } else { "s" }
        );
        Exit::Failed.into()
    }
}

fn say_what(recording: &Recording) {
    let header = recording.header();
    say!(
        "host: vm (replay of {} as it was on {})",
        header.program,
        header.host
    );
    let lost = recording.lost();
    if lost.all() > 0 {
        say!(
            "{} events were not recorded: what depends on them comes out otherwise",
            lost.all()
        );
    }
    if !recording.is_whole() {
        say!("the recording was not ended: its last events may be missing");
    }
}

fn list(recording: &Recording, args: &RunArgs) -> anyhow::Result<ExitCode> {
    let mut output = Output::new(args.format, None);
    let zero = recording.header().zero;
    if args.format == super::Format::Table {
        output.write(
            "  EVENT        TIME  CPU      PID  COMM              RESULT  SEEN  PROGRAM\n",
        )?;
    }
    for (number, event) in recording.events().enumerate() {
        let Some(event) = event else { continue };
        output.write(&line(recording, number, &event, zero, args.format))?;
    }
    output.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn line(
    recording: &Recording,
    number: usize,
    event: &Event<'_>,
    zero: u64,
    format: super::Format,
) -> String {
    let seconds = (i128::from(event.time()) - i128::from(zero)) as f64 / 1e9;
    let program = recording.sites().programs.get(event.program() as usize);
    let name = program.map_or("?", |program| program.name.as_str());
    let comm = String::from_utf8_lossy(event.comm());
    let comm = comm.trim_matches(char::is_control);
    let seen = event.seen().count();
    let result = event.result() as u32 as i32;
    if format == super::Format::Json {
        let row = serde_json::json!({
            "event": number, "time": seconds, "cpu": event.cpu(), "pid": event.tgid(),
            "tid": event.pid(), "comm": comm, "result": result, "seen": seen, "program": name,
            "whole": event.cut().is_none(),
        });
        return format!("{row}\n");
    }
    let cut = if event.cut().is_some() {
        "  not whole"
    } else {
        ""
    };
    format!(
        "{number:>7}  {seconds:>10.6}  {:>3}  {:>7}  {comm:<16}  {result:>6}  {seen:>4}  {name}{cut}\n",
        event.cpu(),
        event.tgid(),
    )
}
