//! What programs allocate, and the kernel's own things that they hold references to: each an
//! object with an address, a count of references, and memory that stays as long as any run may
//! reach it.
//!
//! An object that has lost its last reference can still be read by the runs that were there
//! before, as under RCU; its memory goes when the last of them has ended. Links between objects
//! (lists, trees) are in [`Graph`], not in the objects' memory, so nothing that a program
//! writes there leads anywhere.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, RwLock,
        atomic::{
            AtomicU32, AtomicU64, AtomicUsize,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
        },
    },
};

use skep_host::Errno;

use super::{graph::Graph, storage::Storage};
use crate::{
    map::{FieldKind, Fields, Range},
    memory::{Block, View},
};

/// Bytes that all objects of a machine may have together.
const MEMORY: usize = 256 << 20;

/// Bytes that an object takes beside its memory.
const OVERHEAD: usize = 256;

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) enum ObjectKind {
    /// Of a type of the program (`bpf_obj_new`).
    Local,
    /// The same with a copy a CPU (`bpf_percpu_obj_new`).
    PerCpu,
    /// `struct bpf_cpumask`
    Cpumask,
    /// `struct task_struct`
    Task,
    /// `struct cgroup`
    Cgroup,
}

/// A type of objects: its size, and what of it is more than bytes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layout {
    pub(crate) size: u32,
    pub(crate) fields: Fields,
}

/// An object.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) kind: ObjectKind,
    pub(crate) layout: Arc<Layout>,
    block: Block,
    stride: usize,
    refs: AtomicU32,
    /// How many of the references are in pointers of values. A program may write any address
    /// there, and would take away what it never had.
    stored: AtomicU32,
    /// What maps keep for it: of tasks and cgroups.
    pub(crate) storage: Storage,
    /// Runs from this one on can't reach it; 0 while it lives.
    died: AtomicU64,
}

impl Object {
    /// Its address, which is what programs hold.
    pub(crate) fn address(&self) -> u64 {
        self.block.address()
    }

    /// Its memory; of per-CPU objects, that of CPU 0.
    pub(crate) fn memory(&self) -> View<'_> {
        self.copy(0).unwrap_or_else(|| self.block.all())
    }

    /// Its memory on a CPU.
    pub(crate) fn copy(&self, cpu: u32) -> Option<View<'_>> {
        let offset = self.stride.checked_mul(cpu as usize)?;
        self.block.view(offset, self.layout.size as usize)
    }

    fn copies(&self) -> impl Iterator<Item = View<'_>> {
        (0..).map_while(|cpu| self.copy(cpu))
    }

    /// One more reference, unless the last is gone.
    pub(crate) fn acquire(&self) -> bool {
        let more = |refs: u32| (refs != 0).then(|| refs.checked_add(1)).flatten();
        self.refs.fetch_update(AcqRel, Acquire, more).is_ok()
    }

    /// A reference of it goes into a pointer of a value.
    pub(crate) fn put_in(&self) {
        self.stored.fetch_add(1, AcqRel);
    }

    /// A reference of it is taken out of such a pointer; `false` if none ever came there.
    pub(crate) fn take_out(&self) -> bool {
        let fewer = |stored: u32| stored.checked_sub(1);
        self.stored.fetch_update(AcqRel, Acquire, fewer).is_ok()
    }

    /// Whether programs may write it.
    fn writable(&self) -> bool {
        matches!(self.kind, ObjectKind::Local | ObjectKind::PerCpu)
    }

    fn region(&self, address: u64) -> Option<Range> {
        let offset = address.checked_sub(self.address())? as usize;
        let copy = self.copy(u32::try_from(offset / self.stride).ok()?)?;
        Some(Range {
            start: copy.address(),
            len: copy.len() as u64,
            writable: self.writable(),
        })
    }
}

/// Runs that may reach objects, and objects that wait for them.
#[derive(Debug)]
struct Grace {
    next: u64,
    runs: BTreeSet<u64>,
    dead: VecDeque<(u64, Arc<Object>)>,
}

/// All objects of a machine.
#[derive(Debug)]
pub(crate) struct Objects {
    by_address: RwLock<BTreeMap<u64, Arc<Object>>>,
    /// How many there are, so that machines without any look no further.
    count: AtomicUsize,
    bytes: AtomicUsize,
    grace: Mutex<Grace>,
    pub(crate) graph: Graph,
}

impl Default for Objects {
    fn default() -> Self {
        Self {
            by_address: RwLock::default(),
            count: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            grace: Mutex::new(Grace {
                next: 1,
                runs: BTreeSet::new(),
                dead: VecDeque::new(),
            }),
            graph: Graph::default(),
        }
    }
}

impl Objects {
    /// A new object, zeroed, with one reference; `copies` is how many CPUs have one each.
    ///
    /// # Errors
    /// `ENOMEM`, also where all objects together take too much.
    pub(crate) fn allocate(
        &self,
        kind: ObjectKind,
        layout: Arc<Layout>,
        copies: u32,
    ) -> Result<Arc<Object>, Errno> {
        let stride = (layout.size as usize).max(1).next_multiple_of(8);
        let len = stride.checked_mul(copies as usize).ok_or(Errno::ENOMEM)?;
        let taken = len.checked_add(OVERHEAD).ok_or(Errno::ENOMEM)?;
        if self.bytes.fetch_add(taken, Relaxed).saturating_add(taken) > MEMORY {
            self.bytes.fetch_sub(taken, Relaxed);
            return Err(Errno::ENOMEM);
        }
        let block = Block::new(len).inspect_err(|_| {
            self.bytes.fetch_sub(taken, Relaxed);
        })?;
        let object = Arc::new(Object {
            kind,
            layout,
            block,
            stride,
            refs: AtomicU32::new(1),
            stored: AtomicU32::new(0),
            storage: Storage::default(),
            died: AtomicU64::new(0),
        });
        let mut all = self.by_address.write().unwrap_or_else(|e| e.into_inner());
        all.insert(object.address(), Arc::clone(&object));
        self.count.store(all.len(), Release);
        Ok(object)
    }

    /// The object that has `address` somewhere in it, dead or alive.
    fn around(&self, address: u64) -> Option<Arc<Object>> {
        if self.count.load(Acquire) == 0 {
            return None;
        }
        let all = self.by_address.read().unwrap_or_else(|e| e.into_inner());
        let (start, object) = all.range(..=address).next_back()?;
        (address - start < object.block.len() as u64).then(|| Arc::clone(object))
    }

    /// The living object that has `address` in it.
    pub(crate) fn containing(&self, address: u64) -> Option<Arc<Object>> {
        let object = self.around(address)?;
        (object.died.load(Acquire) == 0).then_some(object)
    }

    /// The living object at `address`.
    pub(crate) fn at(&self, address: u64) -> Option<Arc<Object>> {
        let object = self.containing(address)?;
        (object.address() == address).then_some(object)
    }

    /// The region of an address, for the run with this ticket. What it gives stays until
    /// [`Objects::leave`] with that ticket.
    pub(crate) fn region(&self, address: u64, ticket: u64) -> Option<Range> {
        let object = self.around(address)?;
        let died = object.died.load(Acquire);
        (died == 0 || ticket < died).then(|| object.region(address))?
    }

    /// Whether there is any object.
    pub(crate) fn any(&self) -> bool {
        self.count.load(Acquire) != 0
    }

    fn grace(&self) -> MutexGuard<'_, Grace> {
        self.grace.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Lets a run reach objects, from now on.
    pub(crate) fn enter(&self) -> u64 {
        let mut grace = self.grace();
        let ticket = grace.next;
        grace.next += 1;
        grace.runs.insert(ticket);
        ticket
    }

    /// The run with this ticket has ended.
    pub(crate) fn leave(&self, ticket: u64) {
        let mut grace = self.grace();
        grace.runs.remove(&ticket);
        self.reclaim(grace);
    }

    /// Gives back the memory of objects that no run can reach any more.
    fn reclaim(&self, mut grace: MutexGuard<'_, Grace>) {
        let oldest = grace.runs.first().copied().unwrap_or(u64::MAX);
        let mut gone = Vec::new();
        while let Some((died, _)) = grace.dead.front()
            && *died <= oldest
        {
            gone.extend(grace.dead.pop_front().map(|(_, object)| object));
        }
        drop(grace);
        if gone.is_empty() {
            return;
        }
        let mut all = self.by_address.write().unwrap_or_else(|e| e.into_inner());
        for object in &gone {
            all.remove(&object.address());
            self.bytes.fetch_sub(object.block.len() + OVERHEAD, Relaxed);
        }
        self.count.store(all.len(), Release);
    }

    /// Gives one reference back; with the last one goes the object, and what it holds itself.
    pub(crate) fn release(&self, object: &Arc<Object>) {
        let mut work = vec![Arc::clone(object)];
        while let Some(object) = work.pop() {
            let fewer = |refs: u32| refs.checked_sub(1);
            let before = object.refs.fetch_update(AcqRel, Acquire, fewer);
            if before != Ok(1) {
                continue;
            }
            object.storage.clear();
            for copy in object.copies() {
                self.empty(copy, &object.layout.fields, &mut work);
            }
            let mut grace = self.grace();
            let died = grace.next;
            object.died.store(died, Release);
            grace.dead.push_back((died, object));
            self.reclaim(grace);
        }
    }

    /// Gives up what the special fields of a value hold: references, lists, trees. For values of
    /// maps that are deleted.
    pub(crate) fn free_fields(&self, value: View<'_>, fields: &Fields) {
        let mut work = Vec::new();
        self.empty(value, fields, &mut work);
        for object in work {
            self.release(&object);
        }
    }

    /// Takes what special fields hold out of them: one reference of each object in `out`.
    fn empty(&self, value: View<'_>, fields: &Fields, out: &mut Vec<Arc<Object>>) {
        for field in fields.iter() {
            let offset = field.offset as usize;
            match field.kind {
                FieldKind::ListHead | FieldKind::TreeRoot => {
                    if let Some(word) = value.long_word(offset) {
                        out.extend(self.graph.remove_root(word.swap(0, AcqRel)));
                    }
                }
                FieldKind::Pointer => {
                    if let Some(word) = value.long_word(offset) {
                        let object = self.at(word.swap(0, AcqRel));
                        out.extend(object.filter(|object| object.take_out()));
                    }
                }
                _ => {}
            }
        }
    }
}
