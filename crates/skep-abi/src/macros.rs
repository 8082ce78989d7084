//! The two shapes that most of the vocabulary has: a number with a name (`kernel_enum!`) and a
//! set of named bits (`kernel_flags!`). The generated files are calls of these.

/// An enumeration: numbers, kernel names and short names both ways, and first kernels.
macro_rules! kernel_enum {
    (
        $(#[$meta:meta])*
        pub enum $Enum:ident: $repr:ident {
            $(
                $(#[doc = $doc:literal])*
                $Variant:ident = $value:literal, ($major:literal, $minor:literal),
                $name:literal | $short:literal [$($alias:literal)|*];
            )+
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        #[repr($repr)]
        pub enum $Enum {
            $(
                $(#[doc = $doc])*
                #[doc(alias = $name)]
                $Variant = $value,
            )+
        }

        impl $Enum {
            /// All that Skep knows, in the kernel's order.
            pub const ALL: &[Self] = &[$(Self::$Variant),+];

            /// The one with the kernel's number, if Skep knows it. A newer kernel may know more:
            /// keep the number (see [`OrRaw`](crate::OrRaw)) where it comes from a kernel.
            #[must_use]
            pub const fn from_raw(raw: $repr) -> Option<Self> {
                match raw {
                    $($value => Some(Self::$Variant),)+
                    _ => None,
                }
            }

            /// The kernel's number.
            #[must_use]
            pub const fn raw(self) -> $repr {
                self as $repr
            }

            /// The kernel's spelling, such as
            #[doc = concat!("`", kernel_enum!(@last $($name)+), "`.")]
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$Variant => $name,)+
                }
            }

            /// The spelling of tools, such as
            #[doc = concat!("`", kernel_enum!(@last $($short)+), "`.")]
            #[must_use]
            pub const fn short_name(self) -> &'static str {
                match self {
                    $(Self::$Variant => $short,)+
                }
            }

            /// The one with a name in either spelling, in the kernel's letter case.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($name | $short $(| $alias)* => Some(Self::$Variant),)+
                    _ => None,
                }
            }

            /// The first kernel that has it.
            #[must_use]
            pub const fn since(self) -> crate::KernelVersion {
                match self {
                    $(Self::$Variant => crate::KernelVersion::new($major, $minor),)+
                }
            }
        }

        impl crate::KernelEnum for $Enum {
            type Raw = $repr;
            const ALL: &'static [Self] = Self::ALL;

            fn from_raw(raw: $repr) -> Option<Self> {
                Self::from_raw(raw)
            }

            fn raw(self) -> $repr {
                self.raw()
            }

            fn name(self) -> &'static str {
                self.name()
            }

            fn short_name(self) -> &'static str {
                self.short_name()
            }

            fn from_name(name: &str) -> Option<Self> {
                Self::from_name(name)
            }

            fn since(self) -> crate::KernelVersion {
                self.since()
            }
        }

        /// Prints the short name.
        impl std::fmt::Display for $Enum {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.short_name())
            }
        }
    };
    (@last $first:literal) => { $first };
    (@last $first:literal $($rest:literal)+) => { kernel_enum!(@last $($rest)+) };
}

/// A set of named bits. Unknown bits are kept, since a newer kernel may know them.
macro_rules! kernel_flags {
    (
        $(#[$meta:meta])*
        pub struct $Flags:ident: $repr:ident {
            $(
                $(#[doc = $doc:literal])*
                $FLAG:ident = $value:expr, ($major:literal, $minor:literal), $name:literal;
            )+
        }
    ) => {
        bitflags::bitflags! {
            $(#[$meta])*
            #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
            pub struct $Flags: $repr {
                $(
                    $(#[doc = $doc])*
                    #[doc(alias = $name)]
                    const $FLAG = $value;
                )+
                // Any bit may be set: a newer kernel may know it.
                const _ = !0;
            }
        }

        impl $Flags {
            /// Each flag with the kernel's name and the first kernel that has it, lowest bit first.
            pub const TABLE: &[(Self, &str, crate::KernelVersion)] =
                &[$((Self::$FLAG, $name, crate::KernelVersion::new($major, $minor))),+];

            /// The flag with the kernel's name, such as
            #[doc = concat!("`", kernel_flags!(@last $($name)+), "`.")]
            #[must_use]
            pub fn from_kernel_name(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$FLAG),)+
                    _ => None,
                }
            }

            /// The kernel's names of the flags that are set. Unknown bits have none.
            pub fn kernel_names(self) -> impl Iterator<Item = &'static str> {
                Self::TABLE
                    .iter()
                    .filter(move |(flag, ..)| self.contains(*flag))
                    .map(|(_, name, _)| *name)
            }

            /// The bits that Skep has no name for.
            #[must_use]
            pub const fn unknown_bits(self) -> $repr {
                self.bits() & !(0 $(| Self::$FLAG.bits())+)
            }

            /// The first kernel that has all the flags that are set, or `None` if none is set or
            /// one is unknown.
            #[must_use]
            pub fn since(self) -> Option<crate::KernelVersion> {
                if self.unknown_bits() != 0 {
                    return None;
                }
                Self::TABLE
                    .iter()
                    .filter(|(flag, ..)| self.contains(*flag))
                    .map(|(.., since)| *since)
                    .max()
            }
        }

        /// Prints the kernel's names joined by `|`, unknown bits as a number, and `0` for none.
        impl std::fmt::Display for $Flags {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let mut separator = "";
                for name in self.kernel_names() {
                    write!(f, "{separator}{name}")?;
                    separator = "|";
                }
                match self.unknown_bits() {
                    0 if separator.is_empty() => f.write_str("0"),
                    0 => Ok(()),
                    unknown => write!(f, "{separator}{unknown:#x}"),
                }
            }
        }
    };
    (@last $first:literal) => { $first };
    (@last $first:literal $($rest:literal)+) => { kernel_flags!(@last $($rest)+) };
}

pub(crate) use {kernel_enum, kernel_flags};
