//! Virtual CPUs: how many runs there are at once, and what each keeps for the next.

use std::{
    cell::{Cell, OnceCell, RefCell},
    sync::{
        Mutex, MutexGuard, TryLockError,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use skep_host::Errno;

use super::{FRAMES, packet::Memory as PacketMemory, regions::Regions};
use crate::{engine::FRAME, memory::Block};

thread_local! {
    /// The CPU that this thread tries first.
    static PREFERRED: Cell<Option<u32>> = const { Cell::new(None) };
    /// The CPUs that this thread is on: of which machine, and which.
    static HELD: RefCell<Vec<(usize, u32)>> = const { RefCell::new(Vec::new()) };
}

/// How many runs may be inside one another on a thread, whose stack they share: as many as there are
/// on a CPU of the kernel's (task, softirq, hardirq, NMI), and as many again.
const NESTED: usize = 8;

/// The most CPUs of a machine (`NR_CPUS`).
const MOST: u32 = 8192;

/// The next thread's first choice.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// What a run uses and leaves to the next on the same CPU.
#[derive(Debug)]
pub(crate) struct Scratch {
    /// Frames, the first at the end.
    pub(crate) stack: Block,
    pub(super) regions: RefCell<Regions>,
    /// Made for the first packet.
    packet: OnceCell<PacketMemory>,
    /// For a run inside a run.
    nested: bool,
}

// A scratch is only used by who holds its CPU.
impl Scratch {
    pub(crate) fn new() -> Result<Self, Errno> {
        Ok(Self {
            stack: Block::apart((FRAMES * FRAME) as usize, 64)?,
            regions: RefCell::default(),
            packet: OnceCell::new(),
            nested: false,
        })
    }

    /// Of which maps a run has been given values before it begins: one inside another counts as
    /// given what that was.
    pub(super) fn seen(&self) -> u64 {
        if self.nested { u64::MAX } else { 0 }
    }

    /// The memory of packets and their contexts.
    ///
    /// # Errors
    /// `ENOMEM`.
    #[inline]
    pub(super) fn packet(&self) -> Result<&PacketMemory, Errno> {
        match self.packet.get() {
            Some(memory) => Ok(memory),
            None => {
                let memory = PacketMemory::new()?;
                Ok(self.packet.get_or_init(|| memory))
            }
        }
    }
}

/// The virtual CPUs of a machine.
#[derive(Debug)]
pub(crate) struct Cpus(Vec<Mutex<Scratch>>);

/// A virtual CPU that this thread is on.
pub(crate) struct Cpu<'a> {
    id: u32,
    machine: usize,
    scratch: Held<'a>,
}

enum Held<'a> {
    /// The CPU's own.
    Own(MutexGuard<'a, Scratch>),
    /// A new one, for a run inside a run.
    Nested(Box<Scratch>),
}

impl Cpus {
    pub(crate) fn new(count: u32) -> Result<Self, Errno> {
        if count > MOST {
            return Err(Errno::EINVAL);
        }
        let all: Result<Vec<_>, _> = (0..count.max(1))
            .map(|_| Scratch::new().map(Mutex::new))
            .collect();
        Ok(Self(all?))
    }

    pub(crate) fn count(&self) -> u32 {
        self.0.len() as u32
    }

    /// Takes a CPU that is free, or waits for one. A thread that is on one stays there.
    ///
    /// # Errors
    /// `ENOMEM`; `ELOOP`: this thread runs too many programs inside one another.
    pub(crate) fn take(&self, wanted: Option<u32>) -> Result<Cpu<'_>, Errno> {
        let machine = std::ptr::from_ref(self).addr();
        let (depth, held) = HELD.with_borrow(|held| {
            let mine = held.iter().rev().find(|(of, _)| *of == machine);
            (held.len(), mine.map(|(_, id)| *id))
        });
        if depth >= NESTED {
            return Err(Errno::ELOOP);
        }
        if let Some(id) = held {
            let mut scratch = Box::new(Scratch::new()?);
            scratch.nested = true;
            return Ok(Cpu::new(id, machine, Held::Nested(scratch)));
        }
        let count = self.count();
        let first = wanted.unwrap_or_else(|| {
            PREFERRED.get().unwrap_or_else(|| {
                let first = NEXT.fetch_add(1, Relaxed);
                PREFERRED.set(Some(first));
                first
            })
        }) % count;
        let tries = if wanted.is_some() { 1 } else { count };
        for id in (0..tries).map(|step| (first + step) % count) {
            match self.0[id as usize].try_lock() {
                Ok(scratch) => return Ok(Cpu::new(id, machine, Held::Own(scratch))),
                Err(TryLockError::Poisoned(scratch)) => {
                    return Ok(Cpu::new(id, machine, Held::Own(scratch.into_inner())));
                }
                Err(TryLockError::WouldBlock) => {}
            }
        }
        let scratch = self.0[first as usize].lock();
        let scratch = scratch.unwrap_or_else(|poisoned| poisoned.into_inner());
        Ok(Cpu::new(first, machine, Held::Own(scratch)))
    }
}

impl<'a> Cpu<'a> {
    fn new(id: u32, machine: usize, scratch: Held<'a>) -> Self {
        HELD.with_borrow_mut(|held| held.push((machine, id)));
        Self {
            id,
            machine,
            scratch,
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    pub(crate) fn scratch(&self) -> &Scratch {
        match &self.scratch {
            Held::Own(scratch) => scratch,
            Held::Nested(scratch) => scratch,
        }
    }
}

impl Drop for Cpu<'_> {
    fn drop(&mut self) {
        HELD.with_borrow_mut(|held| {
            let entry = (self.machine, self.id);
            if let Some(at) = held.iter().rposition(|held| *held == entry) {
                held.remove(at);
            }
        });
    }
}
