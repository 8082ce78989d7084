//! [`Btf`]: parsing, looking types up by id and by name, and reading strings.

use crate::header::{Header, u32_at};
use crate::names::{Candidates, NameSearch, Named, essential_name};
use crate::starts::{EachStart, Starts};
use crate::walk::{self, Walk};
use crate::words::Reference;
use crate::{BtfData, Endian, Error, KindTag, Result, StringOffset, Type, TypeId};
use std::sync::{Arc, OnceLock};

/// BTF, read in place: one `u32` of index a type, or for every fourth of a kernel's, and the bytes
/// it was given.
///
/// Parsing proves that every type id and every name that a type refers to exists, so that views of
/// types ([`Type`], [`Kind`](crate::Kind)) read without errors. It does not prove that the types make
/// sense together (a pointer may lead to a function parameter's type, a structure may contain
/// itself); what follows chains of types has a budget and gives an error instead.
///
/// Split BTF (that of a kernel module, or of a program linked against it) continues the ids and the
/// string offsets of a base; see [`Btf::parse_split`].
#[derive(Debug)]
pub struct Btf {
    data: BtfData,
    header: Header,
    /// Where each own type starts.
    starts: Starts,
    /// The id of the first own type: 1, or the base's count.
    first_id: u32,
    /// Length of the base's strings: own offsets continue from there.
    string_base: u32,
    base: Option<Arc<Btf>>,
    pointer_size: OnceLock<u8>,
    names: NameSearch,
    /// The ids of own declaration tags, in the order of their targets.
    decl_tags: OnceLock<Box<[u32]>>,
}

/// What parsing checks beside where types are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Checks {
    /// That what types refer to exists.
    References,
    /// Nothing: a kernel made it.
    Shape,
    /// Nothing: it was done before.
    Done,
}

impl Btf {
    /// Parses BTF of either byte order.
    ///
    /// # Errors
    /// Any place where the data is not BTF, ends early, or refers to what does not exist.
    pub fn parse(data: impl Into<BtfData>) -> Result<Self> {
        Self::parse_with(data.into(), None, Checks::References)
    }

    /// Parses BTF that the kernel made, with a base for that of a module, in half of the time: it is
    /// not checked that the names and types that it refers to exist.
    ///
    /// Where they do not, a name reads as empty and [`Btf::type_by_id`] gives an error.
    ///
    /// # Errors
    /// Any place where the data is not BTF or ends early.
    pub fn parse_trusted(data: impl Into<BtfData>, base: Option<Arc<Btf>>) -> Result<Self> {
        Self::parse_with(data.into(), base, Checks::Shape)
    }

    /// Parses split BTF, whose types and strings continue those of `base`.
    ///
    /// # Errors
    /// As [`Btf::parse`].
    pub fn parse_split(data: impl Into<BtfData>, base: Arc<Btf>) -> Result<Self> {
        Self::parse_with(data.into(), Some(base), Checks::References)
    }

    /// Parses what [`verify`](crate::verify::verify) has looked at, with names that may be anything.
    pub(crate) fn parse_verified(data: BtfData) -> Result<Self> {
        Self::parse_with(data, None, Checks::Done)
    }

    fn parse_with(data: BtfData, base: Option<Arc<Btf>>, checks: Checks) -> Result<Self> {
        let header = Header::parse(data.bytes())?;
        let first_id = base
            .as_ref()
            .map_or(1, |base| base.type_count().saturating_add(1));
        let string_base = base.as_ref().map_or(0, |base| base.string_end());
        let bytes = data.bytes();
        let strings = bytes
            .get(header.strings.start as usize..header.strings.end as usize)
            .unwrap_or_default();
        let terminated = match strings {
            [] => base.is_some(),
            [first, .., last] => *last == 0 && (base.is_some() || *first == 0),
            [only] => *only == 0,
        };
        if !terminated
            || string_base
                .checked_add(header.strings.len() as u32)
                .is_none()
        {
            return Err(Error::StringSection {
                offset: header.strings.start,
            });
        }
        let suspect = !strings.is_ascii();
        let Walk {
            starts,
            max_name,
            max_type,
        } = walk::walk(bytes, &header, first_id, checks != Checks::Shape)?;
        let btf = Self {
            data,
            header,
            starts,
            first_id,
            string_base,
            base,
            pointer_size: OnceLock::new(),
            names: NameSearch::default(),
            decl_tags: OnceLock::new(),
        };
        let doubtful = suspect || max_name >= btf.string_end() || max_type > btf.type_count();
        if checks == Checks::References && doubtful {
            btf.check_references()?;
        }
        Ok(btf)
    }

    /// Finds the first reference to a name or a type that does not exist.
    fn check_references(&self) -> Result<()> {
        let mut words = Vec::new();
        for found in self.types() {
            words.clear();
            match found.tag() {
                Some(_) => self.checked_words(found, &mut words)?,
                // Of an unknown kind only the name is known.
                None => self.check_reference(found, 0, Reference::Name, found.name_offset().0)?,
            }
        }
        Ok(())
    }

    /// The data as it was given.
    pub fn bytes(&self) -> &[u8] {
        self.data.bytes()
    }

    /// The byte order of the data.
    pub fn endianness(&self) -> Endian {
        self.header.endianness
    }

    /// The BTF that this one continues, when it is split.
    pub fn base(&self) -> Option<&Arc<Btf>> {
        self.base.as_ref()
    }

    /// The greatest type id: the number of types with the base's, `void` not counted.
    pub fn type_count(&self) -> u32 {
        self.first_id
            .saturating_sub(1)
            .saturating_add(self.starts.count())
    }

    /// The id of the first type that is not the base's: 1 when there is no base.
    pub fn first_id(&self) -> TypeId {
        TypeId(self.first_id)
    }

    /// The type with this id. Id 0 is `void` ([`Kind::Void`](crate::Kind::Void)).
    ///
    /// # Errors
    /// [`Error::NoSuchType`].
    #[inline]
    pub fn type_by_id(&self, id: TypeId) -> Result<Type<'_>> {
        if let Some(index) = id.0.checked_sub(self.first_id) {
            match self.start_of(index) {
                Some(offset) => Ok(Type::read(self, id, offset)),
                None => Err(Error::NoSuchType {
                    id,
                    last: TypeId(self.type_count()),
                }),
            }
        } else if id == TypeId::VOID {
            Ok(Type::void(self))
        } else {
            match &self.base {
                Some(base) => base.type_by_id(id),
                None => Err(Error::NoSuchType {
                    id,
                    last: TypeId(self.type_count()),
                }),
            }
        }
    }

    /// The types by id, without `void` and without the base's.
    pub fn types(&self) -> impl ExactSizeIterator<Item = Type<'_>> + DoubleEndedIterator + Clone {
        self.own_starts().enumerate().map(|(index, offset)| {
            let id = TypeId(self.first_id.wrapping_add(index as u32));
            Type::read(self, id, offset)
        })
    }

    /// One past the last string offset, the base's strings counted.
    pub(crate) fn string_end(&self) -> u32 {
        self.string_base
            .saturating_add(self.header.strings.len() as u32)
    }

    /// The string at `offset`; offset 0 is the empty string.
    ///
    /// # Errors
    /// [`Error::NoSuchString`] when there is none or it is not UTF-8: lines of source code in an
    /// object's strings may be anything, see [`Btf::string_bytes`].
    pub fn string(&self, offset: StringOffset) -> Result<&str> {
        self.string_bytes(offset)
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .ok_or(Error::NoSuchString { offset })
    }

    /// The bytes of the string at `offset` up to its NUL, or `None` outside the string section.
    #[inline]
    pub fn string_bytes(&self, offset: StringOffset) -> Option<&[u8]> {
        let Some(own) = offset.0.checked_sub(self.string_base) else {
            return self.base.as_ref()?.string_bytes(offset);
        };
        let strings = self.strings();
        let tail = strings.get(own as usize..).filter(|tail| !tail.is_empty());
        match tail {
            Some(tail) => tail.get(..nul_position(tail)),
            // A split BTF may have no strings; offset 0 was answered by the base.
            None => None,
        }
    }

    pub(crate) fn string_base(&self) -> u32 {
        self.string_base
    }

    /// The string section of this BTF itself.
    pub(crate) fn strings(&self) -> &[u8] {
        let range = self.header.strings.start as usize..self.header.strings.end as usize;
        self.bytes().get(range).unwrap_or_default()
    }

    /// The layout section, as written by Linux 7.1 and later; else empty.
    pub fn layout_section(&self) -> &[u8] {
        let range = self.header.layout.start as usize..self.header.layout.end as usize;
        self.bytes().get(range).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn word(&self, offset: u32) -> u32 {
        u32_at(self.header.endianness, self.data.bytes(), offset as usize).unwrap_or(0)
    }

    /// A name that parsing has checked.
    #[inline]
    pub(crate) fn name(&self, offset: StringOffset) -> &str {
        self.string(offset).unwrap_or_default()
    }

    pub(crate) fn own_offset(&self, id: TypeId) -> Option<u32> {
        self.start_of(id.0.checked_sub(self.first_id)?)
    }

    /// Where the own type with this index starts.
    #[inline]
    pub(crate) fn start_of(&self, index: u32) -> Option<u32> {
        let bytes = self.bytes();
        self.starts.of(index, |start| self.after(bytes, start))
    }

    /// Where the type after the one that starts here does; parsing has checked that it is there.
    #[inline]
    pub(crate) fn after(&self, bytes: &[u8], start: u32) -> u32 {
        let info = u32_at(
            self.header.endianness,
            bytes,
            start.wrapping_add(4) as usize,
        );
        let (number, count, _) = walk::split_info(info.unwrap_or(0));
        let body = walk::body_len(bytes, &self.header, number, count);
        let head = start.wrapping_add(walk::TYPE_LEN);
        head.wrapping_add(body.unwrap_or(0))
    }

    /// Where each own type starts.
    pub(crate) fn own_starts(&self) -> EachStart<'_> {
        EachStart::of(self, &self.starts)
    }

    pub(crate) fn same_essential_name<'a>(&'a self, essential: &'a str) -> Candidates<'a> {
        self.names.candidates(self, essential)
    }

    /// The type of this kind with exactly this name; of several the first by id, the base's first.
    ///
    /// The first searches by name look at every name, in a good part of a millisecond for a
    /// kernel; the fifth one builds an index, in a few milliseconds, and from then on each takes
    /// less than a microsecond.
    pub fn find(&self, name: &str, kind: KindTag) -> Option<TypeId> {
        self.find_by_name(name).find(|id| {
            self.type_by_id(*id)
                .is_ok_and(|found| found.tag() == Some(kind))
        })
    }

    /// All types with exactly this name, of any kind, by id.
    pub fn find_by_name<'a>(&'a self, name: &'a str) -> Named<'a> {
        Named::new(self.candidates(essential_name(name)), self, name)
    }

    /// All types whose [essential name](essential_name) this is: `task_struct` finds
    /// `task_struct` and `task_struct___v5_14`, of any kind, by id.
    pub fn candidates<'a>(&'a self, essential: &'a str) -> Candidates<'a> {
        let own = self.same_essential_name(essential);
        match &self.base {
            Some(base) => base.candidates(essential).then(own),
            None => own,
        }
    }

    /// The tags of a declaration, or of one of its members or parameters (`component`), in the
    /// order they stand in.
    #[doc(alias = "BTF_KIND_DECL_TAG")]
    pub fn decl_tags(&self, target: TypeId, component: Option<u32>) -> impl Iterator<Item = &str> {
        let base = self.base.as_deref().map(|base| base.own_decl_tags(target));
        let tags = base.into_iter().flatten().chain(self.own_decl_tags(target));
        tags.filter_map(move |(btf, id)| {
            let offset = btf.own_offset(TypeId(id))?;
            let index = btf.word(offset.wrapping_add(walk::TYPE_LEN));
            let found = (index != u32::MAX).then_some(index);
            (found == component).then(|| btf.name(StringOffset(btf.word(offset))))
        })
    }

    fn own_decl_tags(&self, target: TypeId) -> impl Iterator<Item = (&Btf, u32)> {
        let tags = self.decl_tags.get_or_init(|| {
            let tags = self
                .types()
                .filter(|tag| tag.tag() == Some(KindTag::DeclTag));
            let mut tags: Vec<_> = tags.map(|tag| tag.id().0).collect();
            tags.sort_by_key(|id| self.tag_target(*id));
            tags.into()
        });
        let start = tags.partition_point(|id| self.tag_target(*id) < target);
        let tags = tags.get(start..).unwrap_or_default();
        tags.iter()
            .map(move |id| (self, *id))
            .take_while(move |(btf, id)| btf.tag_target(*id) == target)
    }

    fn tag_target(&self, id: u32) -> TypeId {
        let offset = self.own_offset(TypeId(id)).unwrap_or(0);
        TypeId(self.word(offset.wrapping_add(8)))
    }

    /// Bytes of a pointer: what [`Btf::set_pointer_size`] said, else the size of `long` in this BTF
    /// (or its base), else 8.
    pub fn pointer_size(&self) -> u8 {
        *self.pointer_size.get_or_init(|| match &self.base {
            Some(base) => base.pointer_size(),
            None => self.guess_pointer_size().unwrap_or(8),
        })
    }

    /// Sets the bytes of a pointer: 4 or 8.
    pub fn set_pointer_size(&mut self, bytes: u8) {
        self.pointer_size = OnceLock::from(bytes);
    }

    fn guess_pointer_size(&self) -> Option<u8> {
        let long = self.own_long()?;
        Some(long.third() as u8)
    }

    /// The type that tells the size of a pointer.
    pub(crate) fn long(&self) -> Option<TypeId> {
        match &self.base {
            Some(base) => base.long(),
            None => self.own_long().map(|long| long.id()),
        }
    }

    fn own_long(&self) -> Option<Type<'_>> {
        const LONG: [&str; 4] = ["long", "long int", "unsigned long", "long unsigned int"];
        self.types()
            .filter(|found| found.tag() == Some(KindTag::Int))
            .find(|found| LONG.contains(&found.name()) && matches!(found.third(), 4 | 8))
    }
}

/// Where the first NUL is, eight bytes at a time; the length when there is none.
#[inline]
pub(crate) fn nul_position(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = u64::from_le_bytes([0x80; 8]);
    let (words, tail) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let zeros = word.wrapping_sub(ONES) & !word & HIGH;
        if zeros != 0 {
            let within = zeros.trailing_zeros() as usize / 8;
            return index.wrapping_mul(8).wrapping_add(within);
        }
    }
    let within = tail
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(tail.len());
    bytes.len().wrapping_sub(tail.len()).wrapping_add(within)
}
