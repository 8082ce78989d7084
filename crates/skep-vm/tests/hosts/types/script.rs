//! Scripts: steps on one map, whose answers are written down.

use std::collections::BTreeMap;

use skep_abi::{MapCreateFlags, MapType};
use skep_host::{Host, MapBatch, MapCreate, MapFd, Result};
use skep_testing::{Outcome, Test};

use crate::support::{Record, agree, name};

/// A map to create.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    pub(crate) label: &'static str,
    pub(crate) map_type: MapType,
    pub(crate) key: u32,
    pub(crate) value: u32,
    pub(crate) entries: u32,
    pub(crate) flags: MapCreateFlags,
    pub(crate) extra: u64,
}

impl Spec {
    pub(crate) fn new(
        label: &'static str,
        map_type: MapType,
        key: u32,
        value: u32,
        entries: u32,
    ) -> Self {
        Self {
            label,
            map_type,
            key,
            value,
            entries,
            flags: MapCreateFlags::empty(),
            extra: 0,
        }
    }

    pub(crate) fn with(mut self, flags: MapCreateFlags) -> Self {
        self.flags |= flags;
        self
    }

    pub(crate) fn create(&self, host: &dyn Host) -> Result<MapFd> {
        let name = name("map");
        let mut request = MapCreate::new(self.map_type, &name, self.key, self.value, self.entries);
        request.flags = self.flags;
        request.map_extra = self.extra;
        host.map_create(&request)
    }

    /// Bytes of a value as user space sees it.
    pub(crate) fn user_value(&self, host: &dyn Host) -> Result<usize> {
        let size = self.value as usize;
        Ok(match self.map_type.is_per_cpu() {
            true => size.next_multiple_of(8) * host.possible_cpus()?,
            false => size,
        })
    }

    /// Whether the order of keys is the same on every host.
    fn ordered(&self) -> bool {
        matches!(
            self.map_type,
            MapType::Array | MapType::PercpuArray | MapType::LpmTrie | MapType::ProgArray
        )
    }

    /// One of a few keys.
    fn some_key(&self, random: &mut Random) -> Vec<u8> {
        let key = self.key as usize;
        match self.map_type {
            MapType::LpmTrie => {
                let longest = (self.key - 4) * 8;
                let mut bytes = (random.below(longest + 2)).to_ne_bytes().to_vec();
                let pattern = [0, 0xff, 0x80, 0xa5][random.below(4) as usize];
                bytes.resize(key, pattern);
                if random.below(3) == 0 {
                    bytes[4 + random.below(self.key - 4) as usize] ^= 1 << random.below(8);
                }
                bytes
            }
            MapType::Array | MapType::PercpuArray => random.below(6).to_ne_bytes().to_vec(),
            _ => {
                let number = random.below(7) as u8;
                // Keys that differ at the start, at the end, or in the middle.
                let mut bytes = vec![0x5a; key];
                if key > 0 {
                    let at = [0, key - 1, key / 2][usize::from(number % 3)];
                    bytes[at] = number;
                }
                bytes
            }
        }
    }
}

/// Numbers that look random and are the same each time.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, limit: u32) -> u32 {
        (self.next() >> 32) as u32 % limit.max(1)
    }
}

/// A step.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Update(Vec<u8>, u8, u64),
    Lookup(Vec<u8>, u64),
    Delete(Vec<u8>),
    Take(Vec<u8>, u64),
    Next(Vec<u8>),
    UpdateBatch(Vec<Vec<u8>>, u8, u64),
    DeleteBatch(Vec<Vec<u8>>, u64),
    LookupBatch(u32, u64),
    TakeBatch(u64),
}

fn some_flags(random: &mut Random) -> u64 {
    // Those of single CPUs are newer than some kernels.
    *[0, 0, 0, 1, 2, 3, 4, 5, 6, 32, 1 << 32, 1 << 63]
        .get(random.below(12) as usize)
        .unwrap_or(&0)
}

fn few(random: &mut Random) -> u64 {
    [0, 0, 0, 0, 4, 1][random.below(6) as usize]
}

impl Step {
    pub(super) fn some(spec: &Spec, random: &mut Random) -> Self {
        let keys = |random: &mut Random| -> Vec<Vec<u8>> {
            (0..random.below(5))
                .map(|_| spec.some_key(random))
                .collect()
        };
        let byte = random.next() as u8;
        match random.below(16) {
            0..=4 => Self::Update(spec.some_key(random), byte, some_flags(random)),
            5..=6 => Self::Lookup(spec.some_key(random), few(random)),
            7..=8 => Self::Delete(spec.some_key(random)),
            9 => Self::Take(spec.some_key(random), few(random)),
            10..=11 => Self::Next(spec.some_key(random)),
            12 => Self::UpdateBatch(keys(random), byte, some_flags(random)),
            13 => Self::DeleteBatch(keys(random), few(random)),
            14 => Self::LookupBatch(random.below(8), few(random)),
            _ => Self::TakeBatch(few(random)),
        }
    }
}

/// A map that a script runs on.
pub(super) struct Stage<'a> {
    host: &'a dyn Host,
    spec: &'a Spec,
    map: MapFd,
    value: usize,
}

impl<'a> Stage<'a> {
    pub(super) fn new(host: &'a dyn Host, spec: &'a Spec) -> Result<Self> {
        Ok(Self {
            map: spec.create(host)?,
            value: spec.user_value(host)?,
            host,
            spec,
        })
    }

    /// A value made of one byte: different in each CPU's part, zero where parts are rounded up.
    fn value_of(&self, byte: u8) -> Vec<u8> {
        let size = self.spec.value as usize;
        let stride = size.next_multiple_of(8);
        (0..self.value)
            .map(
                |at| match at % stride < size || !self.spec.map_type.is_per_cpu() {
                    true => byte
                        .wrapping_add((at / stride) as u8)
                        .wrapping_add(at as u8),
                    false => 0,
                },
            )
            .collect()
    }

    pub(super) fn play(&self, record: &mut Record, number: usize, step: &Step) {
        let (host, map) = (self.host, &self.map);
        let key = format!("{} {number} {step:?}", self.spec.label);
        match step {
            Step::Update(at, byte, flags) => {
                let done = host.map_update_elem(map, at, &self.value_of(*byte), *flags);
                record.answer(key, &done);
            }
            Step::Lookup(at, flags) => {
                let mut value = self.value_of(7);
                let found = host.map_lookup_elem(map, at, &mut value, *flags);
                let there = matches!(found, Ok(true));
                record.answer(key.clone(), &found);
                if there {
                    record.fact(key, value);
                }
            }
            Step::Delete(at) => record.answer(key, &host.map_delete_elem(map, at)),
            Step::Take(at, flags) => {
                let mut value = self.value_of(7);
                let found = host.map_lookup_and_delete_elem(map, at, &mut value, *flags);
                let there = matches!(found, Ok(true));
                record.answer(key.clone(), &found);
                if there {
                    record.fact(key, value);
                }
            }
            Step::Next(at) if self.spec.ordered() || self.spec.key == 0 => {
                let mut next = vec![0; self.spec.key as usize];
                record.answer(
                    key.clone(),
                    &host.map_get_next_key(map, Some(at), &mut next),
                );
                record.fact(key.clone(), &next);
                record.answer(key.clone(), &host.map_get_next_key(map, None, &mut next));
                record.fact(key, next);
            }
            // Which key comes next is the host's affair, but not that there is one.
            Step::Next(_) => {
                let mut next = vec![0; self.spec.key as usize];
                record.answer(key, &host.map_get_next_key(map, None, &mut next));
            }
            Step::UpdateBatch(keys, byte, flags) => {
                let values: Vec<u8> = (0..keys.len())
                    .flat_map(|index| self.value_of(byte.wrapping_add(index as u8)))
                    .collect();
                let count = keys.len() as u32;
                let done = host.map_update_batch(map, &keys.concat(), &values, count, *flags);
                record.answer(key, &done);
            }
            Step::DeleteBatch(keys, flags) => {
                let count = keys.len() as u32;
                let done = host.map_delete_batch(map, &keys.concat(), count, *flags);
                record.answer(key, &done);
            }
            Step::LookupBatch(count, flags) => self.batch(record, &key, *count, *flags, false),
            Step::TakeBatch(flags) => self.batch(record, &key, 8, *flags, true),
        }
    }

    /// Reads all of the map by batches.
    fn batch(&self, record: &mut Record, key: &str, count: u32, flags: u64, take: bool) {
        // A hash map's batch has whole buckets: one that has more than fit is an error, which
        // depends on the hash.
        let count = match count {
            0 => 0,
            count if self.spec.ordered() => count,
            _ => 16,
        };
        let size = self.spec.key as usize;
        let mut position: Option<Vec<u8>> = None;
        let mut all = Vec::new();
        for _ in 0..10 {
            let mut next = vec![0; size.max(4)];
            let mut keys = vec![0; size * count as usize];
            let mut values = vec![0; self.value * count as usize];
            let mut batch = MapBatch {
                position: position.as_deref(),
                next_position: &mut next,
                keys: &mut keys,
                values: &mut values,
                count,
                element_flags: flags,
            };
            let answer = match take {
                true => self.host.map_lookup_and_delete_batch(&self.map, &mut batch),
                false => self.host.map_lookup_batch(&self.map, &mut batch),
            };
            record.answer(key, &answer);
            let Ok(outcome) = answer else { return };
            let found = outcome.count as usize;
            all.extend(
                keys.chunks(size.max(1))
                    .zip(values.chunks(self.value))
                    .take(found)
                    .map(|(key, value)| (key.to_vec(), value.to_vec())),
            );
            if self.spec.ordered() {
                record.fact(key, &next);
            }
            if outcome.end || found == 0 {
                break;
            }
            position = Some(next);
        }
        if !self.spec.ordered() {
            all.sort();
        }
        record.fact(key, all);
    }

    /// All entries; in the order of their keys where hosts have their own.
    pub(super) fn contents(&self, record: &mut Record, key: &str) {
        let mut found = BTreeMap::new();
        let mut order = Vec::new();
        let mut at: Option<Vec<u8>> = None;
        let mut next = vec![0; self.spec.key as usize];
        while let Ok(true) = self
            .host
            .map_get_next_key(&self.map, at.as_deref(), &mut next)
        {
            let mut value = self.value_of(0);
            let there = self.host.map_lookup_elem(&self.map, &next, &mut value, 0);
            if found
                .insert(next.clone(), (format!("{there:?}"), value))
                .is_some()
            {
                record.fact(format!("{key}: a key twice"), &next);
                break;
            }
            order.push(next.clone());
            at = Some(next.clone());
        }
        if self.spec.ordered() {
            record.fact(format!("{key} order"), order);
        }
        record.fact(format!("{key} contents"), found);
    }
}

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("types::every_operation_with_every_flag", || {
            agree(each_flag)
        }),
        Test::new("types::random_scripts", || agree(random_scripts)),
        Test::new("types::full_maps", || agree(full_maps)),
    ]
}

/// Each operation with each flag on maps of each type, empty and with an entry.
fn each_flag(host: &dyn Host, record: &mut Record) -> Outcome {
    for spec in super::specs() {
        let stage = Stage::new(host, &spec)?;
        let mut random = Random::new(1);
        let mut key = spec.some_key(&mut random);
        if matches!(spec.map_type, MapType::Array | MapType::PercpuArray) {
            key = 1_u32.to_ne_bytes().to_vec();
        }
        let mut number = 0;
        for _ in 0..2 {
            for flags in [0, 1, 2, 3, 4, 5, 6, 7, 32, 64, 1 << 31, 1 << 32, 1 << 63] {
                for step in [
                    Step::Lookup(key.clone(), flags),
                    Step::Take(key.clone(), flags),
                    Step::Update(key.clone(), flags as u8, flags),
                    Step::Lookup(key.clone(), 0),
                    Step::UpdateBatch(vec![key.clone()], 9, flags),
                    Step::LookupBatch(4, flags),
                    Step::TakeBatch(flags),
                    Step::Lookup(key.clone(), 0),
                    Step::DeleteBatch(vec![key.clone()], flags),
                ] {
                    stage.play(record, number, &step);
                    number += 1;
                }
            }
            stage.play(record, number, &Step::Delete(key.clone()));
            stage.play(record, number, &Step::Delete(key.clone()));
            stage.play(record, number, &Step::Update(key.clone(), 3, 0));
        }
    }
    Ok(())
}

fn random_scripts(host: &dyn Host, record: &mut Record) -> Outcome {
    for spec in super::specs() {
        for seed in 1..40 {
            let stage = Stage::new(host, &spec)?;
            let mut random = Random::new(seed);
            for number in 0..40 {
                let step = Step::some(&spec, &mut random);
                stage.play(record, number, &step);
            }
            stage.contents(record, &format!("{} seed {seed}", spec.label));
        }
    }
    Ok(())
}

/// More keys than fit, one after the other, and again.
fn full_maps(host: &dyn Host, record: &mut Record) -> Outcome {
    for spec in super::specs() {
        if spec.entries > 100 {
            continue;
        }
        let stage = Stage::new(host, &spec)?;
        for round in 0..3_u8 {
            for number in 0..=spec.entries as u8 {
                let mut key = vec![0; spec.key as usize];
                if let Some(first) = key.first_mut() {
                    *first = number;
                }
                if spec.map_type == MapType::LpmTrie {
                    key = vec![number; spec.key as usize];
                    key[..4].copy_from_slice(&16_u32.to_ne_bytes());
                }
                stage.play(record, 0, &Step::Update(key.clone(), round, 0));
                stage.play(record, 0, &Step::Update(key.clone(), round, 2));
                stage.play(record, 0, &Step::Lookup(key.clone(), 0));
                if round == 1 {
                    stage.play(record, 0, &Step::Delete(key.clone()));
                    stage.play(record, 0, &Step::Take(key, 0));
                }
            }
            stage.contents(record, spec.label);
        }
    }
    Ok(())
}
