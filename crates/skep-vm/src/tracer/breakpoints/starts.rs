//! Where instructions begin: a breakpoint in the middle of one would make another of it.
//!
//! Binaries have a sorted table of their functions for unwinding (`.eh_frame_hdr`), also where they
//! are stripped. From a function's start to the place that is asked for, instructions are decoded
//! one after the other. Where there is no table, or no function around the place, nothing is known.

use std::{collections::BTreeMap, fs::File, os::unix::fs::FileExt as _, path::Path};

use iced_x86::{Decoder, DecoderOptions};

use super::{maps::FileId, places::Place, refused::Reason};

/// Most bytes of a function that are decoded.
const FUNCTION: u64 = 1 << 20;
/// Most bytes of a table.
const TABLE: u64 = 64 << 20;

/// What is known of files and places already.
#[derive(Debug, Default)]
pub(super) struct Starts {
    files: BTreeMap<FileId, Known>,
    places: BTreeMap<(FileId, u64), Result<(), Reason>>,
}

#[derive(Debug)]
enum Known {
    Functions(Binary),
    /// Of another kind of process.
    OtherBits,
    Nothing,
}

impl Starts {
    /// Whether a place is where an instruction of a 64-bit process begins, as far as is known.
    ///
    /// # Errors
    /// It is not.
    pub(super) fn check(&mut self, place: &Place) -> Result<(), Reason> {
        let id = place.file.id;
        if let Some(known) = self.places.get(&(id, place.offset)) {
            return known.clone();
        }
        let known = self
            .files
            .entry(id)
            .or_insert_with(|| Binary::open(&place.file.path, id));
        let found = match known {
            Known::Functions(binary) => match binary.middle_of(place.offset) {
                Some(start) => Err(Reason::Middle(start)),
                None => Ok(()),
            },
            Known::OtherBits => Err(Reason::Bits),
            Known::Nothing => Ok(()),
        };
        self.places.insert((id, place.offset), found.clone());
        found
    }
}

/// What of an ELF file says where functions are.
#[derive(Debug)]
struct Binary {
    file: File,
    segments: Vec<Segment>,
    /// Address, in the file's own numbers, and contents of `.eh_frame_hdr`.
    table: u64,
    bytes: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Segment {
    offset: u64,
    address: u64,
    size: u64,
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let part = bytes.get(at..at.checked_add(4)?)?;
    part.try_into().ok().map(u32::from_le_bytes)
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    let part = bytes.get(at..at.checked_add(8)?)?;
    part.try_into().ok().map(u64::from_le_bytes)
}

/// A difference of addresses, as the table has it.
fn relative(base: u64, difference: u32) -> u64 {
    base.wrapping_add(i64::from(difference as i32) as u64)
}

impl Binary {
    fn open(path: &Path, id: FileId) -> Known {
        // Another file may be there by now.
        let same = FileId::of(path).is_ok_and(|now| now == id);
        let Some(file) = File::open(path).ok().filter(|_| same) else {
            return Known::Nothing;
        };
        let mut magic = [0; 5];
        if file.read_exact_at(&mut magic, 0).is_ok() && &magic == b"\x7fELF\x01" {
            return Known::OtherBits;
        }
        Self::parse(file).map_or(Known::Nothing, Known::Functions)
    }

    fn parse(file: File) -> Option<Self> {
        /// `PT_LOAD` and `PT_GNU_EH_FRAME`
        const LOAD: u32 = 1;
        const FUNCTIONS: u32 = 0x6474_e550;
        let mut header = [0; 64];
        file.read_exact_at(&mut header, 0).ok()?;
        // 64 bits, little-endian.
        header.starts_with(b"\x7fELF\x02\x01").then_some(())?;
        let at = long(&header, 32)?;
        let [size, count] = [54, 56].map(|at| {
            let part = header.get(at..at + 2);
            part.map_or(0, |part| {
                usize::from(u16::from_le_bytes([part[0], part[1]]))
            })
        });
        (size == 56).then_some(())?;
        let mut headers = vec![0; size * count];
        file.read_exact_at(&mut headers, at).ok()?;
        let (mut segments, mut table) = (Vec::new(), None);
        for header in headers.chunks_exact(size) {
            let segment = Segment {
                offset: long(header, 8)?,
                address: long(header, 16)?,
                size: long(header, 32)?,
            };
            match word(header, 0)? {
                LOAD => segments.push(segment),
                FUNCTIONS => table = Some(segment),
                _ => {}
            }
        }
        let table = table.filter(|table| table.size <= TABLE)?;
        let mut bytes = vec![0; usize::try_from(table.size).ok()?];
        file.read_exact_at(&mut bytes, table.offset).ok()?;
        // Version 1; how its pointer, its length and its rows are written: all compilers do so.
        bytes.starts_with(&[1, 0x1b, 0x03, 0x3b]).then_some(())?;
        Some(Self {
            file,
            segments,
            table: table.address,
            bytes,
        })
    }

    /// The address of a byte of the file.
    fn address(&self, offset: u64) -> Option<u64> {
        let mut segments = self.segments.iter();
        segments.find_map(|segment| {
            let within = offset.checked_sub(segment.offset)?;
            (within < segment.size).then(|| segment.address.wrapping_add(within))
        })
    }

    /// The bytes of the file from an address.
    fn read(&self, address: u64, len: usize) -> Option<Vec<u8>> {
        let mut segments = self.segments.iter();
        let offset = segments.find_map(|segment| {
            let within = address.checked_sub(segment.address)?;
            (within < segment.size).then(|| segment.offset.checked_add(within))?
        })?;
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, offset).ok()?;
        Some(bytes)
    }

    /// The start of the function around an address.
    fn function(&self, address: u64) -> Option<u64> {
        let count = word(&self.bytes, 8)? as usize;
        let row = |index: usize| {
            let at = index.checked_mul(8)?.checked_add(12)?;
            let start = relative(self.table, word(&self.bytes, at)?);
            let record = relative(self.table, word(&self.bytes, at + 4)?);
            Some((start, record))
        };
        // The last row that begins before it, or at it.
        let (mut low, mut high) = (0, count);
        while low < high {
            let middle = low.midpoint(high);
            match row(middle)?.0 <= address {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        let (start, record) = row(low.checked_sub(1)?)?;
        // Length, its common part, start (relative to itself) and size.
        let record_bytes = self.read(record, 16)?;
        let begins = relative(record.wrapping_add(8), word(&record_bytes, 8)?);
        let size = word(&record_bytes, 12)?;
        let within = address.checked_sub(start)?;
        (begins == start && within < u64::from(size)).then_some(start)
    }

    fn middle_of(&self, offset: u64) -> Option<u64> {
        let address = self.address(offset)?;
        let start = self.function(address)?;
        let len = address.checked_sub(start).filter(|len| *len <= FUNCTION)?;
        let bytes = self.read(start, usize::try_from(len).ok()? + 15)?;
        let mut decoder = Decoder::with_ip(64, &bytes, start, DecoderOptions::NONE);
        let mut at = start;
        while at < address {
            let instruction = decoder.decode();
            if instruction.is_invalid() {
                return None;
            }
            let next = instruction.next_ip();
            if next > address {
                return Some(offset - (address - at));
            }
            at = next;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// This test's own binary: its functions begin where it says, and not one byte later.
    #[test]
    fn the_middle_of_an_instruction_is_found() {
        let path = std::env::current_exe().unwrap();
        let Known::Functions(binary) = Binary::open(&path, FileId::of(&path).unwrap()) else {
            panic!("no table");
        };
        let count = word(&binary.bytes, 8).unwrap();
        assert!(count > 100, "{count}");
        let offset_of = |address: u64| {
            let segment = binary.segments.iter().find(|segment| {
                (segment.address..segment.address + segment.size).contains(&address)
            });
            segment.map(|segment| address - segment.address + segment.offset)
        };
        let mut middles = 0;
        for index in (0..count as usize).step_by(97) {
            let start = relative(binary.table, word(&binary.bytes, 12 + 8 * index).unwrap());
            let Some(offset) = offset_of(start) else {
                continue;
            };
            assert_eq!(binary.function(start), Some(start), "{start:#x}");
            assert_eq!(binary.middle_of(offset), None, "{start:#x}");
            let bytes = binary.read(start, 32).unwrap();
            let mut decoder = Decoder::with_ip(64, &bytes, start, DecoderOptions::NONE);
            let len = decoder.decode().len() as u64;
            for inside in 1..len {
                if binary.function(start + inside) == Some(start) {
                    assert_eq!(
                        binary.middle_of(offset + inside),
                        Some(offset),
                        "{start:#x}"
                    );
                    middles += 1;
                }
            }
        }
        assert!(middles > 20, "{middles}");
    }

    /// Bytes changed at random: whatever a file says, there is an answer.
    #[test]
    fn broken_files_break_nothing() {
        let directory = std::env::temp_dir().join(format!("skep-broken-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("file");
        // A small one with all that is looked at: its end does not matter.
        let own = std::fs::read(std::fs::canonicalize("/bin/true").unwrap()).unwrap();
        let mut seed = 0x9e37_79b9_7f4a_7c15u64;
        let mut random = |below: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            (seed % below as u64) as usize
        };
        let mut parsed = 0;
        for round in 0..600 {
            let mut bytes = own.clone();
            for _ in 0..1 + round % 8 {
                // Mostly in what is parsed: the headers, and the tables behind the code.
                let at = match random(3) {
                    0 => random(64 + 56 * 13),
                    1 => random(bytes.len()),
                    _ => bytes.len() / 2 + random(bytes.len() / 4),
                };
                bytes[at] = random(256) as u8;
            }
            if round % 5 == 0 {
                bytes.truncate(random(own.len()));
            }
            std::fs::write(&path, &bytes).unwrap();
            let known = Binary::open(&path, FileId::of(&path).unwrap());
            if let Known::Functions(binary) = known {
                parsed += 1;
                for _ in 0..64 {
                    let _ = binary.middle_of(random(own.len() + 4096) as u64);
                }
                let _ = binary.middle_of(u64::MAX);
            }
        }
        std::fs::remove_dir_all(&directory).unwrap();
        assert!(parsed > 100, "{parsed}");
    }

    #[test]
    fn other_files_say_nothing() {
        let directory = std::env::temp_dir().join(format!("skep-starts-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("file");
        let binary = std::fs::read("/proc/self/exe").unwrap();
        let headers: [&[u8]; 4] = [b"", b"#!/bin/sh\n", &binary[..64], &binary[..4096]];
        for bytes in headers {
            std::fs::write(&path, bytes).unwrap();
            let known = Binary::open(&path, FileId::of(&path).unwrap());
            assert!(matches!(known, Known::Nothing), "{known:?}");
        }
        std::fs::write(&path, b"\x7fELF\x01\x01\x01").unwrap();
        let known = Binary::open(&path, FileId::of(&path).unwrap());
        assert!(matches!(known, Known::OtherBits), "{known:?}");
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
