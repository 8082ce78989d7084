//! Going over a map's entries, many a system call where the kernel can (`BPF_MAP_LOOKUP_BATCH`,
//! 5.6), one by one where it can't.
//!
//! Hash maps go on from a bucket's number, so a batch must hold a whole bucket (`ENOSPC`
//! otherwise: the buffers grow). Other maps go on from a key, and start anew when it has
//! vanished; they give up with `EINTR` when entries vanish faster than they are read.

use std::fmt;

use skep_abi::MapType;
use skep_host::{BatchOutcome, Errno, MapBatch};

use super::Map;
use crate::Result;

/// Bytes of entries that one batch has room for at first.
const BATCH_BYTES: usize = 256 * 1024;
/// Most entries of a batch at first: more gain nothing.
const BATCH_ENTRIES: usize = 1024;
/// Keys alone are read in batches only if that copies no more than so many bytes of value each.
const KEYS_WITH_VALUES: usize = 256;
/// How often a batch is asked for again that was interrupted by entries that vanished.
const RETRIES: u32 = 8;

/// What is done with entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// They are copied.
    Copy,
    /// Their keys are copied.
    Keys,
    /// They are taken out.
    Take,
}

/// How the host is asked for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Batches,
    Singly,
    /// Taken out by a lookup and a delete: before 5.14, hash maps can't do both at once.
    SinglyInTwoSteps,
}

/// A walk over a map's entries that lends them out of its own buffers: nothing is allocated for
/// an entry.
///
/// Made by [`Map::walk`] and [`Map::drain`], where is said what a walk sees of a map that changes
/// meanwhile.
pub struct Walk<'m> {
    map: &'m Map,
    what: What,
    how: How,
    keys: Vec<u8>,
    values: Vec<u8>,
    /// Entries that the buffers have room for.
    capacity: usize,
    /// Entries in the buffers, and the next to lend.
    filled: usize,
    next: usize,
    /// Where to go on from, unless at the beginning; and where the host writes the next place.
    position: Vec<u8>,
    position_after: Vec<u8>,
    started: bool,
    /// Entries that may still be asked for, so that a map that is refilled all the while is left
    /// some time.
    budget: u64,
    retries: u32,
    done: bool,
}

impl Map {
    /// Goes over all entries, up to 1,024 a system call. See [`entries`](Self::entries) for
    /// an iterator, which allocates for each entry.
    ///
    /// A map may change under the walk. An entry that is there from begin to end is seen, one
    /// that comes or goes meanwhile may be. One is seen twice only if the walk had to start anew
    /// because the key it stood at was deleted: hash maps read in batches go by buckets and never
    /// do. The walk ends after twice [`max_entries`](Self::max_entries) entries, however fast a
    /// program refills the map.
    ///
    /// ```no_run
    /// # fn sum(map: &skep::Map) -> skep::Result<u64> {
    /// let mut sum = 0;
    /// let mut walk = map.walk();
    /// while let Some((_key, value)) = walk.next()? {
    ///     sum += value.iter().map(|byte| u64::from(*byte)).sum::<u64>();
    /// }
    /// # Ok(sum) }
    /// ```
    #[doc(alias = "BPF_MAP_LOOKUP_BATCH")]
    #[doc(alias = "BPF_MAP_GET_NEXT_KEY")]
    pub fn walk(&self) -> Walk<'_> {
        Walk::new(self, What::Copy)
    }

    /// Takes all entries out of a hash map: each is copied and deleted at once, so that nothing
    /// which a program counts meanwhile is lost. Before Linux 5.14 maps that have no batches
    /// are copied first and deleted then, which may lose what comes between.
    ///
    /// Entries are taken in batches: those of a batch are gone from the map even if the walk is
    /// dropped before it lent them.
    #[doc(alias = "BPF_MAP_LOOKUP_AND_DELETE_BATCH")]
    pub fn drain(&self) -> Walk<'_> {
        Walk::new(self, What::Take)
    }

    /// All entries, as (key, value) bytes; see [`walk`](Self::walk).
    pub fn entries(&self) -> Entries<'_> {
        Entries { walk: self.walk() }
    }

    /// All keys; see [`walk`](Self::walk).
    pub fn keys(&self) -> impl Iterator<Item = Result<Vec<u8>>> {
        let entries = Entries {
            walk: Walk::new(self, What::Keys),
        };
        entries.map(|entry| entry.map(|(key, _)| key))
    }
}

impl<'m> Walk<'m> {
    fn new(map: &'m Map, what: What) -> Self {
        let entry = map.key_size() + map.entry_size();
        let most = usize::try_from(map.max_entries()).unwrap_or(usize::MAX);
        let capacity = (BATCH_BYTES / entry.max(1)).clamp(16, BATCH_ENTRIES);
        let how = if what == What::Keys && map.entry_size() > KEYS_WITH_VALUES {
            How::Singly
        } else {
            How::Batches
        };
        // Hash maps put a bucket's number of 4 bytes there.
        let position = vec![0; map.key_size().max(4)];
        Self {
            map,
            what,
            how,
            keys: Vec::new(),
            values: Vec::new(),
            capacity: capacity.min(most.max(1)),
            filled: 0,
            next: 0,
            position_after: position.clone(),
            position,
            started: false,
            budget: u64::from(map.max_entries()).saturating_mul(2).max(1),
            retries: RETRIES,
            done: false,
        }
    }

    /// The next entry's key and value; `None` at the end. Per-CPU maps give
    /// [`entry_size`](Map::entry_size) bytes of value.
    ///
    /// # Errors
    /// The host refused; the walk is over then.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator can't lend from itself"
    )]
    pub fn next(&mut self) -> Result<Option<(&[u8], &[u8])>> {
        if self.next == self.filled && !self.fill()? {
            return Ok(None);
        }
        let at = self.next;
        self.next += 1;
        let (key, value) = (self.map.key_size(), self.map.entry_size());
        let values = self.values.get(at * value..(at + 1) * value);
        Ok(Some((
            &self.keys[at * key..(at + 1) * key],
            values.unwrap_or_default(),
        )))
    }

    /// Gets more entries; `false` at the end.
    fn fill(&mut self) -> Result<bool> {
        (self.next, self.filled) = (0, 0);
        while self.filled == 0 {
            if self.done || self.budget == 0 {
                return Ok(false);
            }
            let filled = match self.how {
                How::Batches => self.fill_with_batch(),
                How::Singly | How::SinglyInTwoSteps => self.fill_with_one(),
            };
            if filled.is_err() {
                self.done = true;
            }
            filled?;
        }
        Ok(true)
    }

    fn fill_with_batch(&mut self) -> Result<()> {
        let Self { map, capacity, .. } = *self;
        self.keys.resize(capacity * map.key_size(), 0);
        self.values.resize(capacity * map.entry_size(), 0);
        let mut batch = MapBatch {
            position: self.started.then_some(&self.position),
            next_position: &mut self.position_after,
            keys: &mut self.keys,
            values: &mut self.values,
            count: u32::try_from(capacity).unwrap_or(u32::MAX),
            element_flags: 0,
        };
        let answer = match self.what {
            What::Take => map.host.map_lookup_and_delete_batch(&map.fd, &mut batch),
            What::Copy | What::Keys => map.host.map_lookup_batch(&map.fd, &mut batch),
        };
        let error = match answer {
            Ok(BatchOutcome { count, end }) => {
                self.filled = (count as usize).min(capacity);
                self.budget = self.budget.saturating_sub(u64::from(count.max(1)));
                self.done = end;
                self.started = true;
                self.retries = RETRIES;
                std::mem::swap(&mut self.position, &mut self.position_after);
                return Ok(());
            }
            Err(error) => error,
        };
        match error.errno() {
            // A bucket holds more than the buffers; it can't hold more than the map.
            Some(Errno::ENOSPC) if capacity < self.most() => {
                self.capacity = (capacity * 2).min(self.most());
            }
            Some(Errno::EINTR) if self.retries > 0 => self.retries -= 1,
            Some(Errno::EINTR) if self.goes_on_from_a_key() => self.go_singly(),
            Some(errno) if !self.started && is_unsupported(errno) => self.go_singly(),
            _ => return Err(error.into()),
        }
        Ok(())
    }

    fn most(&self) -> usize {
        usize::try_from(self.map.max_entries()).map_or(usize::MAX, |most| most.saturating_mul(2))
    }

    /// Whether a batch's position is a key, so that the rest can be read one by one.
    fn goes_on_from_a_key(&self) -> bool {
        use MapType::{Hash, HashOfMaps, LruHash, LruPercpuHash, PercpuHash, Rhash};
        !matches!(
            self.map.map_type(),
            None | Some(Hash | HashOfMaps | LruHash | LruPercpuHash | PercpuHash | Rhash)
        )
    }

    fn go_singly(&mut self) {
        self.how = How::Singly;
    }

    fn fill_with_one(&mut self) -> Result<()> {
        let map = self.map;
        let (key_size, entry_size) = (map.key_size(), map.entry_size());
        self.budget = self.budget.saturating_sub(1);
        self.keys.resize(key_size, 0);
        // What is taken out is gone: the first key that is left is the next.
        let after = self.started && self.what != What::Take;
        let after = after.then(|| &self.position[..key_size]);
        let key = &mut self.keys[..key_size];
        if !map.host.map_get_next_key(&map.fd, after, key)? {
            self.done = true;
            return Ok(());
        }
        self.position[..key_size].copy_from_slice(key);
        self.started = true;
        let found = match self.what {
            What::Keys => {
                self.values.clear();
                true
            }
            What::Copy => {
                self.values.resize(entry_size, 0);
                map.host
                    .map_lookup_elem(&map.fd, key, &mut self.values[..entry_size], 0)?
            }
            What::Take => self.take_one()?,
        };
        self.filled = usize::from(found);
        Ok(())
    }

    fn take_one(&mut self) -> Result<bool> {
        let map = self.map;
        let key = &self.keys[..map.key_size()];
        self.values.resize(map.entry_size(), 0);
        let value = &mut self.values[..map.entry_size()];
        if self.how == How::Singly {
            let taken = map.host.map_lookup_and_delete_elem(&map.fd, key, value, 0);
            match taken {
                Err(error) if error.errno().is_some_and(is_unsupported) => {
                    self.how = How::SinglyInTwoSteps;
                }
                taken => return Ok(taken?),
            }
        }
        Ok(map.host.map_lookup_elem(&map.fd, key, value, 0)?
            && map.host.map_delete_elem(&map.fd, key)?)
    }
}

/// What kernels say to a command that they or the map's type don't have. The same numbers have
/// other causes, too: those show again when the single command is tried.
pub(super) fn is_unsupported(errno: Errno) -> bool {
    matches!(errno, Errno::EINVAL | Errno::ENOTSUPP | Errno::EOPNOTSUPP)
}

impl fmt::Debug for Walk<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Walk")
            .field("map", &self.map.name())
            .field("what", &self.what)
            .field("how", &self.how)
            .finish_non_exhaustive()
    }
}

/// Iterates over a map's entries, as bytes of their own.
#[derive(Debug)]
pub struct Entries<'a> {
    walk: Walk<'a>,
}

impl Iterator for Entries<'_> {
    type Item = Result<(Vec<u8>, Vec<u8>)>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.walk.next().transpose()?;
        Some(entry.map(|(key, value)| (key.to_vec(), value.to_vec())))
    }
}
