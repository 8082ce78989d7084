//! Batches: many elements of a map by one command. The place to go on from is a bucket's number
//! for hash maps, and the last key for others.

use skep_abi::{Command, MapProperties, MapType, MapUpdateFlags};
use skep_host::{BatchOutcome, Errno, Error, MapBatch, MapFd, Result};

use super::map::{check_flags, describe, failed, readable, value_size, writable};
use crate::{
    Vm,
    map::{Batch, Map},
};

/// Maps whose entries come and go: those that can take out a batch, and that know when they have
/// shown all.
fn is_hash(map_type: MapType) -> bool {
    matches!(
        map_type,
        MapType::Hash
            | MapType::LruHash
            | MapType::PercpuHash
            | MapType::LruPercpuHash
            | MapType::HashOfMaps
            | MapType::Rhash
    )
}

/// Whether a map has the command.
fn has(map_type: MapType, command: Command) -> bool {
    let properties = map_type.rules().properties;
    if !properties.contains(MapProperties::BATCH) {
        return false;
    }
    match command {
        Command::MapLookupAndDeleteBatch => is_hash(map_type),
        Command::MapDeleteBatch => is_hash(map_type) || map_type == MapType::LpmTrie,
        _ => true,
    }
}

fn at_least(vm: &Vm, map: &MapFd, what: &str, have: usize, need: Option<usize>) -> Result<()> {
    if need.is_some_and(|need| have >= need) {
        return Ok(());
    }
    Err(Error::Request {
        object: describe(vm, map),
        reason: match need {
            Some(need) => format!("the {what} has {have} bytes and needs {need}"),
            None => format!("the {what} would be larger than memory"),
        },
    })
}

/// `BPF_MAP_LOOKUP_BATCH` and `BPF_MAP_LOOKUP_AND_DELETE_BATCH`.
pub(super) fn lookup(
    vm: &Vm,
    command: Command,
    fd: &MapFd,
    batch: &mut MapBatch<'_>,
) -> Result<BatchOutcome> {
    let map = readable(vm, command, fd)?;
    let takes = command == Command::MapLookupAndDeleteBatch;
    if takes {
        writable(vm, command, fd)?;
    }
    let key = map.shape.key_size as usize;
    let value = value_size(map, batch.element_flags);
    let count = batch.count as usize;
    // As on a kernel, whose hash maps go on from a number of 4 bytes.
    let position = key.max(4);
    if let Some(from) = batch.position {
        at_least(vm, fd, "batch position", from.len(), Some(position))?;
    }
    let next = batch.next_position.len();
    at_least(vm, fd, "next batch position", next, Some(position))?;
    at_least(
        vm,
        fd,
        "keys' buffer",
        batch.keys.len(),
        key.checked_mul(count),
    )?;
    at_least(
        vm,
        fd,
        "values' buffer",
        batch.values.len(),
        value.checked_mul(count),
    )?;
    let answer = match has(map.shape.map_type, command) {
        true => Walk { map, key, value }.run(batch, takes),
        false => Err(Errno::ENOTSUPP),
    };
    answer.map_err(|errno| failed(vm, command, fd, errno))
}

/// A way through a map.
struct Walk<'m> {
    map: &'m Map,
    key: usize,
    value: usize,
}

impl Walk<'_> {
    fn run(&self, batch: &mut MapBatch<'_>, takes: bool) -> Result<BatchOutcome, Errno> {
        let kind = &self.map.kind;
        let allowed = MapUpdateFlags::LOCK | MapUpdateFlags::CPU;
        check_flags(self.map, batch.element_flags, allowed)?;
        if batch.count == 0 {
            return Ok(BatchOutcome {
                count: 0,
                end: false,
            });
        }
        if is_hash(self.map.shape.map_type) {
            return self.buckets(batch, takes);
        }
        let mut at: Option<Vec<u8>> = batch
            .position
            .map(|from| from.get(..self.key).unwrap_or_default().to_vec());
        let mut done = 0;
        let mut next = vec![0; self.key];
        let mut end = false;
        while done < batch.count {
            match kind.user_next_key(at.as_deref(), &mut next) {
                Ok(()) => {}
                Err(Errno::ENOENT) => {
                    end = true;
                    break;
                }
                Err(errno) => return Err(errno),
            }
            let place = done as usize;
            let (Some(key), Some(value)) = (
                part(batch.keys, self.key, place),
                part(batch.values, self.value, place),
            ) else {
                break;
            };
            match kind.user_lookup(&next, value, batch.element_flags) {
                Ok(()) => {
                    key.copy_from_slice(&next);
                    done += 1;
                }
                // Gone in between, or empty (a slot of a map of maps).
                Err(Errno::ENOENT) => {}
                Err(errno) => return Err(errno),
            }
            at = Some(next.clone());
        }
        if let (Some(at), Some(place), 1..) = (&at, batch.next_position.get_mut(..self.key), done) {
            place.copy_from_slice(at);
        }
        Ok(BatchOutcome { count: done, end })
    }

    /// A batch of a hash map: whole buckets, by their numbers.
    fn buckets(&self, batch: &mut MapBatch<'_>, take: bool) -> Result<BatchOutcome, Errno> {
        let number = |bytes: &[u8]| bytes.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes));
        let position = match batch.position {
            Some(from) => number(from).ok_or(Errno::EFAULT)?,
            None => 0,
        };
        let mut entries = Batch {
            position,
            keys: batch.keys,
            values: batch.values,
            value_size: self.value,
            room: batch.count,
            flags: batch.element_flags,
            take,
            count: 0,
            end: false,
        };
        let answer = self.map.kind.user_batch(&mut entries);
        if let Some(place) = batch.next_position.first_chunk_mut() {
            *place = entries.position.to_ne_bytes();
        }
        answer.unwrap_or(Err(Errno::ENOTSUPP))?;
        Ok(BatchOutcome {
            count: entries.count,
            end: entries.end,
        })
    }
}

/// The place of an element in a buffer.
fn part(buffer: &mut [u8], size: usize, index: usize) -> Option<&mut [u8]> {
    let start = index.checked_mul(size)?;
    buffer.get_mut(start..start.checked_add(size)?)
}

/// `BPF_MAP_UPDATE_BATCH`, and with no values `BPF_MAP_DELETE_BATCH`.
pub(super) fn write(
    vm: &Vm,
    fd: &MapFd,
    keys: &[u8],
    values: Option<&[u8]>,
    count: u32,
    flags: u64,
) -> Result<u32> {
    let command = if values.is_some() {
        Command::MapUpdateBatch
    } else {
        Command::MapDeleteBatch
    };
    let map = writable(vm, command, fd)?;
    let key = map.shape.key_size as usize;
    let value = value_size(map, flags);
    let room = |size: usize| size.checked_mul(count as usize);
    at_least(vm, fd, "keys' buffer", keys.len(), room(key))?;
    if let Some(values) = values {
        at_least(vm, fd, "values' buffer", values.len(), room(value))?;
    }
    let walk = Walk { map, key, value };
    let mut allowed = MapUpdateFlags::LOCK;
    if values.is_some() {
        allowed |= MapUpdateFlags::CPU | MapUpdateFlags::ALL_CPUS;
    }
    let answer = match has(map.shape.map_type, command) {
        true => check_flags(map, flags, allowed).map(|()| walk.write(keys, values, count, flags)),
        false => Err(Errno::ENOTSUPP),
    };
    match answer {
        Ok((done, Ok(()))) => Ok(done),
        // Stopped at an element; what came before it is done.
        Ok((done, Err(_))) if done > 0 => Ok(done),
        Ok((_, Err(errno))) | Err(errno) => Err(failed(vm, command, fd, errno)),
    }
}

impl Walk<'_> {
    fn write(
        &self,
        keys: &[u8],
        values: Option<&[u8]>,
        count: u32,
        flags: u64,
    ) -> (u32, Result<(), Errno>) {
        let kind = &self.map.kind;
        for index in 0..count {
            let at = index as usize;
            let key = keys
                .get(at * self.key..(at + 1) * self.key)
                .unwrap_or_default();
            let answer = match values {
                Some(values) => {
                    let value = values.get(at * self.value..(at + 1) * self.value);
                    kind.user_update(key, value.unwrap_or_default(), flags)
                }
                None => kind.user_delete(key),
            };
            if answer.is_err() {
                return (index, answer);
            }
        }
        (count, Ok(()))
    }
}
