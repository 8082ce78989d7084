//! Random scripts of user space on maps: what they answer on a host, and what a simple model of
//! each type says they must.

use std::collections::{BTreeMap, VecDeque};

use skep_abi::{MapCreateFlags, MapType};
use skep_host::{Errno, Error, Host, MapCreate, MapFd};

use super::Choices;

/// A step of a script; keys and values have the map's sizes.
#[derive(Debug, Clone)]
pub enum Step {
    /// Look a key up.
    Lookup(Vec<u8>),
    /// Set a value, with flags.
    Update(Vec<u8>, Vec<u8>, u64),
    /// Delete a key.
    Delete(Vec<u8>),
    /// Take a key's value out.
    Take(Vec<u8>),
    /// Go over all keys.
    Walk,
}

/// What a step answers: with errors by number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is done.
    Done,
    /// There is no such key.
    Nothing,
    /// The value.
    Value(Vec<u8>),
    /// All keys, sorted.
    Keys(Vec<Vec<u8>>),
    /// It can't be done.
    Refused(i32),
}

/// A map and what is done with it.
#[derive(Debug, Clone)]
pub struct Script {
    /// Its type.
    pub map_type: MapType,
    /// Bytes of a key.
    pub key: u32,
    /// Bytes of a value.
    pub value: u32,
    /// Entries.
    pub entries: u32,
    /// Flags of its creation.
    pub flags: MapCreateFlags,
    /// What is done.
    pub steps: Vec<Step>,
}

/// Types of which the model knows everything.
const TYPES: [MapType; 10] = [
    MapType::Array,
    MapType::Hash,
    MapType::LruHash,
    MapType::PercpuArray,
    MapType::PercpuHash,
    MapType::LruPercpuHash,
    MapType::LpmTrie,
    MapType::Queue,
    MapType::Stack,
    MapType::Hash,
];

impl Script {
    /// One of these choices, for a machine of so many CPUs.
    pub fn new(choices: &mut Choices<'_>, cpus: usize) -> Self {
        let map_type = choices.of(&TYPES);
        let mut flags = MapCreateFlags::empty();
        let key = match map_type {
            MapType::Queue | MapType::Stack => 0,
            MapType::Array | MapType::PercpuArray => 4,
            MapType::LpmTrie => 5 + choices.below(4) as u32,
            _ => 1 + choices.below(20) as u32,
        };
        if map_type == MapType::LpmTrie
            || (matches!(map_type, MapType::Hash | MapType::PercpuHash) && choices.one_in(2))
        {
            flags |= MapCreateFlags::NO_PREALLOC;
        }
        let value = 1 + choices.below(40) as u32;
        let entries = match map_type {
            // Which entry makes room for another is for the host to choose.
            MapType::LruHash | MapType::LruPercpuHash => 1024,
            _ => 1 + choices.below(6) as u32,
        };
        let mut script = Self {
            map_type,
            key,
            value,
            entries,
            flags,
            steps: Vec::new(),
        };
        for _ in 0..1 + choices.below(40) {
            let step = match choices.below(10) {
                0..=4 => {
                    let flags = choices.of(&[0, 0, 0, 0, 1, 2, 3, 4]);
                    let value = (0..script.user_value(cpus)).map(|_| choices.byte());
                    let value = value.collect();
                    Step::Update(script.a_key(choices), value, flags)
                }
                5 | 6 => Step::Lookup(script.a_key(choices)),
                7 => Step::Delete(script.a_key(choices)),
                8 => Step::Take(script.a_key(choices)),
                _ => Step::Walk,
            };
            script.steps.push(step);
        }
        script
    }

    /// One of few keys.
    fn a_key(&self, choices: &mut Choices<'_>) -> Vec<u8> {
        let few = choices.below(8) as u8;
        let mut key = vec![0; self.key as usize];
        if self.map_type == MapType::LpmTrie {
            let longest = (self.key - 4) * 8;
            let bits = choices.of(&[0, 1, 3, 7, 8, longest, longest, longest + 1]);
            key[..4].copy_from_slice(&bits.to_ne_bytes());
            key[4] = choices.of(&[0, 0x80, 0x81, 0xff, few]);
            if let Some(last) = key.get_mut(5) {
                *last = few << 5;
            }
            return key;
        }
        match key.first_mut() {
            Some(first) if cfg!(target_endian = "little") => *first = few,
            _ => {
                if let Some(last) = key.last_mut() {
                    *last = few;
                }
            }
        }
        key
    }

    fn user_value(&self, cpus: usize) -> usize {
        match self.map_type.is_per_cpu() {
            true => (self.value as usize).next_multiple_of(8) * cpus,
            false => self.value as usize,
        }
    }

    /// What a host answers.
    ///
    /// # Errors
    /// The map can't be created.
    pub fn answers(&self, host: &dyn Host) -> Result<Vec<Answer>, Error> {
        let name = "script";
        let mut request = MapCreate::new(self.map_type, name, self.key, self.value, self.entries);
        request.flags = self.flags;
        let map = host.map_create(&request)?;
        let cpus = host.possible_cpus()?;
        let steps = self.steps.iter();
        Ok(steps
            .map(|step| self.answer(host, &map, cpus, step))
            .collect())
    }

    fn answer(&self, host: &dyn Host, map: &MapFd, cpus: usize, step: &Step) -> Answer {
        let mut value = vec![0; self.user_value(cpus)];
        let found = match step {
            Step::Lookup(key) => host.map_lookup_elem(map, key, &mut value, 0),
            Step::Take(key) => host.map_lookup_and_delete_elem(map, key, &mut value, 0),
            Step::Delete(key) => {
                return match host.map_delete_elem(map, key) {
                    Ok(true) => Answer::Done,
                    Ok(false) => Answer::Nothing,
                    Err(error) => refused(&error),
                };
            }
            Step::Update(key, value, flags) => {
                return match host.map_update_elem(map, key, value, *flags) {
                    Ok(()) => Answer::Done,
                    Err(error) => refused(&error),
                };
            }
            Step::Walk => return self.walk(host, map),
        };
        match found {
            Ok(true) => Answer::Value(self.seen(value)),
            Ok(false) => Answer::Nothing,
            Err(error) => refused(&error),
        }
    }

    fn walk(&self, host: &dyn Host, map: &MapFd) -> Answer {
        let mut keys = Vec::new();
        let mut next = vec![0; self.key as usize];
        let mut last = None::<Vec<u8>>;
        loop {
            match host.map_get_next_key(map, last.as_deref(), &mut next) {
                Ok(true) if keys.len() < 100 => {
                    keys.push(next.clone());
                    last = Some(next.clone());
                }
                Ok(_) => break,
                Err(error) => return refused(&error),
            }
        }
        keys.sort_unstable();
        Answer::Keys(keys)
    }

    /// Without what stands between values of CPUs.
    fn seen(&self, mut value: Vec<u8>) -> Vec<u8> {
        if self.map_type.is_per_cpu() {
            let stride = (self.value as usize).next_multiple_of(8);
            for area in value.chunks_mut(stride) {
                area[self.value as usize..].fill(0);
            }
        }
        value
    }

    /// What the steps must answer. An error's number is only known to a kernel: 0 stands for any.
    pub fn expected(&self, cpus: usize) -> Vec<Answer> {
        let mut model = Model {
            script: self,
            cpus,
            entries: BTreeMap::new(),
            queue: VecDeque::new(),
        };
        let steps = self.steps.iter();
        steps.map(|step| model.step(step)).collect()
    }
}

fn refused(error: &Error) -> Answer {
    Answer::Refused(error.errno().map_or(0, |Errno(number)| number))
}

struct Model<'s> {
    script: &'s Script,
    cpus: usize,
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
    queue: VecDeque<Vec<u8>>,
}

const ANY: Answer = Answer::Refused(0);

impl Model<'_> {
    fn step(&mut self, step: &Step) -> Answer {
        match self.script.map_type {
            MapType::Queue | MapType::Stack => self.queue(step),
            MapType::Array | MapType::PercpuArray => self.array(step),
            MapType::LpmTrie => self.trie(step),
            _ => self.hash(step),
        }
    }

    fn walk(&self) -> Answer {
        Answer::Keys(self.entries.keys().cloned().collect())
    }

    fn hash(&mut self, step: &Step) -> Answer {
        match step {
            Step::Lookup(key) => match self.entries.get(key) {
                Some(value) => Answer::Value(value.clone()),
                None => Answer::Nothing,
            },
            Step::Take(key) => match self.entries.remove(key) {
                Some(value) => Answer::Value(value),
                None => Answer::Nothing,
            },
            Step::Delete(key) => match self.entries.remove(key) {
                Some(_) => Answer::Done,
                None => Answer::Nothing,
            },
            Step::Update(key, value, flags) => {
                let there = self.entries.contains_key(key);
                let full = self.entries.len() >= self.script.entries as usize;
                if *flags > 2 || (there && *flags == 1) || (!there && (*flags == 2 || full)) {
                    return ANY;
                }
                let value = self.script.seen(value.clone());
                self.entries.insert(key.clone(), value);
                Answer::Done
            }
            Step::Walk => self.walk(),
        }
    }

    fn array(&mut self, step: &Step) -> Answer {
        let index = |key: &[u8]| {
            let index = u32::from_ne_bytes(*key.first_chunk().expect("four bytes"));
            index < self.script.entries
        };
        match step {
            Step::Lookup(key) if index(key) => {
                let zero = || vec![0; self.script.user_value(self.cpus)];
                Answer::Value(self.entries.get(key).cloned().unwrap_or_else(zero))
            }
            Step::Lookup(_) => Answer::Nothing,
            Step::Update(key, value, 0 | 2) if index(key) => {
                let value = self.script.seen(value.clone());
                self.entries.insert(key.clone(), value);
                Answer::Done
            }
            Step::Walk => {
                let keys = (0..self.script.entries).map(|index| index.to_ne_bytes().to_vec());
                let mut keys: Vec<_> = keys.collect();
                keys.sort_unstable();
                Answer::Keys(keys)
            }
            _ => ANY,
        }
    }

    /// A prefix's own bits, and how many.
    fn prefix(&self, key: &[u8]) -> Option<(u32, Vec<u8>)> {
        let bits = u32::from_ne_bytes(*key.first_chunk()?);
        let mut bytes = key.get(4..)?.to_vec();
        if bits as usize > bytes.len() * 8 {
            return None;
        }
        for (at, byte) in bytes.iter_mut().enumerate() {
            let kept = (bits as usize).saturating_sub(at * 8).min(8);
            *byte &= !(0xff_u16 >> kept) as u8;
        }
        Some((bits, bytes))
    }

    fn trie(&mut self, step: &Step) -> Answer {
        match step {
            Step::Lookup(key) => {
                // The longest prefix that is no longer than the key's own, which is long enough
                // even if it is too long for the map.
                let bytes = &key[4..];
                let asked = u32::from_ne_bytes(*key.first_chunk().expect("four bytes"));
                let best = self.entries.iter().filter_map(|(known, value)| {
                    let (bits, prefix) = self.prefix(known)?;
                    let mut cut = bits.to_ne_bytes().to_vec();
                    cut.extend_from_slice(bytes);
                    let same = self.prefix(&cut)?.1 == prefix;
                    (same && bits <= asked).then_some((bits, value))
                });
                match best.max_by_key(|(bits, _)| *bits) {
                    _ if asked as usize > bytes.len() * 8 => Answer::Nothing,
                    Some((_, value)) => Answer::Value(value.clone()),
                    None => Answer::Nothing,
                }
            }
            Step::Update(key, value, flags) => {
                let Some(prefix) = self.prefix(key) else {
                    return ANY;
                };
                let known = self.known(&prefix);
                let full = self.entries.len() >= self.script.entries as usize;
                match (known, flags) {
                    (_, 3..) | (Some(_), 1) | (None, 2) => ANY,
                    (None, _) if full => ANY,
                    (Some(old), _) => {
                        // The key's other bits are the new one's.
                        self.entries.remove(&old);
                        self.entries.insert(key.clone(), value.clone());
                        Answer::Done
                    }
                    (None, _) => {
                        self.entries.insert(key.clone(), value.clone());
                        Answer::Done
                    }
                }
            }
            Step::Delete(key) => {
                let Some(prefix) = self.prefix(key) else {
                    return ANY;
                };
                match self.known(&prefix) {
                    Some(old) => {
                        self.entries.remove(&old);
                        Answer::Done
                    }
                    None => Answer::Nothing,
                }
            }
            Step::Take(_) => ANY,
            Step::Walk => self.walk(),
        }
    }

    fn known(&self, prefix: &(u32, Vec<u8>)) -> Option<Vec<u8>> {
        let mut keys = self.entries.keys();
        keys.find(|key| self.prefix(key).as_ref() == Some(prefix))
            .cloned()
    }

    fn queue(&mut self, step: &Step) -> Answer {
        let last = self.script.map_type == MapType::Stack;
        match step {
            Step::Update(_, value, flags @ (0 | 2)) => {
                if self.queue.len() >= self.script.entries as usize {
                    if *flags == 0 {
                        return ANY;
                    }
                    // The oldest makes room.
                    self.queue.pop_front();
                }
                self.queue.push_back(value.clone());
                Answer::Done
            }
            Step::Lookup(_) => {
                let seen = if last {
                    self.queue.back()
                } else {
                    self.queue.front()
                };
                seen.map_or(Answer::Nothing, |value| Answer::Value(value.clone()))
            }
            Step::Take(_) => {
                let taken = match last {
                    true => self.queue.pop_back(),
                    false => self.queue.pop_front(),
                };
                taken.map_or(Answer::Nothing, Answer::Value)
            }
            _ => ANY,
        }
    }
}
