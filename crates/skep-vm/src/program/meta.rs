//! What is known of a loaded program beside what runs: who loaded it, its records, its counters.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use skep_abi::{AttachType, ProgLoadFlags};
use skep_host::Records;

use super::Program;
use crate::{
    machine::{BtfObject, lock, objects::Layout},
    map::{Claim, Map},
};

/// See above.
#[derive(Debug, Default)]
pub(crate) struct Meta {
    /// As it was loaded, with the descriptors of maps.
    pub(crate) instructions: Vec<u8>,
    /// The maps that the instructions name, in their order, as places in the program's list.
    pub(crate) references: Vec<usize>,
    pub(crate) tag: [u8; 8],
    /// Since the machine was made.
    pub(crate) loaded_at: Duration,
    pub(crate) gpl_compatible: bool,
    /// How many instructions the verifier followed; 0 where it was not asked.
    pub(crate) verified: u32,
    /// It is attached as what it was loaded for alone, says the verifier; without a verdict, as
    /// whatever its type can be.
    pub(crate) only_as_loaded: bool,
    pub(crate) flags: ProgLoadFlags,
    pub(crate) expected_attach_type: Option<AttachType>,
    /// For struct_ops: the member of the structure.
    pub(crate) attach_member: Option<u32>,
    /// The device that it is bound to, or 0.
    pub(crate) ifindex: u32,
    pub(crate) btf: Option<Arc<BtfObject>>,
    pub(crate) functions: Records,
    pub(crate) lines: Records,
    /// What it attaches to: a type, and where that counts.
    pub(crate) attach_btf_id: u32,
    pub(crate) attach_btf: Option<Arc<BtfObject>>,
    pub(crate) attach_program: Option<Arc<Program>>,
    /// Its jump tables are for no other program.
    pub(crate) tables: Vec<Claim>,
    /// Maps that live as long as it, without being named by its instructions.
    pub(crate) bound: Mutex<Vec<Arc<Map>>>,
    /// Types of objects that it has allocated, by their ids in its BTF.
    pub(crate) layouts: Mutex<BTreeMap<u32, Arc<Layout>>>,
    /// The struct_ops map that it is associated with.
    pub(crate) associated: Mutex<Option<Arc<Map>>>,
    pub(crate) counters: Counters,
    pub(crate) output: Stream,
    pub(crate) errors: Stream,
}

impl Meta {
    /// It may sleep.
    pub(crate) fn sleepable(&self) -> bool {
        self.flags.contains(ProgLoadFlags::SLEEPABLE)
    }
}

/// What `BPF_ENABLE_STATS` counts.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Nanoseconds.
    pub(crate) time: AtomicU64,
    pub(crate) runs: AtomicU64,
    /// Runs that were left out since the program was running already.
    pub(crate) misses: AtomicU64,
}

impl Counters {
    pub(crate) fn add(&self, runs: u64, time: Duration) {
        self.runs.fetch_add(runs, Relaxed);
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.time.fetch_add(nanoseconds, Relaxed);
    }
}

/// Text that a program or the machine wrote about it, until somebody reads it.
#[derive(Debug, Default)]
pub(crate) struct Stream(Mutex<VecDeque<u8>>);

/// Most bytes that a stream keeps (`BPF_STREAM_MAX_CAPACITY`).
const CAPACITY: usize = 100_000;

impl Stream {
    /// Appends, all or nothing.
    ///
    /// # Errors
    /// It is full.
    pub(crate) fn write(&self, text: &[u8]) -> Result<(), skep_host::Errno> {
        let mut kept = lock(&self.0);
        if kept.len().saturating_add(text.len()) > CAPACITY {
            return Err(skep_host::Errno::ENOSPC);
        }
        kept.extend(text);
        Ok(())
    }

    /// Takes out what fits.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> usize {
        let mut kept = lock(&self.0);
        let taken = kept.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(kept.drain(..taken)) {
            *to = from;
        }
        taken
    }
}
