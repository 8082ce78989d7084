//! What a program is answered in a replay: the items of an event, each handed out where it was
//! recorded.

use std::{collections::HashMap, sync::Arc};

use skep_record::{ProgramSites, Recording, Site, Sites};

/// How items find the places that ask for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Matching {
    /// By the place, in order: the program is the one that was recorded.
    Places,
    /// By what is asked for, in order among the same: it is another version of it.
    Kinds,
}

/// The items of the event that is replayed.
pub(super) struct Answers {
    recording: Arc<Recording>,
    /// The places of the programs that run here.
    here: Sites,
    matching: Matching,
    /// Of the running program: its number in the recording, and its places.
    recorded: usize,
    running: usize,
    items: Vec<Item>,
    bytes: Vec<u8>,
    next: usize,
    mismatch: Option<String>,
    /// For the running program: each place's kind, recorded and here.
    kinds: HashMap<(bool, usize, u32), String>,
}

/// A call that asks for bytes.
pub(super) struct Asked {
    pub(super) site: u64,
    pub(super) size: usize,
    /// Where it would read them, if it reads memory.
    pub(super) from: u64,
}

struct Item {
    site: u32,
    value: u64,
    /// Where its bytes were read.
    from: Option<u64>,
    start: usize,
    len: usize,
    used: bool,
}

impl Answers {
    pub(super) fn new(recording: Arc<Recording>, here: Sites, matching: Matching) -> Self {
        Self {
            recording,
            here,
            matching,
            recorded: 0,
            running: 0,
            items: Vec::new(),
            bytes: Vec::new(),
            next: 0,
            mismatch: None,
            kinds: HashMap::new(),
        }
    }

    /// Whether a program looks into its packet by itself.
    pub(super) fn reads_packet(&self, name: &str) -> bool {
        let mut programs = self.here.programs.iter();
        programs.any(|program| program.name == name && program.reads_packet)
    }

    /// Begins an event of this program.
    pub(super) fn begin(&mut self, number: usize, program: usize, name: &str) {
        self.items.clear();
        self.bytes.clear();
        (self.next, self.mismatch) = (0, None);
        self.recorded = program;
        let mut programs = self.here.programs.iter();
        self.running = programs
            .position(|program| program.name == name)
            .unwrap_or_default();
        let recording = Arc::clone(&self.recording);
        let Some(event) = recording.event(number) else {
            return;
        };
        let places = recording.sites().programs.get(program);
        for item in event.seen() {
            let start = self.bytes.len();
            let site = places.and_then(|places| places.at(item.site));
            let (from, bytes) = match site.is_some_and(Site::has_address) {
                true => item
                    .bytes
                    .split_first_chunk()
                    .map_or((None, item.bytes), |(from, rest)| {
                        (Some(u64::from_ne_bytes(*from)), rest)
                    }),
                false => (None, item.bytes),
            };
            self.bytes.extend_from_slice(bytes);
            self.items.push(Item {
                site: item.site,
                value: item.value,
                from,
                start,
                len: bytes.len(),
                used: false,
            });
        }
    }

    /// `u64 value(u32 site)`
    pub(super) fn value(&mut self, site: u64) -> Result<u64, String> {
        let item = self.take(site, None)?;
        Ok(self.items[item].value)
    }

    /// `u64 bytes(u32 site, void *to, u32 size, u64 from)`
    pub(super) fn bytes(
        &mut self,
        asked: &Asked,
        write: impl FnOnce(&[u8]),
    ) -> Result<u64, String> {
        let size = asked.size;
        let item = self.take(asked.site, Some(asked.from))?;
        let Item {
            value, start, len, ..
        } = self.items[item];
        if len > size {
            let problem = format!("{len} bytes were recorded, and {size} are asked for");
            return Err(self.miss(problem));
        }
        write(&self.bytes[start..start + len]);
        Ok(value)
    }

    /// `u64 check(u32 site, u64 answer)`
    pub(super) fn check(&mut self, site: u64, answer: u64) -> Result<u64, String> {
        let what = self.here(site).map_or("", |found| found.what.as_str());
        let reserve = what == "bpf_ringbuf_reserve";
        let pointer = reserve || what.contains("_lookup_") || what == "bpf_dynptr_data";
        let item = match self.matching {
            Matching::Places => self.take(site, None)?,
            Matching::Kinds => match self.find(site, None) {
                Some(item) => item,
                // It is the program's own: a version that asks more often is free to.
                None => return Ok(answer),
            },
        };
        let was = self.items[item].value;
        if reserve && was == 0 {
            // There was no room then: this is the world's.
            return Ok(0);
        }
        let same = match pointer {
            true => (was == 0) == (answer == 0),
            false => was == answer,
        };
        if same || self.matching == Matching::Kinds {
            return Ok(answer);
        }
        let problem = match (pointer, answer) {
            (true, 0) => "found nothing, and something when it was recorded".into(),
            (true, _) => "found something, and nothing when it was recorded".into(),
            (false, answer) => format!(
                "answered {}, and {} when it was recorded",
                answer.cast_signed(),
                was.cast_signed()
            ),
        };
        let place = self.describe_here(site);
        Err(self.miss(format!("{place} {problem}")))
    }

    /// What the program has not asked for: the first of it.
    pub(super) fn left(&self) -> Option<String> {
        let item = self.items.get(self.next)?;
        Some(self.describe_recorded(item.site))
    }

    /// Why the last answer was refused.
    pub(super) fn take_mismatch(&mut self) -> Option<String> {
        self.mismatch.take()
    }

    fn miss(&mut self, problem: String) -> String {
        self.mismatch = Some(problem.clone());
        problem
    }

    /// The next item, if it is for this place.
    fn take(&mut self, site: u64, from: Option<u64>) -> Result<usize, String> {
        if self.matching == Matching::Kinds {
            return match self.find(site, from) {
                Some(item) => Ok(item),
                None => {
                    let place = self.describe_here(site);
                    Err(self.miss(format!(
                        "{place} is asked for, and was not recorded (again)"
                    )))
                }
            };
        }
        match self.items.get_mut(self.next) {
            Some(item) if u64::from(item.site) == site => {
                item.used = true;
                self.next += 1;
                Ok(self.next - 1)
            }
            found => {
                let found = found.map(|item| item.site);
                let asked = self.describe_here(site);
                let problem = match found {
                    Some(next) => format!(
                        "{asked} is asked for, and when it was recorded, {} came next",
                        self.describe_recorded(next)
                    ),
                    None => format!("{asked} is asked for, and nothing more was recorded"),
                };
                Err(self.miss(problem))
            }
        }
    }

    /// The first item of the same kind, and of the same address where it has one, that was not
    /// taken.
    fn find(&mut self, site: u64, from: Option<u64>) -> Option<usize> {
        let wanted = self.kind(false, u32::try_from(site).ok()?);
        for index in 0..self.items.len() {
            let Item {
                site,
                used,
                from: was,
                ..
            } = self.items[index];
            let same = was.is_none() || was == from;
            if !used && same && self.kind(true, site) == wanted {
                self.items[index].used = true;
                return Some(index);
            }
        }
        None
    }

    fn kind(&mut self, recorded: bool, site: u32) -> String {
        let program = if recorded {
            self.recorded
        } else {
            self.running
        };
        let key = (recorded, program, site);
        if let Some(known) = self.kinds.get(&key) {
            return known.clone();
        }
        let found = match recorded {
            true => self.of_recording().and_then(|program| program.at(site)),
            false => self.here(site.into()),
        };
        let kind = found.map_or_else(String::new, |found| found.what.clone());
        self.kinds.insert(key, kind.clone());
        kind
    }

    fn of_recording(&self) -> Option<&ProgramSites> {
        self.recording.sites().programs.get(self.recorded)
    }

    fn here(&self, site: u64) -> Option<&Site> {
        let program = self.here.programs.get(self.running)?;
        program.at(u32::try_from(site).ok()?)
    }

    fn describe_here(&self, site: u64) -> String {
        describe(self.here(site), site)
    }

    fn describe_recorded(&self, site: u32) -> String {
        let found = self.of_recording().and_then(|program| program.at(site));
        describe(found, site.into())
    }
}

fn describe(site: Option<&Site>, number: u64) -> String {
    match site {
        Some(site) => format!("{} at {}", site.what, site.place),
        None => format!("instruction {number}"),
    }
}
