//! Writing a recording, block by block as it comes.

use std::io;

use skep_object::Image;

use super::{Header, Lost, MAGIC, MapState, Name, ORDER, VERSION, codec, image, kind};
use crate::{Sites, event};

/// What a recording begins with.
#[derive(Debug, Clone, Copy)]
pub struct Contents<'a> {
    /// Who recorded what where.
    pub header: &'a Header,
    /// The object, an ELF file.
    pub object: &'a [u8],
    /// The object linked for this host, before it was changed.
    pub image: &'a Image,
    /// The host's types that another version of the object may need, as BTF.
    pub types: Option<&'a [u8]>,
    /// Where something is recorded.
    pub sites: &'a Sites,
    /// How the maps are now.
    pub maps: &'a [MapState],
}

/// Writes a recording to a file.
#[derive(Debug)]
pub struct Writer<W> {
    to: W,
    events: u64,
    bytes: u64,
    lost: Lost,
}

impl<W: io::Write> Writer<W> {
    /// Begins a recording: what it is of, and how its maps are now.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn begin(mut to: W, what: &Contents<'_>) -> io::Result<Self> {
        let header = what.header;
        to.write_all(MAGIC)?;
        to.write_all(&VERSION.to_le_bytes())?;
        to.write_all(&ORDER.to_ne_bytes())?;
        let mut writer = Self {
            to,
            events: 0,
            bytes: 16,
            lost: Lost::default(),
        };
        writer.made(kind::HEADER, |to| {
            to.text(&header.program);
            to.bytes(&header.object_hash);
            to.text(&header.host);
            to.u32(header.version);
            to.u32(header.cpus);
            to.u64(header.began);
            to.u64(header.zero);
        })?;
        writer.block(kind::OBJECT, &[what.object])?;
        writer.made(kind::IMAGE, |to| image::write(what.image, to))?;
        writer.made(kind::SITES, |to| write_sites(what.sites, to))?;
        if let Some(types) = what.types {
            writer.block(kind::TYPES, &[types])?;
        }
        for map in what.maps {
            writer.state(kind::BEFORE, map)?;
        }
        Ok(writer)
    }

    /// Adds what a program sent to the ring.
    ///
    /// # Errors
    /// The file can't be written, or it is no event (`InvalidData`).
    pub fn event(&mut self, area: &[u8]) -> io::Result<()> {
        let (head, items) = event::kept(area).map_err(io::Error::other)?;
        self.block(kind::EVENT, &[head, items])?;
        self.events = self.events.saturating_add(1);
        Ok(())
    }

    /// Notes what has been lost so far, if it is more than before.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn lost(&mut self, lost: Lost) -> io::Result<()> {
        if lost == self.lost {
            return Ok(());
        }
        self.lost = lost;
        self.made(kind::LOST, |to| {
            to.u64(lost.full);
            to.u64(lost.deep);
        })
    }

    /// Ends a recording: with maps as they are at the end, and names of addresses.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn end(&mut self, maps: &[MapState], names: &[Name]) -> io::Result<()> {
        for map in maps {
            self.state(kind::AFTER, map)?;
        }
        if !names.is_empty() {
            self.made(kind::NAMES, |to| {
                to.count(names.len());
                for name in names {
                    to.u32(name.process);
                    to.u64(name.address);
                    to.count(name.lines.len());
                    for line in &name.lines {
                        to.text(line);
                    }
                }
            })?;
        }
        let events = self.events;
        self.made(kind::END, |to| to.u64(events))?;
        self.to.flush()
    }

    /// Events so far.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What was lost so far.
    pub fn losses(&self) -> Lost {
        self.lost
    }

    fn state(&mut self, kind: u32, map: &MapState) -> io::Result<()> {
        self.made(kind, |to| {
            to.u32(map.map);
            to.count(map.entries.len());
            for (key, value) in &map.entries {
                to.bytes(key);
                to.bytes(value);
            }
        })
    }

    fn made(&mut self, kind: u32, make: impl FnOnce(&mut codec::Writer)) -> io::Result<()> {
        let mut made = codec::Writer::default();
        make(&mut made);
        self.block(kind, &[&made.0])
    }

    fn block(&mut self, kind: u32, parts: &[&[u8]]) -> io::Result<()> {
        let len = parts
            .iter()
            .fold(0_usize, |sum, part| sum.saturating_add(part.len()));
        let short = u32::try_from(len)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "more than 4 GiB at once"))?;
        self.to.write_all(&kind.to_le_bytes())?;
        self.to.write_all(&short.to_le_bytes())?;
        for part in parts {
            self.to.write_all(part)?;
        }
        let padding = len.wrapping_neg() & 7;
        self.to
            .write_all([0; 8].get(..padding).unwrap_or_default())?;
        let written = len.saturating_add(padding).saturating_add(8);
        self.bytes = self.bytes.saturating_add(written as u64);
        Ok(())
    }
}

fn write_sites(sites: &Sites, to: &mut codec::Writer) {
    to.count(sites.programs.len());
    for program in &sites.programs {
        to.text(&program.name);
        to.text(&program.section);
        to.option(program.words, codec::Writer::u32);
        to.bool(program.reads_packet);
        to.count(program.sites.len());
        for site in &program.sites {
            to.u32(site.insn);
            to.text(&site.what);
            to.text(&site.place);
        }
    }
    to.count(sites.kfuncs.len());
    for (id, kfunc) in &sites.kfuncs {
        to.u32(*id);
        to.text(&kfunc.name);
        to.count(kfunc.parameters.len());
        for parameter in &kfunc.parameters {
            to.text(parameter);
        }
        to.bool(kfunc.void);
    }
}
