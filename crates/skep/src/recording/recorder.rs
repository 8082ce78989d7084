//! Recording: programs made to write down what they see, and the file that it goes to.

use std::{io, sync::Arc};

use sha2::{Digest as _, Sha256};
use skep_abi::MapType;
use skep_object::Image;
use skep_record::{COUNTS, Contents, Header, Lost, MapState, Name, Options, RING, Sites, Writer};

use super::types::Types;
use crate::{Error, Host, Loaded, Map, Object, Result, RingBuffer, usdt};

/// An image linked for a host, and the same with programs that record.
#[derive(Debug)]
pub struct Instrumented {
    original: Image,
    changed: Image,
    sites: Sites,
    types: Option<Vec<u8>>,
}

impl Instrumented {
    /// Links an object for this host, and changes its programs.
    ///
    /// Recording takes Linux 5.12 or the virtual machine.
    ///
    /// # Errors
    /// It can't be linked, or a program can't be recorded: the error names it and says why.
    pub fn new(object: &Object, host: &Host, options: &Options) -> Result<Self> {
        let image = object.link(host)?;
        let types = Types::of(&image, host)?;
        let kfuncs = types.kfuncs(&image);
        let mut changed = image.clone();
        let words = |program: &skep_object::ImageProgram| types.words(program);
        let sites = skep_record::instrument(&mut changed, options, &kfuncs, &words)?;
        Ok(Self {
            types: types.needed(object.spec(), &image)?,
            original: image,
            changed,
            sites,
        })
    }

    /// What is to be loaded.
    pub fn image(&self) -> &Image {
        &self.changed
    }

    /// Where something is recorded.
    pub fn sites(&self) -> &Sites {
        &self.sites
    }
}

/// A recording that is under way.
pub struct Recorder<W> {
    ring: RingBuffer<[u8]>,
    counts: Arc<Map>,
    writer: Writer<W>,
    /// Maps that a replay does not fill by itself, by their number.
    filled: Vec<(u32, Arc<Map>)>,
}

impl<W: io::Write> Recorder<W> {
    /// Begins a recording of what was loaded: before it is attached.
    ///
    /// `object` is the ELF file; its hash goes into the header by itself.
    ///
    /// # Errors
    /// The image was not loaded as it is, the host does not let its maps be read, or the file
    /// can't be written.
    pub fn begin(
        instrumented: &Instrumented,
        loaded: &Loaded,
        mut header: Header,
        object: &[u8],
        to: W,
    ) -> Result<Self> {
        let added = |name: &'static str| match loaded.added_map(name) {
            Some(map) => Ok(Arc::clone(map)),
            None => Err(Error::unknown("map", name, std::iter::empty())),
        };
        header.object_hash = Sha256::digest(object).into();
        let mut before = Vec::new();
        let mut filled = Vec::new();
        for (number, index) in (0..).zip(0..instrumented.original.maps.len()) {
            let index = skep_object::MapIndex(u32::try_from(index).unwrap_or(u32::MAX));
            let Some(map) = loaded.map_at(index) else {
                continue;
            };
            // Attaching fills the maps of USDT, and programs do not.
            let by_attaching = [usdt::SPECS, usdt::ADDRESSES].contains(&map.name());
            if map.map_type() == Some(MapType::StackTrace) || by_attaching {
                filled.push((number, Arc::clone(map)));
            }
            before.extend(state(number, map)?);
        }
        let what = Contents {
            header: &header,
            object,
            image: &instrumented.original,
            types: instrumented.types.as_deref(),
            sites: &instrumented.sites,
            maps: &before,
        };
        let writer = Writer::begin(to, &what);
        Ok(Self {
            ring: RingBuffer::new(added(RING)?)?,
            counts: added(COUNTS)?,
            writer: writer.map_err(unwritten)?,
            filled,
        })
    }

    /// Writes what has been recorded since, and answers how many events that were.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn drain(&mut self) -> Result<u64> {
        let before = self.writer.events();
        loop {
            let batch = self.ring.batch()?;
            if batch.is_empty() {
                break;
            }
            for area in &batch {
                self.writer.event(area).map_err(unwritten)?;
            }
        }
        let lost = self.count()?;
        self.writer.lost(lost).map_err(unwritten)?;
        Ok(self.writer.events() - before)
    }

    fn count(&self) -> Result<Lost> {
        let value = self.counts.lookup(&0_u32.to_ne_bytes())?;
        let value = value.unwrap_or_default();
        let word = |at: usize| {
            let bytes = value.get(at..).and_then(|rest| rest.first_chunk());
            bytes.copied().map_or(0, u64::from_ne_bytes)
        };
        Ok(Lost {
            full: word(0),
            deep: word(8),
        })
    }

    /// Events so far.
    pub fn events(&self) -> u64 {
        self.writer.events()
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.writer.bytes()
    }

    /// What was not recorded so far.
    pub fn lost(&self) -> Lost {
        self.writer.losses()
    }

    /// Ends the recording, when nothing is attached any more: with what is left in the ring, the
    /// stacks that programs have stored, and the names that were found for their addresses.
    ///
    /// # Errors
    /// The file can't be written, or a map not be read.
    pub fn end(&mut self, names: &[Name]) -> Result<()> {
        self.drain()?;
        let mut after = Vec::new();
        for (number, map) in &self.filled {
            after.extend(state(*number, map)?);
        }
        self.writer.end(&after, names).map_err(unwritten)
    }
}

fn unwritten(error: io::Error) -> Error {
    Error::Unwritten(error)
}

/// The entries of a map that has some of its own; of arrays, those that are not zero.
fn state(number: u32, map: &Map) -> Result<Option<MapState>> {
    let array = match map.map_type() {
        Some(MapType::Array | MapType::PercpuArray) => true,
        Some(
            MapType::Hash
            | MapType::LruHash
            | MapType::PercpuHash
            | MapType::LruPercpuHash
            | MapType::LpmTrie
            | MapType::StackTrace,
        ) => false,
        _ => return Ok(None),
    };
    let mut entries = Vec::new();
    let mut walk = map.walk();
    while let Some((key, value)) = walk.next()? {
        if !array || value.iter().any(|byte| *byte != 0) {
            entries.push((key.to_vec(), value.to_vec()));
        }
    }
    let found = MapState {
        map: number,
        entries,
    };
    Ok(Some(found).filter(|state| !state.entries.is_empty()))
}

impl<W> std::fmt::Debug for Recorder<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").finish_non_exhaustive()
    }
}
