//! What is to be known of the programs that share a device, as their dispatcher's map holds it.

/// The first word of what we wrote, and the version of what follows.
const MAGIC: u32 = u32::from_ne_bytes(*b"SkXd");
const VERSION: u32 = 1;
/// Words before the entries, and of an entry.
const HEADER: usize = 3;
const ENTRY: usize = 4;

/// One program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// Where among what is called it is.
    pub(super) slot: u32,
    /// The lower runs earlier.
    pub(super) priority: u32,
    /// A bit for each answer after which the next one runs.
    pub(super) chain: u32,
    /// It takes packets in several buffers.
    pub(super) frags: bool,
}

/// All of them, in the order they run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct State {
    pub(super) entries: Vec<Entry>,
}

impl State {
    /// Reads what [`bytes`](Self::bytes) wrote; nothing if it was someone else, or a later version.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (words, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() {
            return None;
        }
        let words: Vec<u32> = words.iter().map(|word| u32::from_ne_bytes(*word)).collect();
        let (header, entries) = words.split_first_chunk::<HEADER>()?;
        let [MAGIC, VERSION, count] = *header else {
            return None;
        };
        let (entries, rest) = entries.as_chunks::<ENTRY>();
        if !rest.is_empty() || entries.len() != usize::try_from(count).ok()? {
            return None;
        }
        let entries = entries.iter().map(|&[slot, priority, chain, frags]| Entry {
            slot,
            priority,
            chain,
            frags: frags != 0,
        });
        Some(Self {
            entries: entries.collect(),
        })
    }

    /// As words in this machine's byte order, one behind the other.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let count = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        let mut words = vec![MAGIC, VERSION, count];
        for entry in &self.entries {
            let frags = u32::from(entry.frags);
            words.extend([entry.slot, entry.priority, entry.chain, frags]);
        }
        words.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    /// Puts one behind those that run before it.
    pub(super) fn insert(&mut self, entry: Entry) {
        let place = self
            .entries
            .partition_point(|other| other.priority <= entry.priority);
        self.entries.insert(place, entry);
    }

    /// Takes one out; whether it was there.
    pub(super) fn remove(&mut self, slot: u32) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.slot != slot);
        self.entries.len() < before
    }

    /// Whether they take packets in several buffers: all of them do, or none.
    pub(super) fn frags(&self) -> bool {
        self.entries.first().is_some_and(|entry| entry.frags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(slot: u32, priority: u32) -> Entry {
        Entry {
            slot,
            priority,
            chain: 1 << 2,
            frags: false,
        }
    }

    fn slots(state: &State) -> Vec<u32> {
        state.entries.iter().map(|entry| entry.slot).collect()
    }

    #[test]
    fn the_lower_runs_earlier_and_the_equal_in_their_order() {
        let mut state = State::default();
        for (slot, priority) in [(1, 50), (2, 10), (3, 50), (4, 0), (5, 10)] {
            state.insert(entry(slot, priority));
        }
        assert_eq!(slots(&state), [4, 2, 5, 1, 3]);
        assert!(state.remove(5) && !state.remove(5));
        assert_eq!(slots(&state), [4, 2, 1, 3]);
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let mut state = State::default();
        state.insert(entry(1, 2));
        state.insert(entry(3, 4));
        let bytes = state.bytes();
        assert_eq!(State::read(&bytes), Some(state));
        assert_eq!(State::read(&bytes[..bytes.len() - 4]), None);
        assert_eq!(State::read(&bytes[1..]), None);
        assert_eq!(State::read(&[0; 12]), None);
        assert_eq!(State::read(&[]), None);
    }
}
