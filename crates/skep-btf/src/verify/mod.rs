//! [`verify`]: whether a kernel would take BTF, and why not. Parsing proves that BTF can be read;
//! this proves that its types make sense, by the rules of Linux 6.18.
//!
//! First each type by itself, in order (`types`), then what types say of each other
//! (`resolve`, `tags`), then the fields that a kernel manages (`fields`); the first fault ends it.
//! Time grows with the length of the data, memory is a few bytes a type, and nothing recurses but
//! for managed fields, where structures are in each other, 32 at most.
//!
//! What only a kernel knows is not looked at: whether what a `kptr` points to can be given back.

mod fields;
mod header;
mod members;
mod names;
mod resolve;
mod tags;
mod types;

use crate::{Btf, BtfData, Endian, Error, Place};

/// Most bytes of BTF that a kernel takes (`BTF_MAX_SIZE`).
pub const MAX_SIZE: usize = 16 << 20;
/// The greatest type id (`BTF_MAX_TYPE`).
const MAX_TYPE: u32 = 0x000f_ffff;

/// Parses BTF if a kernel of this byte order would take it.
///
/// Names of integers, floats and tags may be any bytes; those that are not UTF-8 read as empty
/// ([`Btf::string_bytes`] has them).
///
/// # Errors
/// The first fault, in the order in which Linux 6.18 looks for them.
#[doc(alias = "BPF_BTF_LOAD")]
pub fn verify(data: impl Into<BtfData>, endian: Endian) -> Result<Btf, Refused> {
    let data = data.into();
    let sections = header::sections(data.bytes(), endian)?;
    types::check(&sections, endian)?;
    // What could be wrong yet has been looked at: this finds out where types start.
    let btf = Btf::parse_verified(data).map_err(|error| Refused {
        place: None,
        why: Fault::Unreadable(error),
    })?;
    resolve::check(&btf)?;
    tags::check(&btf)?;
    fields::check(&btf)?;
    Ok(btf)
}

/// BTF that a kernel would not take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{why}", match place { Some(place) => format!("{place}: "), None => String::new() })]
pub struct Refused {
    /// The type, when it is one that is at fault.
    pub place: Option<Place>,
    /// What is wrong.
    pub why: Fault,
}

impl From<Fault> for Refused {
    /// A fault of the whole, not of a type.
    fn from(why: Fault) -> Self {
        Self { place: None, why }
    }
}

/// What is wrong with BTF that can't be loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// More than [`MAX_SIZE`].
    #[error("{len} bytes, at most {MAX_SIZE} are taken")]
    TooLarge {
        /// Bytes that there are.
        len: usize,
    },
    /// The header ends early, or claims to be longer than the data.
    #[error("the header is not whole")]
    HeaderCut,
    /// The header has fields behind the known ones that are not zero.
    #[error("the header has fields that are not known")]
    HeaderFields,
    /// It is something else, or BTF of the other byte order.
    #[error("no BTF of this byte order: the magic number is {found:#06x}, expected 0xeb9f")]
    Magic {
        /// The number there.
        found: u16,
    },
    /// The version is not 1.
    #[error("version {found} is not known, expected 1")]
    Version {
        /// The version there.
        found: u8,
    },
    /// The header has flags.
    #[error("flags {found:#x} are not known")]
    Flags {
        /// The flags there.
        found: u8,
    },
    /// Types at a multiple of four and strings, in this order, are not all that follows the header.
    #[error("types and strings must follow the header, without a gap or a rest")]
    Sections,
    /// There are no types.
    #[error("there are no types")]
    NoTypes,
    /// The strings are missing, or do not begin and end with a NUL.
    #[error("the strings must begin and end with a NUL")]
    Strings,
    /// The type goes on behind the section's end.
    #[error("ends behind the type section")]
    Cut,
    /// Bits of the type's second word that have no meaning are set.
    #[error("unknown bits in the info word {info:#010x}")]
    Info {
        /// The word.
        info: u32,
    },
    /// There is no such kind.
    #[error("kind {kind} is not known")]
    Kind {
        /// Its number.
        kind: u8,
    },
    /// A kind that has no elements says that it has some.
    #[error("{kind} has no elements, but counts {count}")]
    Count {
        /// The kind.
        kind: crate::KindTag,
        /// The count there.
        count: u32,
    },
    /// `kind_flag` is set for a kind that does not have it.
    #[error("{kind} has no kind_flag")]
    KindFlag {
        /// The kind.
        kind: crate::KindTag,
    },
    /// A name that is missing, must not be, or is spelt as none may be.
    #[error("{} {}", .of, .why)]
    Name {
        /// Whose name.
        of: Part,
        /// What is wrong with it.
        why: NameFault,
    },
    /// An integer's word with bits that have no meaning, or with more bits than the size holds.
    #[error("the integer has {bits} bits from {offset} on in {size} bytes")]
    IntBits {
        /// Bits of the value.
        bits: u32,
        /// Bits before it.
        offset: u32,
        /// Bytes of the type.
        size: u32,
    },
    /// An integer of two encodings, or of an unknown one.
    #[error("encoding {encoding:#x} of an integer is not known")]
    Encoding {
        /// The bits there.
        encoding: u32,
    },
    /// A size that the kind can't have.
    #[error("{kind} can't have {size} bytes")]
    Size {
        /// The kind.
        kind: crate::KindTag,
        /// The size there.
        size: u32,
    },
    /// A reference to `void`, to what does not exist, or to a kind that can't stand there.
    #[error("{} can't be type {id}", .of)]
    Target {
        /// What refers to it.
        of: Part,
        /// The type referred to.
        id: crate::TypeId,
    },
    /// A linkage that a kernel does not know, or does not load.
    #[error("linkage {linkage} of {kind} is not known")]
    Linkage {
        /// Function or variable.
        kind: crate::KindTag,
        /// The number there.
        linkage: u32,
    },
    /// A member, or a variable of a section, that begins before the one in front of it has ended,
    /// lies behind the end, or is not where its type can be.
    #[error("{} can't be where it is", .of)]
    Position {
        /// Which one.
        of: Part,
    },
    /// A bit field, or the size of a variable in a section, does not fit its type.
    #[error("{} has another size than its type", .of)]
    Width {
        /// Which one.
        of: Part,
    },
    /// The tagged declaration has no such component.
    #[error("component {component} is not there")]
    Component {
        /// Its index.
        component: u32,
    },
    /// A type leads to itself, without a pointer in between that would end it.
    #[error("leads to type {id} again")]
    Loop {
        /// The type that was met again.
        id: crate::TypeId,
    },
    /// More than 32 types lead to each other.
    #[error("more than 32 types lead to each other")]
    TooDeep,
    /// More than 32 typedefs, qualifiers and type tags behind each other.
    #[error("more than 32 typedefs, qualifiers and tags follow each other")]
    LongChain,
    /// A type tag behind a typedef or qualifier, instead of in front.
    #[error("a type tag must stand before typedefs and qualifiers")]
    TagOrder,
    /// Fields that a kernel manages can't be like this.
    #[error(transparent)]
    Managed(crate::managed::Problem),
    /// Verified data could not be read.
    #[error(transparent)]
    Unreadable(Error),
}

/// What of a type is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// The type itself, or what it leads to.
    Whole,
    /// A member, an enumerator, a parameter or a variable of a section, counted from 0.
    Element(u32),
    /// What an array is indexed by.
    Index,
    /// What a function returns.
    Return,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Whole => f.write_str("the type"),
            Self::Element(index) => write!(f, "element {index}"),
            Self::Index => f.write_str("the index"),
            Self::Return => f.write_str("the return value"),
        }
    }
}

/// What is wrong with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameFault {
    /// It lies outside the strings.
    Outside,
    /// There is none.
    Missing,
    /// There must be none.
    Unwanted,
    /// It has other characters than letters, digits, `_` and `.`, begins with a digit, or is longer
    /// than 512 bytes; that of a section has characters that can't be printed.
    Spelling,
}

impl std::fmt::Display for NameFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Outside => "has a name outside the strings",
            Self::Missing => "must have a name",
            Self::Unwanted => "can't have a name",
            Self::Spelling => "has a name that can't be one",
        })
    }
}

#[cfg(test)]
mod tests;
