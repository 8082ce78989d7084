//! Reading a recording: any bytes give a recording or an error, and never more memory than they
//! take themselves.

use std::ops::Range;

use skep_object::Image;

use super::{Header, Lost, MAGIC, MapState, Name, ORDER, VERSION, codec::Reader, image, kind};
use crate::{Error, Event, Kfunc, ProgramSites, Result, Site, Sites};

/// A recording, read from a file.
#[derive(Debug)]
pub struct Recording {
    bytes: Vec<u8>,
    header: Header,
    object: Range<usize>,
    types: Option<Range<usize>>,
    image: Image,
    sites: Sites,
    before: Vec<MapState>,
    after: Vec<MapState>,
    names: Vec<Name>,
    events: Vec<Range<usize>>,
    /// Events before which something had been lost, and how much by then.
    lost: Vec<(usize, Lost)>,
    whole: bool,
}

/// A block: where its bytes are.
struct Block {
    kind: u32,
    at: Range<usize>,
}

impl Recording {
    /// Reads a whole file. One that was cut off is read up to where it was:
    /// [`is_whole`](Self::is_whole) says so.
    ///
    /// # Errors
    /// It is no recording, is of another version or byte order, or is damaged.
    pub fn parse(bytes: Vec<u8>) -> Result<Self> {
        let mut at = check_head(&bytes)?;
        let (mut header, mut object, mut linked, mut sites) = (None, None, None, None);
        let mut types = None;
        let (mut before, mut after, mut names) = (Vec::new(), Vec::new(), Vec::new());
        let (mut events, mut lost, mut whole) = (Vec::new(), Vec::new(), false);
        while let Some(block) = next_block(&bytes, &mut at) {
            let data = bytes.get(block.at.clone()).unwrap_or_default();
            let mut from = Reader::new(data, block.at.start as u64);
            match block.kind {
                kind::HEADER => header = Some(read_header(&mut from)?),
                kind::OBJECT => object = Some(block.at),
                kind::TYPES => types = Some(block.at),
                kind::IMAGE => linked = Some(image::read(&mut from)?),
                kind::SITES => sites = Some(read_sites(&mut from)?),
                kind::BEFORE => before.push(read_state(&mut from)?),
                kind::AFTER => after.push(read_state(&mut from)?),
                kind::NAMES => names = read_names(&mut from)?,
                kind::EVENT => {
                    if let Err(error) = Event::parse(data) {
                        return from.fault(error.to_string());
                    }
                    events.push(block.at);
                }
                kind::LOST => {
                    let (full, deep) = (from.u64()?, from.u64()?);
                    lost.push((events.len(), Lost { full, deep }));
                }
                kind::END => {
                    let count = from.u64()?;
                    if count != events.len() as u64 {
                        let there = events.len();
                        return from
                            .fault(format!("{count} events were written, {there} are there"));
                    }
                    whole = true;
                    break;
                }
                other => return from.fault(format!("a block of kind {other} is not known")),
            }
        }
        let order = |at: &Range<usize>| {
            let event = bytes.get(at.clone()).map(Event::parse);
            event.and_then(Result::ok).map_or(0, |event| event.order())
        };
        events.sort_by_cached_key(order);
        let missing = |what: &str| Error::File {
            at: at as u64,
            problem: format!("it ends before {what}"),
        };
        Ok(Self {
            header: header.ok_or_else(|| missing("its header"))?,
            object: object.ok_or_else(|| missing("the object"))?,
            image: linked.ok_or_else(|| missing("the linked object"))?,
            sites: sites.ok_or_else(|| missing("the recorded places"))?,
            types,
            before,
            after,
            names,
            events,
            lost,
            whole,
            bytes,
        })
    }

    /// Who recorded what where.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The object, an ELF file.
    pub fn object(&self) -> &[u8] {
        self.bytes.get(self.object.clone()).unwrap_or_default()
    }

    /// Types of the host that it was recorded on, as BTF: what another version of the object may
    /// need.
    pub fn types(&self) -> Option<&[u8]> {
        self.bytes.get(self.types.clone()?)
    }

    /// The object linked for the host that it was recorded on.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// The places at which something was recorded.
    pub fn sites(&self) -> &Sites {
        &self.sites
    }

    /// The maps' entries when the recording began.
    pub fn before(&self) -> &[MapState] {
        &self.before
    }

    /// The entries of maps that a replay does not fill by itself (stack traces), at the end.
    pub fn after(&self) -> &[MapState] {
        &self.after
    }

    /// Names of addresses.
    pub fn names(&self) -> &[Name] {
        &self.names
    }

    /// How many events there are.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// An event by its number, from 0.
    pub fn event(&self, number: usize) -> Option<Event<'_>> {
        let bytes = self.bytes.get(self.events.get(number)?.clone())?;
        Event::parse(bytes).ok()
    }

    /// All events, in order: those that overlapped, as they sent their records.
    pub fn events(&self) -> impl ExactSizeIterator<Item = Option<Event<'_>>> {
        (0..self.events.len()).map(|number| self.event(number))
    }

    /// What had been lost before an event was written.
    pub fn lost_before(&self, number: usize) -> Lost {
        let known = self.lost.partition_point(|(event, _)| *event <= number);
        let last = known.checked_sub(1).and_then(|last| self.lost.get(last));
        last.map_or_else(Lost::default, |(_, lost)| *lost)
    }

    /// What was lost in all.
    pub fn lost(&self) -> Lost {
        self.lost_before(usize::MAX)
    }

    /// Whether the recording was ended; if not, its last events may be missing.
    pub fn is_whole(&self) -> bool {
        self.whole
    }
}

fn check_head(bytes: &[u8]) -> Result<usize> {
    let fault = |at, problem: String| Err(Error::File { at, problem });
    let Some((magic, rest)) = bytes.split_first_chunk::<8>() else {
        return fault(0, format!("{} bytes are too few", bytes.len()));
    };
    if magic != MAGIC {
        return fault(0, "it does not begin with SKEPREC".into());
    }
    let word = |at: usize| rest.get(at..).and_then(|rest| rest.first_chunk::<4>());
    let (Some(version), Some(order)) = (word(0), word(4)) else {
        return fault(8, "it ends in its head".into());
    };
    let version = u32::from_le_bytes(*version);
    if version != VERSION {
        return fault(
            8,
            format!("it is of version {version}, and this is for {VERSION}"),
        );
    }
    if u32::from_ne_bytes(*order) != ORDER {
        return fault(12, "it is from a machine of another byte order".into());
    }
    Ok(16)
}

/// The next whole block.
fn next_block(bytes: &[u8], at: &mut usize) -> Option<Block> {
    let head = bytes.get(*at..)?.first_chunk::<8>()?;
    let [k0, k1, k2, k3, l0, l1, l2, l3] = *head;
    let len = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).ok()?;
    let start = at.checked_add(8)?;
    let end = start.checked_add(len)?;
    bytes.get(start..end)?;
    *at = end.checked_next_multiple_of(8)?;
    Some(Block {
        kind: u32::from_le_bytes([k0, k1, k2, k3]),
        at: start..end,
    })
}

fn read_header(from: &mut Reader<'_>) -> Result<Header> {
    let program = from.text()?;
    let Ok(object_hash) = from.bytes()?.try_into() else {
        return from.fault("a hash has 32 bytes");
    };
    Ok(Header {
        program,
        object_hash,
        host: from.text()?,
        version: from.u32()?,
        cpus: from.u32()?,
        began: from.u64()?,
        zero: from.u64()?,
    })
}

fn read_sites(from: &mut Reader<'_>) -> Result<Sites> {
    let programs = from.list(|from| {
        Ok(ProgramSites {
            name: from.text()?,
            section: from.text()?,
            words: from.option(Reader::u32)?,
            reads_packet: from.bool()?,
            sites: from.list(|from| {
                Ok(Site {
                    insn: from.u32()?,
                    what: from.text()?,
                    place: from.text()?,
                })
            })?,
        })
    })?;
    let kfuncs = from.list(|from| {
        let id = from.u32()?;
        let kfunc = Kfunc {
            name: from.text()?,
            parameters: from.list(Reader::text)?,
            void: from.bool()?,
        };
        Ok((id, kfunc))
    })?;
    Ok(Sites {
        programs,
        kfuncs: kfuncs.into_iter().collect(),
    })
}

fn read_state(from: &mut Reader<'_>) -> Result<MapState> {
    Ok(MapState {
        map: from.u32()?,
        entries: from.list(|from| Ok((from.bytes()?.to_vec(), from.bytes()?.to_vec())))?,
    })
}

fn read_names(from: &mut Reader<'_>) -> Result<Vec<Name>> {
    from.list(|from| {
        Ok(Name {
            process: from.u32()?,
            address: from.u64()?,
            lines: from.list(Reader::text)?,
        })
    })
}
