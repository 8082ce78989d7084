//! The sources of events of a run: rings, perf buffers, printk lines; one poller for all.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use skep::{
    Loaded, Object, PerfBuffer, PerfOptions, RingBuffer,
    abi::MapType,
    boundary::{Host as Boundary, Poller},
    isa::{CallTarget, Insn},
};

use super::{Format, Output, cells, printk::Printk, rows::EventRows, stop::Stop};

/// `bpf_trace_printk` and `bpf_trace_vprintk`.
const PRINTK: [u32; 2] = [6, 177];

/// Batches of one source that are printed before the next has its turn.
const TURNS: usize = 16;

enum Source {
    Ring(RingBuffer<[u8]>, EventRows),
    Perf(PerfBuffer<u8>, EventRows),
    Printk(Printk),
}

/// How often perf buffers are looked at for CPUs that went or came: each look interrupts those that
/// they have rings of.
const LOOK: Duration = Duration::from_secs(1);

/// Wake-ups for nothing in a row after which they are looked at at once: some kernels say without end
/// that a ring has ended.
const FOR_NOTHING: u32 = 3;

/// All sources of a run.
pub(crate) struct Events {
    host: Arc<dyn Boundary>,
    sources: Vec<Source>,
    poller: Box<dyn Poller>,
    ready: Vec<u64>,
    for_nothing: u32,
    /// When perf buffers were looked at.
    looked: Instant,
    /// How often CPUs came, each for itself, while it ran.
    came: BTreeMap<u32, u64>,
    count: u64,
    /// The source whose heads stand above the last row.
    headed: Option<usize>,
}

impl Events {
    /// Opens a reader for each map that carries events, and the printk lines if a program
    /// writes some.
    pub(crate) fn open(
        object: &Object,
        loaded: &Loaded,
        output: &mut Output,
    ) -> anyhow::Result<Self> {
        let boundary = loaded.host().boundary();
        let mut sources = Vec::new();
        for map in loaded.maps() {
            match map.map_type() {
                Some(MapType::Ringbuf) => {
                    let rows = EventRows::of(object, map, output.format)?;
                    let ring = RingBuffer::new(map.clone())?;
                    sources.push(Source::Ring(ring, rows));
                }
                Some(MapType::PerfEventArray) => {
                    let rows = EventRows::of(object, map, output.format)?;
                    let perf = PerfBuffer::new(map.clone(), PerfOptions::default())?;
                    sources.push(Source::Perf(perf, rows));
                }
                _ => {}
            }
        }
        if prints(loaded) {
            let printk = Printk::open(boundary)?;
            sources.push(Source::Printk(printk));
        }
        Ok(Self {
            host: Arc::clone(boundary),
            poller: poller(boundary.as_ref(), &sources)?,
            sources,
            ready: Vec::new(),
            for_nothing: 0,
            looked: Instant::now(),
            came: BTreeMap::new(),
            count: 0,
            headed: None,
        })
    }

    /// There is a source of events.
    pub(crate) fn any(&self) -> bool {
        !self.sources.is_empty()
    }

    /// Events printed.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Events that perf buffers had no room for: all of them, at the end of a run.
    pub(crate) fn lost(&mut self) -> u64 {
        let lost = self.sources.iter_mut().map(|source| match source {
            // What the host can't say is as far as it was read.
            Source::Perf(perf, _) => perf.count_lost().unwrap_or_else(|_| perf.lost()),
            Source::Ring(..) | Source::Printk(_) => 0,
        });
        lost.sum()
    }

    /// Records that were too short for their type.
    pub(crate) fn short(&self) -> u64 {
        let short = self.sources.iter().map(|source| match source {
            Source::Ring(_, rows) | Source::Perf(_, rows) => rows.short(),
            Source::Printk(_) => 0,
        });
        short.sum()
    }

    /// Waits until there may be events, the loop is woken, or the time is up.
    pub(crate) fn wait(&mut self, time: Duration, stop: &Stop) -> anyhow::Result<()> {
        let mut files = vec![PollFd::from_borrowed_fd(stop.woken(), PollFlags::IN)];
        let poller = self.poller.descriptor();
        files.extend(poller.map(|poller| PollFd::from_borrowed_fd(poller, PollFlags::IN)));
        match poll(&mut files, Some(&Timespec::try_from(time)?)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("cannot wait for events"),
        }
        stop.looks();
        // What is ready is looked for in all sources; this only takes note of it.
        self.poller.wait(Some(Duration::ZERO), &mut self.ready)?;
        self.for_nothing = match self.ready.is_empty() {
            true => 0,
            false => self.for_nothing + 1,
        };
        if self.for_nothing >= FOR_NOTHING {
            self.follow()?;
        }
        Ok(())
    }

    /// Has perf buffers follow CPUs that went offline or came online.
    pub(crate) fn follow(&mut self) -> anyhow::Result<()> {
        self.looked = Instant::now();
        self.for_nothing = 0;
        let mut changed = false;
        for source in &mut self.sources {
            let Source::Perf(perf, _) = source else {
                continue;
            };
            let before = perf.descriptors().count();
            let added = perf
                .refresh()
                .context("cannot follow the CPUs that are online")?;
            changed |= !added.is_empty() || perf.descriptors().count() != before;
            for cpu in added {
                *self.came.entry(cpu).or_default() += 1;
            }
        }
        if changed {
            self.poller = poller(self.host.as_ref(), &self.sources)?;
        }
        Ok(())
    }

    /// CPUs that came online while it ran, in words. What was sent from there before they were
    /// noticed was refused, which only programs can count.
    pub(crate) fn came(&self) -> impl Iterator<Item = String> {
        self.came.iter().map(|(cpu, times)| {
            let times = match times {
                1 => String::new(),
                times => format!(" {times} times"),
            };
            format!(
                "CPU {cpu} came online{times}: what was sent from there before it was noticed, \
                 within {} s, is lost and not counted unless the program does",
                LOOK.as_secs()
            )
        })
    }

    /// Prints what is there now, and answers how many events that were.
    pub(crate) fn drain(
        &mut self,
        context: cells::Context<'_>,
        output: &mut Output,
    ) -> anyhow::Result<u64> {
        if self.looked.elapsed() >= LOOK {
            self.follow()?;
        }
        let before = self.count;
        for (index, source) in self.sources.iter_mut().enumerate() {
            match source {
                Source::Ring(ring, rows) => {
                    for _ in 0..TURNS {
                        let batch = ring.batch()?;
                        if batch.is_empty() {
                            break;
                        }
                        head(&mut self.headed, index, rows, output)?;
                        self.for_nothing = 0;
                        for record in &batch {
                            self.count += u64::from(rows.print(record, context, output)?);
                        }
                    }
                }
                Source::Perf(perf, rows) => {
                    for _ in 0..TURNS {
                        let batch = perf.batch();
                        if batch.is_empty() {
                            break;
                        }
                        head(&mut self.headed, index, rows, output)?;
                        self.for_nothing = 0;
                        for record in batch.bytes() {
                            self.count += u64::from(rows.print(record, context, output)?);
                        }
                    }
                }
                Source::Printk(printk) => {
                    let mut text = String::new();
                    printk.read(|line| {
                        self.for_nothing = 0;
                        self.count += 1;
                        match output.format {
                            Format::Table => {
                                text.push_str(&format!(
                                    "{}-{} {}: {}\n",
                                    line.comm, line.tid, line.time, line.text
                                ));
                            }
                            Format::Json => {
                                let row = serde_json::json!({
                                    "printk": line.text, "comm": line.comm, "tid": line.tid,
                                    "time": line.time.parse::<f64>().ok(),
                                });
                                text.push_str(&format!("{row}\n"));
                            }
                        }
                    })?;
                    output.write(&text)?;
                }
            }
        }
        Ok(self.count - before)
    }
}

/// Waits for all of them.
fn poller(host: &dyn Boundary, sources: &[Source]) -> anyhow::Result<Box<dyn Poller>> {
    let mut poller = host.poller()?;
    for source in sources {
        match source {
            Source::Ring(ring, _) => poller.add(ring.descriptor(), 0)?,
            Source::Perf(perf, _) => {
                for event in perf.descriptors() {
                    poller.add(event, 0)?;
                }
            }
            Source::Printk(printk) => poller.add(printk.descriptor(), 0)?,
        }
    }
    Ok(poller)
}

/// Prints the heads of a source's columns, if the last row was another's.
fn head(
    headed: &mut Option<usize>,
    index: usize,
    rows: &EventRows,
    output: &mut Output,
) -> anyhow::Result<()> {
    if *headed != Some(index) && output.format == Format::Table {
        output.write(&rows.heads())?;
    }
    *headed = Some(index);
    Ok(())
}

/// Some program calls `bpf_trace_printk`.
fn prints(loaded: &Loaded) -> bool {
    loaded.image().programs.iter().any(|program| {
        skep::isa::decode_program(&program.instructions).flatten().any(|(_, insn)| {
            matches!(insn, Insn::Call(CallTarget::Helper(id)) if PRINTK.contains(&id))
        })
    })
}
