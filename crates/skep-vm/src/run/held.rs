//! What a program holds and must give back: locks, references, records, sections.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    sync::Arc,
};

use super::Run;
use crate::{machine::Value, map::Range};

/// How much of one kind a run can hold: more than a verifier could keep track of.
pub(crate) const MOST: usize = 1024;

/// Bytes of values of local storages that are lent at once, though they may be deleted meanwhile.
const LENT: usize = 64 << 20;

/// Bytes that a value takes beside its own.
const OVERHEAD: usize = 128;

/// What a program holds at its end, in words, and which of its calls took it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leaked {
    pub(crate) what: &'static str,
    pub(crate) call: u32,
}

/// An address that is held, and the call that it was taken by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    pub(crate) address: u64,
    pub(crate) call: u32,
}

impl Taken {
    fn leaked(self, what: &'static str) -> Leaked {
        let call = self.call;
        Leaked { what, call }
    }
}

/// Sections in one another.
#[derive(Debug, Default)]
pub(crate) struct Depth {
    count: Cell<u32>,
    /// The call that entered the outermost.
    call: Cell<u32>,
}

impl Depth {
    pub(crate) fn enter(&self, call: u32) {
        if self.count.get() == 0 {
            self.call.set(call);
        }
        self.count.set(self.count.get().saturating_add(1));
    }

    /// Whether there was one to leave.
    pub(crate) fn leave(&self) -> bool {
        let left = self.count.get().checked_sub(1);
        left.inspect(|left| self.count.set(*left)).is_some()
    }

    pub(crate) fn leave_all(&self) {
        self.count.set(0);
    }

    fn leaked(&self, what: &'static str) -> Option<Leaked> {
        let call = self.call.get();
        (self.count.get() != 0).then_some(Leaked { what, call })
    }
}

/// See above.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// Records of ring buffers.
    pub(crate) records: Records,
    /// Values of local storages that the program was given; they stay for the run.
    pub(crate) values: RefCell<BTreeMap<u64, Arc<Value>>>,
    /// Bytes of those.
    lent: Cell<usize>,
    /// The `bpf_spin_lock` that is held.
    pub(crate) lock: Cell<Option<Taken>>,
    /// The resilient locks that are held, in the order in which they were taken.
    pub(crate) resilient: RefCell<Vec<Taken>>,
    /// How often `bpf_rcu_read_lock` was called without its counterpart.
    pub(crate) rcu: Depth,
    /// The same of `bpf_preempt_disable`.
    pub(crate) preemption: Depth,
    /// Where the flags are that `bpf_local_irq_restore` has to be given, the last one last.
    pub(crate) interrupts: RefCell<Vec<Taken>>,
}

impl Held {
    /// What is held; `None` when nothing is.
    pub(super) fn leaked(&self) -> Option<Leaked> {
        let lock = self.lock.get();
        let first = |taken: &RefCell<Vec<Taken>>, what| {
            let taken = taken.borrow();
            taken.first().map(|first| first.leaked(what))
        };
        lock.map(|lock| lock.leaked("a lock"))
            .or_else(|| first(&self.resilient, "a lock"))
            .or_else(|| self.rcu.leaked("an RCU section"))
            .or_else(|| self.preemption.leaked("a section without preemption"))
            .or_else(|| first(&self.interrupts, "a section without interrupts"))
            .or_else(|| self.records.leaked())
    }

    /// Values of local storages are lent.
    pub(super) fn has_values(&mut self) -> bool {
        !self.values.get_mut().is_empty()
    }

    /// Ends the loan of values.
    pub(super) fn forget_values(&mut self) {
        self.values.get_mut().clear();
        self.lent.set(0);
    }
}

impl Run<'_> {
    /// What the running call takes at this address.
    pub(crate) fn taken(&self, address: u64) -> Taken {
        let call = self.hot.call.get();
        Taken { address, call }
    }

    /// Lets the program use a value of a local storage until the run ends; answers its address, or
    /// 0 when too many are lent.
    pub(crate) fn lend(&self, value: Arc<Value>) -> u64 {
        let address = value.view().address();
        let mut values = self.held.values.borrow_mut();
        if values.contains_key(&address) {
            return address;
        }
        let bytes = self.held.lent.get() + value.view().len() + OVERHEAD;
        if bytes > LENT {
            return 0;
        }
        self.held.lent.set(bytes);
        values.insert(address, value);
        address
    }

    /// The value that was lent and has this address in it.
    pub(super) fn lent_region(&self, address: u64) -> Option<Range> {
        let values = self.held.values.borrow();
        let (start, value) = values.range(..=address).next_back()?;
        let len = value.view().len() as u64;
        (address - start < len).then_some(Range {
            start: *start,
            len,
            writable: true,
        })
    }
}

/// Records that are reserved and not committed: each with the program's address of its map.
#[derive(Debug, Default)]
pub(crate) struct Records(RefCell<Vec<(Taken, u64)>>);

impl Records {
    pub(crate) fn add(&self, record: Taken, map: u64) {
        self.0.borrow_mut().push((record, map));
    }

    fn leaked(&self) -> Option<Leaked> {
        let records = self.0.borrow();
        let (first, _) = records.first()?;
        Some(first.leaked("a record of a ring buffer"))
    }

    /// Takes out a record, and gives the address of its map.
    pub(crate) fn take(&self, record: u64) -> Option<u64> {
        let mut records = self.0.borrow_mut();
        let at = records
            .iter()
            .rposition(|(held, _)| held.address == record)?;
        Some(records.remove(at).1)
    }

    /// Takes out any record, with the address of its map.
    pub(crate) fn pop(&self) -> Option<(u64, u64)> {
        let popped = self.0.borrow_mut().pop();
        popped.map(|(record, map)| (record.address, map))
    }

    /// Whether no more can be held.
    pub(crate) fn is_full(&self) -> bool {
        self.0.borrow().len() >= MOST
    }
}
