//! Stacks with names: addresses from the program's stack map, symbols by blazesym.
//!
//! User-space addresses are looked up by file and offset in it, from mappings that are noted
//! while the processes live: at the end many of them are gone.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use blazesym::symbolize::{
    Input, Symbolized, Symbolizer,
    source::{Elf, Kernel, Source},
};
use skep::{Loaded, Map, abi::MapType, boundary::Errno, recording::Name};

/// How often mappings of new processes are looked for: a process that lives shorter has no names.
pub(crate) const EVERY: Duration = Duration::from_millis(20);

/// A part of a process' memory that a file is mapped to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mapping {
    start: u64,
    end: u64,
    offset: u64,
    file: PathBuf,
}

/// The mappings of processes as they were when these ended.
type Ended = Arc<Mutex<HashMap<u32, Vec<Mapping>>>>;

/// The keys of a map that hold a user stack, and where their process id lies.
#[derive(Debug)]
struct Watched {
    map: Arc<Map>,
    pid_at: usize,
}

/// Symbols of stacks and addresses.
pub(crate) struct Stacks {
    traces: Option<Arc<Map>>,
    symbolizer: Symbolizer,
    mappings: RefCell<HashMap<u32, Vec<Mapping>>>,
    ended: Ended,
    watched: Vec<Watched>,
    looked: Cell<Option<Instant>>,
    /// Names that were given, by process (0: the kernel's) and address: for recordings.
    given: RefCell<BTreeMap<(u32, u64), String>>,
    /// Of a replay: there is nothing to look at beside what was given.
    replayed: bool,
}

impl Stacks {
    /// Prepares for the maps of a program; nothing is read before it is needed.
    pub(crate) fn new(loaded: &Loaded) -> Self {
        let traces = loaded
            .maps()
            .iter()
            .find(|map| map.map_type() == Some(MapType::StackTrace))
            .map(Arc::clone);
        Self {
            traces,
            symbolizer: Symbolizer::new(),
            mappings: RefCell::default(),
            ended: Ended::default(),
            watched: Vec::new(),
            looked: Cell::new(None),
            given: RefCell::default(),
            replayed: false,
        }
    }

    /// For a recording: with the map that has its stacks, and the names that were given then.
    pub(crate) fn recorded(traces: Option<Arc<Map>>, names: &[Name]) -> Self {
        let given = names.iter().map(|name| {
            let line = name.lines.first().cloned().unwrap_or_default();
            ((name.process, name.address), line)
        });
        Self {
            traces,
            symbolizer: Symbolizer::new(),
            mappings: RefCell::default(),
            ended: Ended::default(),
            watched: Vec::new(),
            looked: Cell::new(None),
            given: RefCell::new(given.collect()),
            replayed: true,
        }
    }

    /// The names that were given so far.
    pub(crate) fn given(&self) -> Vec<Name> {
        let given = self.given.borrow();
        let names = given.iter().map(|((process, address), line)| Name {
            process: *process,
            address: *address,
            lines: vec![line.clone()],
        });
        names.collect()
    }

    /// Gives the name that was given before, or keeps a new one.
    fn keep(&self, process: u32, address: u64, find: impl FnOnce() -> String) -> String {
        if let Some(known) = self.given.borrow().get(&(process, address)) {
            return known.clone();
        }
        let found = match self.replayed {
            true => format!("{address:#x}"),
            false => find(),
        };
        self.given
            .borrow_mut()
            .insert((process, address), found.clone());
        found
    }

    /// Notes the mappings of processes whose ids lie at `pid_at` in the keys of `map`.
    pub(crate) fn watch(&mut self, map: Arc<Map>, pid_at: usize) {
        self.watched.push(Watched { map, pid_at });
    }

    /// Some map has user stacks.
    pub(crate) fn watching(&self) -> bool {
        !self.watched.is_empty()
    }

    /// What notes the mappings of a process, from any thread: to be called when one is about to
    /// end. `None` if no map has user stacks.
    pub(crate) fn noter(&self) -> Option<Box<dyn Fn(u32) + Send + Sync>> {
        let ended = self.watching().then(|| Arc::clone(&self.ended))?;
        Some(Box::new(move |pid| {
            if let Some(mappings) = read_mappings(pid) {
                let mut ended = ended.lock().unwrap_or_else(PoisonError::into_inner);
                ended.insert(pid, mappings);
            }
        }))
    }

    /// Notes the mappings of processes that have appeared in the watched maps. Called often;
    /// does something seldom.
    pub(crate) fn remember(&self) {
        let lately = self
            .looked
            .get()
            .is_some_and(|looked| looked.elapsed() < EVERY);
        if self.watched.is_empty() || lately {
            return;
        }
        self.looked.set(Some(Instant::now()));
        let keys =
            self.watched.iter().flat_map(|watched| {
                let at = watched.pid_at;
                watched.map.keys().flatten().filter_map(move |key| {
                    key.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
                })
            });
        let new: Vec<u32> = keys
            .filter(|pid| !self.mappings.borrow().contains_key(pid))
            .collect();
        for pid in new {
            if let Some(mappings) = read_mappings(pid) {
                self.mappings.borrow_mut().insert(pid, mappings);
            }
        }
    }

    /// The frames of a stack that `bpf_get_stackid` named, innermost first. `pid` is the process
    /// of a user stack; without it, the stack is the kernel's.
    pub(crate) fn frames(&self, id: i32, pid: Option<u32>) -> Vec<String> {
        if id < 0 {
            // No user stack (a kernel thread) is the common case and says nothing.
            return match Errno(-id) {
                Errno::EFAULT => Vec::new(),
                Errno::EEXIST => {
                    vec!["[lost: the stack map has another stack in its place]".into()]
                }
                Errno::ENOMEM => vec!["[lost: the stack map is full]".into()],
                errno => vec![format!("[no stack: {errno}]")],
            };
        }
        let Some(traces) = &self.traces else {
            return vec![format!("[stack {id}: no stack map]")];
        };
        let value = match traces.lookup(&id.to_ne_bytes()) {
            Ok(Some(value)) => value,
            Ok(None) => return vec!["[lost: the stack was overwritten]".into()],
            Err(error) => return vec![format!("[{error}]")],
        };
        let addresses: Vec<u64> = value
            .chunks_exact(8)
            .map(|bytes| u64::from_ne_bytes(bytes.try_into().unwrap_or_default()))
            .take_while(|address| *address != 0)
            .collect();
        match pid {
            Some(pid) => addresses
                .iter()
                .map(|address| self.user(pid, *address))
                .collect(),
            None => self.kernel(&addresses),
        }
    }

    /// Names of kernel addresses.
    pub(crate) fn kernel(&self, addresses: &[u64]) -> Vec<String> {
        let known = |address: &u64| self.given.borrow().contains_key(&(0, *address));
        let found = match self.replayed || addresses.iter().all(known) {
            true => Vec::new(),
            false => self.kernel_symbols(addresses),
        };
        let mut found = found.into_iter();
        let named = addresses.iter().map(|address| {
            let symbol = found.next();
            self.keep(0, *address, || {
                symbol.unwrap_or_else(|| format!("{address:#x}"))
            })
        });
        named.collect()
    }

    fn kernel_symbols(&self, addresses: &[u64]) -> Vec<String> {
        let source = Source::Kernel(Kernel::default());
        match self
            .symbolizer
            .symbolize(&source, Input::AbsAddr(addresses))
        {
            Ok(symbols) => addresses
                .iter()
                .zip(symbols)
                .map(|(at, symbol)| named(*at, &symbol))
                .collect(),
            Err(_) => addresses
                .iter()
                .map(|address| format!("{address:#x}"))
                .collect(),
        }
    }

    /// The name of an address of a process.
    pub(crate) fn user(&self, pid: u32, address: u64) -> String {
        self.keep(pid, address, || self.user_symbol(pid, address))
    }

    fn user_symbol(&self, pid: u32, address: u64) -> String {
        let Some(mapping) = self.mapping(pid, address) else {
            return format!("{address:#x}");
        };
        let offset = address - mapping.start + mapping.offset;
        let mut elf = Elf::new(&mapping.file);
        elf.debug_syms = false;
        let symbol = self
            .symbolizer
            .symbolize_single(&Source::Elf(elf), Input::FileOffset(offset))
            .unwrap_or(Symbolized::Unknown(
                blazesym::symbolize::Reason::IgnoredError,
            ));
        match symbol {
            Symbolized::Sym(_) => named(address, &symbol),
            Symbolized::Unknown(_) => format!("[{}]+{offset:#x}", file_name(&mapping.file)),
        }
    }

    fn mapping(&self, pid: u32, address: u64) -> Option<Mapping> {
        let find = |mappings: &Vec<Mapping>| {
            mappings
                .iter()
                .find(|map| (map.start..map.end).contains(&address))
                .cloned()
        };
        if let Some(found) = self.mappings.borrow().get(&pid).and_then(find) {
            return Some(found);
        }
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = ended.get(&pid).and_then(find) {
            return Some(found);
        }
        drop(ended);
        // New, or grown since it was noted.
        let fresh = read_mappings(pid)?;
        let found = find(&fresh);
        self.mappings.borrow_mut().insert(pid, fresh);
        found
    }
}

fn named(address: u64, symbol: &Symbolized<'_>) -> String {
    match symbol {
        Symbolized::Sym(symbol) => format!("{}+{:#x}", symbol.name, symbol.offset),
        Symbolized::Unknown(_) => format!("{address:#x}"),
    }
}

/// A frame without the place in its function.
pub(crate) fn function(frame: &str) -> &str {
    frame
        .rsplit_once("+0x")
        .map_or(frame, |(function, _)| function)
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .map_or_else(|| "?".into(), |name| name.to_string_lossy().into_owned())
}

/// The file mappings of a process, if it is there and has any.
fn read_mappings(pid: u32) -> Option<Vec<Mapping>> {
    let text = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let mappings: Vec<Mapping> = text.lines().filter_map(parse_mapping).collect();
    (!mappings.is_empty()).then_some(mappings)
}

/// `7f12…-7f13… r-xp 00028000 fe:00 1234   /lib/libc.so.6`
fn parse_mapping(line: &str) -> Option<Mapping> {
    let mut words = line.split_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let offset = words.nth(1)?;
    let file = line.find('/').map(|at| &line[at..])?;
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    Some(Mapping {
        start: hex(start)?,
        end: hex(end)?,
        offset: hex(offset)?,
        file: file.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_of_files() {
        let line = "7f00-7f80 r-xp 00028000 fe:00 1234                 /lib/a lib.so";
        let wanted = Mapping {
            start: 0x7f00,
            end: 0x7f80,
            offset: 0x28000,
            file: "/lib/a lib.so".into(),
        };
        assert_eq!(parse_mapping(line), Some(wanted));
        assert_eq!(
            parse_mapping("7f00-7f80 rw-p 00000000 00:00 0   [heap]"),
            None
        );
    }

    #[test]
    fn this_process_has_names() {
        let stacks = Stacks {
            traces: None,
            symbolizer: Symbolizer::new(),
            mappings: RefCell::default(),
            ended: Ended::default(),
            watched: Vec::new(),
            looked: Cell::new(None),
            given: RefCell::default(),
            replayed: false,
        };
        let address = std::process::exit as fn(i32) -> ! as usize as u64;
        let name = stacks.user(std::process::id(), address);
        assert!(name.contains("exit"), "{name}");
    }
}
