//! What can be wrong with BTF, as data: each error carries the place where it was met, so that a
//! loader or a CLI can point at the byte and the type.

use crate::{StringOffset, TypeId};
use std::fmt;

/// The result of reading, building or printing BTF.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A place in BTF: the byte offset from the start of the data and, where known, the type there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// Bytes from the start of the BTF data (of the `.BTF` section).
    pub offset: u32,
    /// The type that is being read, when it is known.
    pub type_id: Option<TypeId>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ".BTF+{:#x}", self.offset)?;
        match self.type_id {
            Some(id) => write!(f, " (type {id})"),
            None => Ok(()),
        }
    }
}

/// Why BTF could not be read, built, printed or applied to a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The data does not start with the magic number 0xeb9f in either byte order.
    #[error("not BTF: the magic number is {found:#06x}, expected 0xeb9f")]
    Magic {
        /// The first two bytes, read as little endian.
        found: u16,
    },
    /// The version in the header is not 1.
    #[error("BTF version {found} is not known, expected 1")]
    Version {
        /// The version found.
        found: u8,
    },
    /// A part of the format ends before it should.
    #[error("unexpected end of {part} at {place}")]
    UnexpectedEnd {
        /// What was being read: `header`, `type section`, …
        part: &'static str,
        /// Where it ended.
        place: Place,
    },
    /// The header describes a section that does not lie inside the data.
    #[error(
        "the {part} (offset {offset:#x}, {len:#x} bytes) lies outside the BTF data of {available:#x} bytes"
    )]
    SectionBounds {
        /// Which section.
        part: &'static str,
        /// Its offset from the start of the data.
        offset: u64,
        /// Its length in bytes.
        len: u32,
        /// How many bytes of data there are.
        available: usize,
    },
    /// The string section does not begin or does not end with a NUL byte.
    #[error("the string section at .BTF+{offset:#x} must begin and end with a NUL byte")]
    StringSection {
        /// Offset of the section from the start of the data.
        offset: u32,
    },
    /// The data is larger than the format's 32-bit offsets can describe.
    #[error("BTF data of {len} bytes is larger than 32-bit offsets can describe")]
    TooLarge {
        /// Length of the data in bytes.
        len: usize,
    },
    /// A kind that this crate does not know and that no layout section describes.
    #[error("unknown kind {kind} at {place}, and no layout section to skip it by")]
    UnknownKind {
        /// The number of the kind.
        kind: u8,
        /// Where the type starts.
        place: Place,
    },
    /// A type of a kind that this crate does not know was to be written again: a layout section
    /// tells its size, but not which of its words are references.
    #[error("unknown kind {kind} at {place} can't be written again")]
    UnwritableKind {
        /// The number of the kind.
        kind: u8,
        /// Where the type starts.
        place: Place,
    },
    /// A reference to a type that does not exist.
    #[error("reference to type {id} at {place}, but the last type is {last}")]
    TypeReference {
        /// The type referred to.
        id: TypeId,
        /// The greatest id there is.
        last: TypeId,
        /// Where the reference stands.
        place: Place,
    },
    /// A name that does not lie in the string section or is not UTF-8 text.
    #[error("name at string offset {name} at {place} {}", if *outside { "lies outside the string section" } else { "is not UTF-8" })]
    Name {
        /// The offset of the name.
        name: StringOffset,
        /// Whether it is outside the string section (else it is not UTF-8).
        outside: bool,
        /// Where the reference stands.
        place: Place,
    },
    /// [`Btf::string`](crate::Btf::string) was asked for a string that does not exist.
    #[error("string offset {offset} lies outside the string section or is not UTF-8")]
    NoSuchString {
        /// The offset asked for.
        offset: StringOffset,
    },
    /// A type was asked for that does not exist.
    #[error("there is no type {id}, the last type is {last}")]
    NoSuchType {
        /// The type asked for.
        id: TypeId,
        /// The greatest id there is.
        last: TypeId,
    },
    /// A chain of typedefs, qualifiers, arrays or nested members does not end.
    #[error("type {id} is nested too deeply or contains itself")]
    TypeLoop {
        /// Where the chain began.
        id: TypeId,
    },
    /// The size of a type was asked for that has none (`void`, functions, forward declarations).
    #[error("type {id} ({kind}) has no size")]
    NoSize {
        /// The type.
        id: TypeId,
        /// Its kind, in the kernel's spelling.
        kind: &'static str,
    },
    /// The size of a type does not fit.
    #[error("the size of type {id} overflows")]
    SizeOverflow {
        /// The type.
        id: TypeId,
    },
    /// An edit asked for a type of another kind.
    #[error("type {id} is not {expected}")]
    WrongKind {
        /// The type.
        id: TypeId,
        /// What it should have been.
        expected: &'static str,
    },
    /// Something to be written is beyond what the format can hold.
    #[error("{what} of type {id} does not fit into BTF")]
    DoesNotFit {
        /// The type.
        id: TypeId,
        /// What does not fit.
        what: &'static str,
    },
    /// Two types differ, and someone made them so that [`dedup`](crate::dedup()) takes them for equal:
    /// sums of 128 bits are the same, which does not happen by chance.
    #[error("types {first} and {second} were made to be taken for equal")]
    Collision {
        /// One of them.
        first: TypeId,
        /// The other.
        second: TypeId,
    },
    /// Split BTF was to be combined with BTF that continues another base.
    #[error("the BTF continues a base of {types} types, expected one of {expected}")]
    OtherBase {
        /// How many types its base has.
        types: u32,
        /// How many the base has that it should continue.
        expected: u32,
    },
    /// A type unfolds into more parts than any real one: structures nested in structures that
    /// name them many times.
    #[error("type {id} unfolds into too many parts")]
    TooComplex {
        /// The type.
        id: TypeId,
    },
    /// A member does not lie inside its structure.
    #[error("member `{member}` lies outside of type {id}")]
    MemberOutside {
        /// The structure, union or data section.
        id: TypeId,
        /// The member's name.
        member: String,
    },
    /// Fewer bytes than a value of the type has.
    #[error("{available} bytes are too few for a value of `{type_name}`, which has {needed}{}", match field { Some(field) => format!(" (they end before or in `{field}`)"), None => String::new() })]
    ValueTooShort {
        /// The type's name, or an empty string.
        type_name: String,
        /// Bytes that a value has.
        needed: u64,
        /// Bytes that there were.
        available: usize,
        /// The first member that is not whole.
        field: Option<String>,
    },
    /// The writer that output was written to refused it.
    #[error("the output could not be written")]
    Output(#[from] fmt::Error),
}
