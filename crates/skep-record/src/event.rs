//! One run of a program, as it was recorded: who ran it when, and what it saw, item by item.

#![warn(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::arithmetic_side_effects
)]

use crate::{
    Error, Result,
    area::{self, CONTEXT_SITE, HEADER, ITEM, PACKET_SITE},
};

/// Bytes of an event's head in a file: what of an area's header is not the recording's own.
pub(crate) const HEAD: usize = area::OWN as usize;

/// A recorded run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'a> {
    head: &'a [u8; HEAD],
    items: &'a [u8],
}

/// What a program saw at one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item<'a> {
    /// The place: an instruction of the program before it was changed.
    pub site: u32,
    /// The answer, or what was read.
    pub value: u64,
    /// What was written beside it.
    pub bytes: &'a [u8],
}

/// Why an event is not whole, and can't be replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cut {
    /// A call wrote more bytes than an item has room for.
    Item,
    /// The run passed more places than its area has room for.
    Area,
}

/// The two parts of an area that a file keeps.
///
/// # Errors
/// It is too short to be one.
pub(crate) fn kept(area: &[u8]) -> Result<(&[u8], &[u8])> {
    let head = area.get(..HEAD);
    let items = usize::try_from(HEADER).ok().and_then(|at| area.get(at..));
    head.zip(items)
        .ok_or_else(|| Error::Record(format!("{} bytes are no event", area.len())))
}

impl<'a> Event<'a> {
    /// Reads an event as a file has it.
    ///
    /// # Errors
    /// It is too short, or its items do not fit into it.
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let (head, items) = bytes
            .split_first_chunk::<HEAD>()
            .ok_or_else(|| Error::Record(format!("{} bytes are no event", bytes.len())))?;
        let event = Self { head, items };
        for item in event.items() {
            item?;
        }
        Ok(event)
    }

    fn word(&self, at: i16) -> u32 {
        let at = usize::from(at.unsigned_abs());
        let bytes = self.head.get(at..).and_then(|rest| rest.first_chunk());
        bytes.copied().map_or(0, u32::from_ne_bytes)
    }

    fn long(&self, at: i16) -> u64 {
        let at = usize::from(at.unsigned_abs());
        let bytes = self.head.get(at..).and_then(|rest| rest.first_chunk());
        bytes.copied().map_or(0, u64::from_ne_bytes)
    }

    /// The number of the program.
    pub fn program(&self) -> u32 {
        self.word(area::PROGRAM)
    }

    /// When it began, in nanoseconds of the monotonic clock.
    pub fn time(&self) -> u64 {
        self.long(area::TIME)
    }

    /// What it returned.
    pub fn result(&self) -> u64 {
        self.long(area::RESULT)
    }

    /// Its place among all events: programs that send records have it from the last of them,
    /// others at their end.
    pub fn order(&self) -> u64 {
        self.long(area::ORDER)
    }

    /// The CPU that it ran on.
    pub fn cpu(&self) -> u32 {
        self.word(area::CPU)
    }

    /// The process that was current, where programs of its type know; else 0.
    pub fn tgid(&self) -> u32 {
        u32::try_from(self.long(area::TASK) >> 32).unwrap_or_default()
    }

    /// The thread that was current, where programs of its type know; else 0.
    pub fn pid(&self) -> u32 {
        u32::try_from(self.long(area::TASK) & 0xffff_ffff).unwrap_or_default()
    }

    /// The name of that thread, up to its first NUL.
    pub fn comm(&self) -> &'a [u8] {
        let at = usize::from(area::COMM.unsigned_abs());
        let name = self.head.get(at..).unwrap_or_default();
        name.split(|byte| *byte == 0).next().unwrap_or_default()
    }

    /// Whether something did not fit.
    pub fn cut(&self) -> Option<Cut> {
        match self.word(area::CUT) {
            0 => None,
            area::CUT_ITEM => Some(Cut::Item),
            _ => Some(Cut::Area),
        }
    }

    /// The context's bytes, for programs that have such.
    pub fn context(&self) -> Option<&'a [u8]> {
        self.first(CONTEXT_SITE).map(|item| item.bytes)
    }

    /// The packet's first bytes and its length, for programs that have one.
    pub fn packet(&self) -> Option<(&'a [u8], u64)> {
        self.first(PACKET_SITE).map(|item| (item.bytes, item.value))
    }

    fn first(&self, site: u32) -> Option<Item<'a>> {
        let first = self.items().next()?.ok()?;
        (first.site == site).then_some(first)
    }

    /// What was seen, in order, the context apart.
    pub fn seen(&self) -> impl Iterator<Item = Item<'a>> + use<'a> {
        let items = self.items().map_while(Result::ok);
        items.filter(|item| !matches!(item.site, CONTEXT_SITE | PACKET_SITE))
    }

    fn items(&self) -> Items<'a> {
        Items { rest: self.items }
    }
}

struct Items<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Items<'a> {
    type Item = Result<Item<'a>>;

    fn next(&mut self) -> Option<Result<Item<'a>>> {
        if self.rest.is_empty() {
            return None;
        }
        let taken = self.take();
        if taken.is_none() {
            self.rest = &[];
        }
        Some(taken.ok_or_else(|| Error::Record("an item goes over its end".into())))
    }
}

impl<'a> Items<'a> {
    fn take(&mut self) -> Option<Item<'a>> {
        const LEN: usize = ITEM as usize;
        let (head, rest) = self.rest.split_first_chunk::<LEN>()?;
        let word = |at: usize| {
            let bytes = head.get(at..).and_then(|rest| rest.first_chunk());
            bytes.copied().map(u32::from_ne_bytes)
        };
        let (site, len) = (word(0)?, usize::try_from(word(4)?).ok()?);
        let value = head.get(8..).and_then(|rest| rest.first_chunk());
        let value = u64::from_ne_bytes(*value?);
        let bytes = rest.get(..len)?;
        self.rest = rest.get(len.checked_next_multiple_of(LEN)?..)?;
        Some(Item { site, value, bytes })
    }
}
