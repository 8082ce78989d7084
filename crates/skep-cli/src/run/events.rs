//! The sources of events of a run: rings, perf buffers, printk lines; one poller for all.

use std::time::Duration;

use anyhow::Context as _;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use skep::{
    Loaded, Object, PerfBuffer, PerfOptions, RingBuffer,
    abi::MapType,
    boundary::Poller,
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

/// All sources of a run.
pub(crate) struct Events {
    sources: Vec<Source>,
    poller: Box<dyn Poller>,
    ready: Vec<u64>,
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
        let mut poller = boundary.poller()?;
        let mut sources = Vec::new();
        for map in loaded.maps() {
            match map.map_type() {
                Some(MapType::Ringbuf) => {
                    let rows = EventRows::of(object, map, output.format)?;
                    let ring = RingBuffer::new(map.clone())?;
                    poller.add(ring.descriptor(), 0)?;
                    sources.push(Source::Ring(ring, rows));
                }
                Some(MapType::PerfEventArray) => {
                    let rows = EventRows::of(object, map, output.format)?;
                    let perf = PerfBuffer::new(map.clone(), PerfOptions::default())?;
                    for event in perf.descriptors() {
                        poller.add(event, 0)?;
                    }
                    sources.push(Source::Perf(perf, rows));
                }
                _ => {}
            }
        }
        if prints(loaded) {
            let printk = Printk::open(boundary)?;
            poller.add(printk.descriptor(), 0)?;
            sources.push(Source::Printk(printk));
        }
        Ok(Self {
            sources,
            poller,
            ready: Vec::new(),
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

    /// Events that perf buffers had no room for.
    pub(crate) fn lost(&self) -> u64 {
        let lost = self.sources.iter().map(|source| match source {
            Source::Perf(perf, _) => perf.lost(),
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
        Ok(self.poller.wait(Some(Duration::ZERO), &mut self.ready)?)
    }

    /// Prints what is there now, and answers how many events that were.
    pub(crate) fn drain(
        &mut self,
        context: cells::Context<'_>,
        output: &mut Output,
    ) -> anyhow::Result<u64> {
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
                        for record in batch.bytes() {
                            self.count += u64::from(rows.print(record, context, output)?);
                        }
                    }
                }
                Source::Printk(printk) => {
                    let mut text = String::new();
                    printk.read(|line| {
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
