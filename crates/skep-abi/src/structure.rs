//! Layouts of the uapi header's structures, as a 64-bit machine and BPF programs see them.

use crate::generated::structures::STRUCTURES;

/// A structure or union of linux/bpf.h.
///
/// ```
/// let md = skep_abi::StructLayout::by_name("xdp_md").unwrap();
/// assert_eq!(md.size, 24);
/// assert_eq!(md.field("data_end").unwrap().offset, 4);
/// ```
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StructLayout {
    /// The C name, without `struct` or `union`.
    pub name: &'static str,
    /// Whether it is a union.
    pub is_union: bool,
    /// Bytes, with padding at the end; an array of open length adds none.
    pub size: u32,
    /// Alignment in bytes.
    pub align: u32,
    /// Members by place. Members of nested structures have dotted names, those of anonymous ones
    /// do not, and members of unions overlap. Padding has no entry.
    pub fields: &'static [FieldLayout],
}

/// A member of a [`StructLayout`].
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FieldLayout {
    /// The C name, such as `remote_ip6` or `uprobe_multi.path`.
    pub name: &'static str,
    /// The C type of one element.
    pub c_type: &'static str,
    /// Bytes from the start of the structure.
    pub offset: u32,
    /// Bytes of one element.
    pub size: u32,
    /// Elements of an array: 1 for a single value, 0 for an array of open length.
    pub count: u32,
    /// The bits of a bit field.
    pub bits: Option<BitRange>,
}

/// The bits of a bit field within the unit at its offset, counted from the lowest on
/// little-endian machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BitRange {
    /// The first bit.
    pub first: u8,
    /// How many bits.
    pub width: u8,
}

impl StructLayout {
    /// Every structure, sorted by name.
    #[must_use]
    pub fn all() -> &'static [Self] {
        STRUCTURES
    }

    /// The structure with a C name, with or without `struct` or `union` before it.
    #[must_use]
    pub fn by_name(name: &str) -> Option<&'static Self> {
        let name = ["struct ", "union "]
            .iter()
            .find_map(|keyword| name.strip_prefix(keyword))
            .unwrap_or(name);
        let at = STRUCTURES
            .binary_search_by(|layout| layout.name.cmp(name))
            .ok()?;
        STRUCTURES.get(at)
    }

    /// The member with a C name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&'static FieldLayout> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The members that cover a byte: several in a union, none in padding.
    pub fn fields_at(&self, offset: u32) -> impl Iterator<Item = &'static FieldLayout> {
        self.fields.iter().filter(move |field| {
            offset
                .checked_sub(field.offset)
                .is_some_and(|inside| inside < field.byte_len())
        })
    }
}

impl FieldLayout {
    /// Bytes of the whole member.
    #[must_use]
    pub const fn byte_len(&self) -> u32 {
        self.size * self.count
    }
}
