//! Nothing silent: what was lost on the way, counted by whoever lost it, and shown.

use skep::{Link, Loaded, Object, vm::TraceCounts};

use super::{Format, Output, events::Events, faults::Faults};

/// The global that `SKEP_LOST()` of `skep.h` counts in.
const COUNTER: &str = "skep_lost";

/// What was lost in a run.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    /// Counted by the program: a full ring or map.
    program: u64,
    /// Probes that the kernel left out.
    missed: u64,
    /// Runs left out, by programs' counters when the run began.
    recursion: u64,
    /// Runs that ended with a fault.
    faults: Faults,
    /// What a workload says of itself, one line each.
    said: Vec<String>,
}

impl Losses {
    /// Notes where the kernel's counters stand.
    pub(crate) fn begin(loaded: &Loaded) -> Self {
        Self {
            recursion: recursion(loaded),
            ..Self::default()
        }
    }

    /// Asks the links, while they are there, for what they left out.
    pub(crate) fn probes(&mut self, links: &[Link]) {
        let counts = links.iter().filter_map(|link| link.missed().ok());
        self.missed = counts.flatten().sum();
    }

    /// Reads the final counts.
    pub(crate) fn end(&mut self, object: &Object, loaded: &Loaded) -> anyhow::Result<()> {
        self.recursion = recursion(loaded).saturating_sub(self.recursion);
        self.faults.place(loaded);
        let counters = object
            .spec()
            .variables()
            .iter()
            .filter(|v| v.name == COUNTER && v.size == 8);
        for counter in counters {
            let bytes = loaded.global(counter)?;
            let count = bytes.try_into().map_or(0, u64::from_ne_bytes);
            self.program = self.program.saturating_add(count);
        }
        Ok(())
    }

    /// Adds runs that ended with a fault, and the first of them in words.
    pub(crate) fn faults(&mut self, count: u64, first: impl IntoIterator<Item = String>) {
        self.faults.add(count, first);
    }

    /// Adds a line that a workload says of what it lost.
    pub(crate) fn say(&mut self, line: String) {
        self.said.push(line);
    }

    /// Adds what a tracer could not show to programs.
    pub(crate) fn traced(&mut self, counts: TraceCounts) {
        self.faults(counts.faults, counts.first_faults);
        if counts.foreign_calls > 0 {
            self.say(format!(
                "{} system calls were not seen: made by the tables of another machine (32-bit \
                 programs)",
                counts.foreign_calls
            ));
        }
        /// Places that are named; the others are counted.
        const NAMED: usize = 3;
        for refused in counts.refused.iter().take(NAMED) {
            let (binary, offset) = (refused.binary.display(), refused.offset);
            self.say(format!("{binary} at {offset:#x}: {}", refused.reason));
        }
        if let Some(more @ 1..) = counts.refused.len().checked_sub(NAMED) {
            self.say(format!("{more} more places are not probed in full"));
        }
        if counts.missed_ticks > 0 {
            self.say(format!(
                "{} samples missed: a thread did not run when it was looked at, or was in a system \
                 call whose end a program waits for",
                counts.missed_ticks
            ));
        }
        if counts.lost_tasks > 0 {
            let lost = counts.lost_tasks;
            self.say(format!("{lost} threads could not be traced to their end"));
        }
    }

    /// Where machines read along, the last line of a run that lost something: how much, by how it was
    /// lost.
    pub(crate) fn print(&self, events: &mut Events, output: &mut Output) -> anyhow::Result<()> {
        let counts = [
            ("lost", self.program.saturating_add(events.lost())),
            ("missed_probes", self.missed),
            ("missed_runs", self.recursion),
            ("short_records", events.short()),
        ];
        let counts: serde_json::Map<_, _> = counts
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(name, count)| (name.to_owned(), count.into()))
            .collect();
        if output.format == Format::Json && !counts.is_empty() {
            output.write(&format!("{}\n", serde_json::Value::Object(counts)))?;
        }
        Ok(())
    }

    /// The last lines of a run, on stderr; all faults that are known with `verbose`.
    pub(crate) fn summary(&self, events: &mut Events, verbose: bool) {
        let lost = self.program.saturating_add(events.lost());
        if events.any() || lost > 0 {
            let count = events.count();
            say!(
                "{count} event{}, {lost} lost",
                if count == 1 { "" } else { "s" }
            );
        }
        if lost > 0 {
            say!("lost: a ring or map was full; make it larger with --map-size, or filter more");
        }
        if self.missed > 0 {
            say!("{} probes missed: the host left them out", self.missed);
        }
        if self.recursion > 0 {
            say!(
                "{} runs missed: the program was already running on that CPU",
                self.recursion
            );
        }
        for line in events.came() {
            say!("{line}");
        }
        self.faults.say(verbose);
        for line in &self.said {
            say!("{line}");
        }
        if events.short() > 0 {
            say!(
                "{} records were shorter than their type and are not shown",
                events.short()
            );
        }
    }
}

fn recursion(loaded: &Loaded) -> u64 {
    loaded
        .programs()
        .filter_map(|program| program.info().ok())
        .map(|info| info.recursion_misses)
        .sum()
}
