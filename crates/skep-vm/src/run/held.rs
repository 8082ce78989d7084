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

/// See above.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// Records of ring buffers.
    pub(crate) records: Records,
    /// Values of local storages that the program was given; they stay for the run.
    pub(crate) values: RefCell<BTreeMap<u64, Arc<Value>>>,
    /// Bytes of those.
    lent: Cell<usize>,
    /// The address of the `bpf_spin_lock` that is held; 0 for none.
    pub(crate) lock: Cell<u64>,
    /// The addresses of the resilient locks that are held, in the order in which they were taken.
    pub(crate) resilient: RefCell<Vec<u64>>,
    /// How often `bpf_rcu_read_lock` was called without its counterpart.
    pub(crate) rcu: Cell<u32>,
    /// The same of `bpf_preempt_disable`.
    pub(crate) preemption: Cell<u32>,
    /// Where the flags are that `bpf_local_irq_restore` has to be given, the last one first.
    pub(crate) interrupts: RefCell<Vec<u64>>,
}

impl Held {
    /// What is held, in words; `None` when nothing is.
    pub(crate) fn what(&self) -> Option<&'static str> {
        if self.lock.get() != 0 || !self.resilient.borrow().is_empty() {
            return Some("a lock");
        }
        if self.rcu.get() != 0 {
            return Some("an RCU section");
        }
        if self.preemption.get() != 0 {
            return Some("a section without preemption");
        }
        if !self.interrupts.borrow().is_empty() {
            return Some("a section without interrupts");
        }
        (!self.records.is_empty()).then_some("a record of a ring buffer")
    }
}

impl Held {
    /// Ends the loan of values.
    /// Values of local storages are lent.
    pub(super) fn has_values(&mut self) -> bool {
        !self.values.get_mut().is_empty()
    }

    pub(super) fn forget_values(&mut self) {
        self.values.get_mut().clear();
        self.lent.set(0);
    }
}

impl Run<'_> {
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
pub(crate) struct Records(RefCell<Vec<(u64, u64)>>);

impl Records {
    pub(crate) fn add(&self, record: u64, map: u64) {
        self.0.borrow_mut().push((record, map));
    }

    /// Takes out a record, and gives the address of its map.
    pub(crate) fn take(&self, record: u64) -> Option<u64> {
        let mut records = self.0.borrow_mut();
        let at = records.iter().rposition(|(held, _)| *held == record)?;
        Some(records.swap_remove(at).1)
    }

    /// Takes out any record, with the address of its map.
    pub(crate) fn pop(&self) -> Option<(u64, u64)> {
        self.0.borrow_mut().pop()
    }

    /// Whether no more can be held.
    pub(crate) fn is_full(&self) -> bool {
        self.0.borrow().len() >= MOST
    }

    fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }
}
