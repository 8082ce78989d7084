//! Rules of map types: what the kernel checks when a map is created.

use std::fmt;

use bitflags::bitflags;

use crate::generated::maps::MAPS;
use crate::{Capability, MapCreateFlags, MapType};

/// What the kernel asks of a map of some type, as of Linux 7.3.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MapRules {
    /// The size of keys.
    pub key_size: SizeRule,
    /// The size of values. Of per-CPU maps: of one CPU's value.
    pub value_size: SizeRule,
    /// The number of entries.
    pub max_entries: EntriesRule,
    /// The capability that creating one needs; `None` where unprivileged BPF can, if the kernel
    /// allows that at all.
    pub capability: Option<Capability>,
    /// Flags that must be set.
    pub required_flags: MapCreateFlags,
    /// What else holds for the type.
    pub properties: MapProperties,
}

/// A rule for the size of keys or values, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SizeRule {
    /// Must be 0.
    Zero,
    /// Anything but 0.
    Positive,
    /// One of these.
    OneOf(&'static [u32]),
    /// A multiple of this, not 0.
    MultipleOf(u32),
    /// From the first to the second, both included.
    Between(u32, u32),
}

/// A rule for `max_entries`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EntriesRule {
    /// Anything but 0.
    Positive,
    /// Must be 0.
    Zero,
    /// Must be 1.
    One,
    /// Bytes of a ring: a power of two and a multiple of the page size.
    RingBytes,
    /// Pages of an arena: at most 4 GiB of them.
    ArenaPages,
}

bitflags! {
    /// What else holds for a map type.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct MapProperties: u32 {
        /// Each CPU has its own value.
        const PER_CPU = 1 << 0;
        /// User space can map its memory.
        const MMAP = 1 << 1;
        /// User space can map its memory if created with [`MapCreateFlags::MMAPABLE`].
        const MMAP_WITH_FLAG = 1 << 2;
        /// Batch commands work.
        const BATCH = 1 << 3;
        /// `BPF_MAP_LOOKUP_AND_DELETE_ELEM` works.
        const LOOKUP_AND_DELETE = 1 << 4;
        /// User space sets values as descriptors, and reads them as ids or not at all.
        const DESCRIPTORS = 1 << 5;
        /// Values are maps: creation needs one to show their shape (`inner_map_fd`).
        const INNER_MAPS = 1 << 6;
        /// Creation needs BTF of key and value.
        const NEEDS_BTF = 1 << 7;
        /// Creation needs the id of a kernel type (`btf_vmlinux_value_type_id`).
        const NEEDS_KERNEL_TYPE = 1 << 8;
        /// Creation refuses BTF of key and value.
        const NO_BTF = 1 << 9;
        /// `map_extra` means something.
        const EXTRA = 1 << 10;
        /// Values may hold a `bpf_spin_lock` or `bpf_res_spin_lock`.
        const SPIN_LOCK = 1 << 11;
        /// Values may hold a `bpf_timer`, `bpf_wq` or `bpf_task_work`.
        const TIMER = 1 << 12;
        /// Values may hold kernel pointers and reference counts.
        const KPTR = 1 << 13;
        /// Values may hold a `bpf_list_head` or `bpf_rb_root`.
        const COLLECTIONS = 1 << 14;
        /// Values may hold pointers to user memory.
        const UPTR = 1 << 15;
    }
}

impl MapRules {
    pub(crate) const UNSPEC: Self = Self {
        key_size: SizeRule::Zero,
        value_size: SizeRule::Zero,
        max_entries: EntriesRule::Zero,
        capability: None,
        required_flags: MapCreateFlags::empty(),
        properties: MapProperties::empty(),
    };
}

impl MapType {
    /// What the kernel asks of a map of this type.
    ///
    /// ```
    /// use skep_abi::{EntriesRule, MapType, SizeRule};
    ///
    /// let ring = MapType::Ringbuf.rules();
    /// assert_eq!(ring.key_size, SizeRule::Zero);
    /// assert_eq!(ring.max_entries, EntriesRule::RingBytes);
    /// assert!(ring.max_entries.allows(8192, 4096));
    /// assert!(!ring.max_entries.allows(12288, 4096));
    /// ```
    #[must_use]
    pub fn rules(self) -> &'static MapRules {
        MAPS.get(self.raw() as usize).unwrap_or(&MapRules::UNSPEC)
    }

    /// Whether each CPU has its own value.
    #[must_use]
    pub fn is_per_cpu(self) -> bool {
        self.rules().properties.contains(MapProperties::PER_CPU)
    }

    /// Whether values are maps.
    #[must_use]
    pub fn has_inner_maps(self) -> bool {
        self.rules().properties.contains(MapProperties::INNER_MAPS)
    }
}

impl SizeRule {
    /// Whether a size in bytes keeps the rule. The kernel also has upper limits by memory.
    #[must_use]
    pub fn allows(self, size: u32) -> bool {
        match self {
            Self::Zero => size == 0,
            Self::Positive => size != 0,
            Self::OneOf(sizes) => sizes.contains(&size),
            Self::MultipleOf(unit) => size != 0 && size.checked_rem(unit) == Some(0),
            Self::Between(low, high) => (low..=high).contains(&size),
        }
    }

    /// The size, where the rule leaves just one.
    #[must_use]
    pub fn only(self) -> Option<u32> {
        match self {
            Self::Zero => Some(0),
            Self::OneOf(&[size]) => Some(size),
            _ => None,
        }
    }
}

impl EntriesRule {
    /// Whether a number of entries keeps the rule on a machine with a page size.
    #[must_use]
    pub fn allows(self, entries: u32, page_size: u32) -> bool {
        match self {
            Self::Positive => entries != 0,
            Self::Zero => entries == 0,
            Self::One => entries == 1,
            Self::RingBytes => {
                entries.is_power_of_two() && entries.checked_rem(page_size) == Some(0)
            }
            Self::ArenaPages => {
                entries != 0 && u64::from(entries) * u64::from(page_size) <= 1 << 32
            }
        }
    }
}

/// Prints what is allowed, to follow “must be”.
impl fmt::Display for SizeRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zero => f.write_str("0"),
            Self::Positive => f.write_str("greater than 0"),
            Self::OneOf(sizes) => {
                let sizes: Vec<String> = sizes.iter().map(ToString::to_string).collect();
                f.write_str(&sizes.join(" or "))
            }
            Self::MultipleOf(unit) => write!(f, "a multiple of {unit}"),
            Self::Between(low, high) => write!(f, "from {low} to {high}"),
        }
    }
}

/// Prints what is allowed, to follow “must be”.
impl fmt::Display for EntriesRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Positive => "greater than 0",
            Self::Zero => "0",
            Self::One => "1",
            Self::RingBytes => "bytes: a power of two and a multiple of the page size",
            Self::ArenaPages => "pages: greater than 0 and at most 4 GiB of them",
        })
    }
}
