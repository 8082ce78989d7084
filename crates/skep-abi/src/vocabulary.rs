//! What all enumerations have in common, and numbers that only a newer kernel knows.

use std::fmt;

use crate::KernelVersion;

/// An enumeration of the kernel: the same methods that each type also has by itself, for code
/// that works on any of them.
pub trait KernelEnum: Copy + Eq + fmt::Debug + fmt::Display + 'static {
    /// The number that the kernel uses.
    type Raw: Copy + Eq + fmt::Debug + fmt::Display;

    /// All that Skep knows, in the kernel's order.
    const ALL: &'static [Self];

    /// The one with the kernel's number, if Skep knows it.
    fn from_raw(raw: Self::Raw) -> Option<Self>;
    /// The kernel's number.
    fn raw(self) -> Self::Raw;
    /// The kernel's spelling.
    fn name(self) -> &'static str;
    /// The spelling of tools.
    fn short_name(self) -> &'static str;
    /// The one with a name in either spelling.
    fn from_name(name: &str) -> Option<Self>;
    /// The first kernel that has it.
    fn since(self) -> KernelVersion;
}

/// A number that came from a kernel: one that Skep knows, or one that a newer kernel added.
///
/// ```
/// use skep_abi::{MapType, OrRaw};
///
/// assert_eq!(OrRaw::<MapType>::from_raw(1), OrRaw::Known(MapType::Hash));
/// let newer = OrRaw::<MapType>::from_raw(4711);
/// assert_eq!(newer.raw(), 4711);
/// assert_eq!(newer.to_string(), "4711");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OrRaw<T: KernelEnum> {
    /// One that Skep knows.
    Known(T),
    /// A number that Skep has no name for.
    Unknown(T::Raw),
}

impl<T: KernelEnum> OrRaw<T> {
    /// Names a number if it can.
    #[must_use]
    pub fn from_raw(raw: T::Raw) -> Self {
        T::from_raw(raw).map_or(Self::Unknown(raw), Self::Known)
    }

    /// The kernel's number.
    #[must_use]
    pub fn raw(self) -> T::Raw {
        match self {
            Self::Known(known) => known.raw(),
            Self::Unknown(raw) => raw,
        }
    }

    /// The one that Skep knows.
    #[must_use]
    pub fn known(self) -> Option<T> {
        match self {
            Self::Known(known) => Some(known),
            Self::Unknown(_) => None,
        }
    }
}

impl<T: KernelEnum> From<T> for OrRaw<T> {
    fn from(known: T) -> Self {
        Self::Known(known)
    }
}

/// Prints the short name, or the number.
impl<T: KernelEnum> fmt::Display for OrRaw<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(known) => fmt::Display::fmt(known, f),
            Self::Unknown(raw) => fmt::Display::fmt(raw, f),
        }
    }
}
