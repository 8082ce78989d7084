//! An address space with breakpoints: what is inserted where, and put back.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{File, OpenOptions},
    io,
    ops::Range,
    os::unix::fs::FileExt as _,
    sync::Arc,
};

use libc::pid_t;
use skep_host::Errno;

use super::{
    areas::Areas,
    inject,
    maps::{self, FileId, Mapping},
    places::{Place, Places},
    refused::Reason,
    relocate::{Decoded, LONGEST, Slot},
    returns::Frames,
    starts::Starts,
    thread::Statuses,
};

/// `int3`
const BREAK: u8 = 0xcc;

/// How a thread goes on that has met a breakpoint.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// There, and nothing is left to do.
    Skip(u64),
    /// In this slot.
    Slot(u64, Arc<Slot>),
}

/// A breakpoint.
#[derive(Debug, Clone)]
pub(super) struct Breakpoint {
    /// What stood there, and stands there again where it is not inserted.
    original: u8,
    /// The first bytes are what functions begin with: a frame's address is not pushed yet.
    pub(super) is_entry: bool,
    /// The instruction is this long.
    pub(super) len: usize,
    pub(super) step: Step,
    /// What it is for: a place with programs,
    pub(super) place: Option<Arc<Place>>,
    /// and functions that return to here.
    pub(super) is_site: bool,
    pub(super) inserted: bool,
    file: FileId,
    offset: u64,
}

/// A counter in a process's memory that was counted up.
#[derive(Debug, Clone, Copy)]
struct Semaphore {
    by: u16,
    file: FileId,
    offset: u64,
}

/// What is changed in an address space, through a thread that is in it.
pub(super) struct Access<'a> {
    /// The thread. It stands if `may_call`.
    pub(super) tid: pid_t,
    /// Whether it stands where it can be made to map memory.
    pub(super) may_call: bool,
    /// Seccomp filters that are not the process's own.
    pub(super) usual_filters: u32,
    pub(super) statuses: &'a mut Statuses,
}

/// The breakpoints of an address space.
#[derive(Debug, Clone, Default)]
pub(super) struct Space {
    pub(super) points: BTreeMap<u64, Breakpoint>,
    pub(super) areas: Areas,
    pub(super) frames: Frames,
    semaphores: BTreeMap<u64, Semaphore>,
    /// Return sites that can't have a breakpoint, so that nobody tries again at each call.
    pub(super) bad_sites: BTreeMap<u64, Reason>,
    /// Slots have run out; the next thread that stands where it can map more shall do so.
    pub(super) wants_call: bool,
    /// Where the process has an instruction `syscall`.
    instruction: Option<u64>,
    /// A slot has an instruction `syscall`: threads may come back to it from signal handlers.
    keeps_areas: bool,
}

/// The memory of a process, its code too.
fn memory(tid: pid_t) -> io::Result<File> {
    let path = format!("/proc/{tid}/mem");
    OpenOptions::new().read(true).write(true).open(path)
}

fn errno(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EFAULT, Errno)
}

impl Space {
    /// Whether there is nothing of ours in it.
    pub(super) fn is_empty(&self) -> bool {
        self.points.is_empty() && self.areas.is_empty() && self.semaphores.is_empty()
    }

    /// Makes it so that each place that is mapped has its breakpoint, and nothing else has; tells
    /// `refuse` of those that can't have one.
    ///
    /// # Errors
    /// The process is gone, or can't be looked at.
    pub(super) fn sync(
        &mut self,
        access: &mut Access<'_>,
        places: &Places,
        starts: &mut Starts,
        refuse: &mut dyn FnMut(&Place, Reason),
    ) -> Result<(), Errno> {
        if self.is_empty() && places.is_empty() {
            return Ok(());
        }
        let mappings = maps::of_process(access.tid).map_err(|error| errno(&error))?;
        let memory = memory(access.tid).map_err(|error| errno(&error))?;
        self.forget(&mappings);
        if self.instruction.is_none() && !places.is_empty() {
            self.instruction = inject::instruction(&memory, &mappings);
        }
        self.bad_sites.clear();
        self.wants_call = false;

        let mut wanted = BTreeSet::new();
        for mapping in mappings.iter().filter(|mapping| mapping.executable) {
            for place in places.mapped(mapping) {
                let Some(address) = mapping.address_of(place.offset) else {
                    continue;
                };
                if let Err(reason) = starts.check(place) {
                    refuse(place, reason);
                    continue;
                }
                wanted.insert(address);
                if let Err(reason) = self.want(access, &memory, &mappings, mapping, address) {
                    refuse(place, reason);
                }
                if let Some(point) = self.points.get_mut(&address) {
                    point.place = Some(Arc::clone(place));
                }
            }
        }
        let returns = places.wants_returns();
        if !returns {
            self.frames.clear();
        }
        for (address, point) in &mut self.points {
            if !wanted.contains(address) {
                point.place = None;
            }
            point.is_site &= returns;
            if point.place.is_none() && !point.is_site {
                point.take_out(&memory, *address);
            }
        }
        self.count(&memory, &mappings, places);
        Ok(())
    }

    /// Whether there are slots that have to go with the last thread that is traced.
    pub(super) fn has_to_unmap(&self) -> bool {
        !self.areas.is_empty() && !self.keeps_areas
    }

    /// What is in this range may be another mapping than before, of the same file at the same place
    /// even, without what was written there.
    pub(super) fn mapped(&mut self, tid: pid_t, range: Range<u64>, fresh: bool) {
        if fresh {
            self.semaphores
                .retain(|address, _| !range.contains(address));
        }
        let mut points = self.points.range_mut(range).peekable();
        if points.peek().is_none() {
            return;
        }
        let Ok(memory) = memory(tid) else { return };
        for (address, point) in points {
            let mut byte = [0];
            let read = memory.read_exact_at(&mut byte, *address);
            point.inserted &= read.is_ok() && byte == [BREAK];
        }
    }

    /// Whether there are breakpoints in memory.
    pub(super) fn has_inserted(&self) -> bool {
        self.points.values().any(|point| point.inserted)
    }

    /// Lets a process that hides its memory (`PR_SET_DUMPABLE`) show it for a while, by a thread
    /// that stands where it can make a call.
    ///
    /// # Errors
    /// As [`inject::call`]; `ENOSYS`: there is no way to make one.
    pub(super) fn show_memory(
        &self,
        tid: pid_t,
        show: bool,
        statuses: &mut Statuses,
    ) -> Result<(), Errno> {
        let instruction = self.instruction.ok_or(Errno::ENOSYS)?;
        let arguments = [libc::PR_SET_DUMPABLE as u64, show.into(), 0, 0, 0, 0];
        inject::call(tid, instruction, libc::SYS_prctl, arguments, statuses).map(drop)
    }

    /// Unmaps the slots by the last thread of a process, which stands where it can make a call and
    /// is in none of them.
    pub(super) fn unmap(&mut self, tid: pid_t, statuses: &mut Statuses) {
        if !self.has_to_unmap() {
            return;
        }
        let Some(instruction) = self.instruction else {
            return;
        };
        // If it can't be, it stays: unused, and harmless.
        let _ = self.areas.unmap(tid, instruction, statuses);
    }

    /// Whether a process has all breakpoints of this in its memory.
    pub(super) fn is_copied_to(&self, tid: pid_t) -> bool {
        let Ok(memory) = memory(tid) else {
            return false;
        };
        let mut inserted = self
            .points
            .iter()
            .filter(|(_, point)| point.inserted)
            .peekable();
        inserted.peek().is_some()
            && inserted.all(|(address, _)| {
                let mut byte = [0];
                memory.read_exact_at(&mut byte, *address).is_ok() && byte == [BREAK]
            })
    }

    /// Makes the memory of a child what this says: between the copy of the memory and of this,
    /// breakpoints may have come and gone.
    ///
    /// # Errors
    /// The process is gone.
    pub(super) fn adopt(&self, tid: pid_t) -> Result<(), Errno> {
        if self.points.is_empty() {
            return Ok(());
        }
        let memory = memory(tid).map_err(|error| errno(&error))?;
        for (address, point) in &self.points {
            let mut byte = [0];
            if memory.read_exact_at(&mut byte, *address).is_err() {
                continue;
            }
            let [is] = byte;
            if point.inserted && is == point.original {
                let _ = memory.write_all_at(&[BREAK], *address);
            } else if !point.inserted && is == BREAK {
                let _ = memory.write_all_at(&[point.original], *address);
            }
        }
        Ok(())
    }

    /// Makes an address one that functions return to.
    ///
    /// # Errors
    /// Why there can be no breakpoint.
    pub(super) fn want_site(
        &mut self,
        access: &mut Access<'_>,
        address: u64,
    ) -> Result<(), Reason> {
        if let Some(point) = self.points.get_mut(&address)
            && point.inserted
        {
            point.is_site = true;
            return Ok(());
        }
        if let Some(reason) = self.bad_sites.get(&address) {
            return Err(reason.clone());
        }
        let done = self.new_site(access, address);
        if let Err(reason) = &done
            && !matches!(reason, Reason::Later)
        {
            self.bad_sites.insert(address, reason.clone());
        }
        done
    }

    fn new_site(&mut self, access: &mut Access<'_>, address: u64) -> Result<(), Reason> {
        let system = |error: io::Error| Reason::System(errno(&error));
        let mappings = maps::of_process(access.tid).map_err(system)?;
        let memory = memory(access.tid).map_err(system)?;
        let mapping = mappings.iter().find(|mapping| mapping.contains(address));
        let mapping = mapping.ok_or(Reason::NotCode)?;
        self.want(access, &memory, &mappings, mapping, address)?;
        if let Some(point) = self.points.get_mut(&address) {
            point.is_site = true;
        }
        Ok(())
    }

    /// Forgets what was mapped elsewhere when it was inserted.
    fn forget(&mut self, mappings: &[Mapping]) {
        let still = |address: u64, file: FileId, offset: u64| {
            mappings.iter().any(|mapping| {
                mapping.file == Some(file) && mapping.address_of(offset) == Some(address)
            })
        };
        let areas = &mut self.areas;
        self.points.retain(|address, point| {
            let stays = still(*address, point.file, point.offset);
            if let (false, Step::Slot(slot, _)) = (stays, &point.step) {
                areas.give_back(*slot);
            }
            stays
        });
        self.semaphores
            .retain(|address, known| still(*address, known.file, known.offset));
    }

    /// Sees to it that there is a breakpoint.
    fn want(
        &mut self,
        access: &mut Access<'_>,
        memory: &File,
        mappings: &[Mapping],
        mapping: &Mapping,
        address: u64,
    ) -> Result<(), Reason> {
        let system = |error: io::Error| Reason::System(errno(&error));
        if let Some(point) = self.points.get_mut(&address) {
            return point.put_in(memory, address).map_err(system);
        }
        let (Some(file), true, false) = (mapping.file, mapping.executable, mapping.shared) else {
            // What others see too is not ours to change, and code that is made at run time changes.
            return Err(Reason::NotCode);
        };
        let bytes = self.code(memory, mapping, address).map_err(system)?;
        let decoded = Decoded::new(&bytes, address).map_err(Reason::Instruction)?;
        let step = match decoded.skip() {
            Some(to) => Step::Skip(to),
            None => self.slot(access, memory, mappings, mapping, &decoded, address)?,
        };
        let original = *bytes.first().ok_or(Reason::NotCode)?;
        let mut point = Breakpoint {
            original,
            is_entry: original == 0x55 || bytes.starts_with(&[0xf3, 0x0f, 0x1e, 0xfa]),
            len: decoded.len(),
            step,
            place: None,
            is_site: false,
            inserted: false,
            file,
            offset: mapping.offset + (address - mapping.start),
        };
        point.put_in(memory, address).map_err(system)?;
        self.points.insert(address, point);
        Ok(())
    }

    /// The bytes at an address, as they are without breakpoints.
    fn code(&self, memory: &File, mapping: &Mapping, address: u64) -> io::Result<Vec<u8>> {
        let most = usize::try_from(mapping.end - address).unwrap_or(LONGEST);
        let mut bytes = vec![0; most.min(LONGEST)];
        let read = memory.read_at(&mut bytes, address)?;
        bytes.truncate(read);
        for (at, point) in self.points.range(address..address + read as u64) {
            let byte = bytes.get_mut((at - address) as usize);
            if let (Some(byte), true) = (byte, point.inserted) {
                *byte = point.original;
            }
        }
        Ok(bytes)
    }

    /// Puts an instruction into a slot.
    fn slot(
        &mut self,
        access: &mut Access<'_>,
        memory: &File,
        mappings: &[Mapping],
        mapping: &Mapping,
        decoded: &Decoded,
        address: u64,
    ) -> Result<Step, Reason> {
        let at = match self.areas.take(address) {
            Some(at) => at,
            None => {
                if filters(access.tid) > access.usual_filters {
                    return Err(Reason::Sandboxed);
                }
                if !access.may_call {
                    self.wants_call = true;
                    return Err(Reason::Later);
                }
                // Areas that were mapped since are not in the list yet.
                let now = maps::of_process(access.tid);
                let now = now.as_deref().unwrap_or(mappings);
                let instruction = self
                    .instruction
                    .or_else(|| inject::instruction(memory, now));
                self.instruction = instruction;
                let instruction = instruction.ok_or(Reason::System(Errno::ENOSYS))?;
                self.areas
                    .grow(access.tid, instruction, now, mapping, access.statuses)
                    .map_err(Reason::System)?;
                self.areas
                    .take(address)
                    .ok_or(Reason::System(Errno::ENOMEM))?
            }
        };
        let placed = decoded.slot(at).map_err(Reason::Instruction);
        let written = placed.and_then(|code| {
            let done = memory.write_all_at(&code.bytes, at);
            done.map(|()| code)
                .map_err(|error| Reason::System(errno(&error)))
        });
        match written {
            Ok(code) => {
                self.keeps_areas |= code.is_system_call;
                Ok(Step::Slot(at, Arc::new(code)))
            }
            Err(reason) => {
                self.areas.give_back(at);
                Err(reason)
            }
        }
    }

    /// Counts the semaphores of places up, and down where none is wanted any more.
    fn count(&mut self, memory: &File, mappings: &[Mapping], places: &Places) {
        let mut wanted: BTreeMap<u64, Semaphore> = BTreeMap::new();
        for mapping in mappings {
            let (Some(file), true, false) = (mapping.file, mapping.writable, mapping.shared) else {
                continue;
            };
            for place in places.mapped(mapping) {
                for offset in &place.semaphores {
                    let Some(address) = mapping.address_of(*offset) else {
                        continue;
                    };
                    let semaphore = wanted.entry(address).or_insert(Semaphore {
                        by: 0,
                        file,
                        offset: *offset,
                    });
                    semaphore.by = semaphore.by.saturating_add(1);
                }
            }
        }
        let known = std::mem::take(&mut self.semaphores);
        let addresses: BTreeSet<u64> = known.keys().chain(wanted.keys()).copied().collect();
        for address in addresses {
            let by = |of: &BTreeMap<u64, Semaphore>| of.get(&address).map_or(0, |known| known.by);
            let (is, shall) = (by(&known), by(&wanted));
            let mut bytes = [0; 2];
            let changed = is == shall || {
                let read = memory.read_exact_at(&mut bytes, address);
                let value = u16::from_ne_bytes(bytes)
                    .wrapping_add(shall)
                    .wrapping_sub(is);
                read.and_then(|()| memory.write_all_at(&value.to_ne_bytes(), address))
                    .is_ok()
            };
            let stands = if changed { &wanted } else { &known };
            if let Some(semaphore) = stands.get(&address) {
                self.semaphores.insert(address, *semaphore);
            }
        }
    }
}

impl Breakpoint {
    fn put_in(&mut self, memory: &File, address: u64) -> io::Result<()> {
        if !self.inserted {
            memory.write_all_at(&[BREAK], address)?;
            self.inserted = true;
        }
        Ok(())
    }

    /// Puts the original back. It stays known: a thread may have met it already.
    fn take_out(&mut self, memory: &File, address: u64) {
        if !self.inserted {
            return;
        }
        let mut byte = [0];
        let read = memory.read_exact_at(&mut byte, address);
        // If it is no longer ours, somebody else wrote there.
        if read.is_ok() && byte == [BREAK] {
            let _ = memory.write_all_at(&[self.original], address);
        }
        self.inserted = false;
    }
}

/// How many seccomp filters a task has; none where the system does not say (before Linux 5.9).
pub(super) fn filters(tid: pid_t) -> u32 {
    let status = std::fs::read_to_string(format!("/proc/{tid}/status")).unwrap_or_default();
    let line = status.lines();
    let mut found = line.filter_map(|line| line.strip_prefix("Seccomp_filters:"));
    found
        .next()
        .and_then(|count| count.trim().parse().ok())
        .unwrap_or(0)
}
