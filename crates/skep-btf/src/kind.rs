//! The kinds of BTF types by number and by the kernel's names.

use std::fmt;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $kernel:literal;)*) => {
        /// The kind of a type, without its contents: `enum` of `BTF_KIND_*` in `linux/btf.h`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum KindTag {
            $($(#[$doc])* $name = $number,)*
        }

        impl KindTag {
            /// All known kinds, by number.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The kind with this number, if this crate knows it.
            #[inline]
            pub const fn from_number(number: u8) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// The kernel's name without `BTF_KIND_`, such as `FUNC_PROTO`.
            pub const fn kernel_name(self) -> &'static str {
                match self {
                    $(Self::$name => $kernel,)*
                }
            }
        }
    };
}

kinds! {
    /// No type: `void`, type id 0.
    #[doc(alias = "BTF_KIND_UNKN")]
    Void = 0, "UNKN";
    /// Integer, character or boolean.
    #[doc(alias = "BTF_KIND_INT")]
    Int = 1, "INT";
    /// Pointer.
    #[doc(alias = "BTF_KIND_PTR")]
    Pointer = 2, "PTR";
    /// Array of a fixed number of elements.
    #[doc(alias = "BTF_KIND_ARRAY")]
    Array = 3, "ARRAY";
    /// Structure.
    #[doc(alias = "BTF_KIND_STRUCT")]
    Struct = 4, "STRUCT";
    /// Union.
    #[doc(alias = "BTF_KIND_UNION")]
    Union = 5, "UNION";
    /// Enumeration of up to 32-bit values.
    #[doc(alias = "BTF_KIND_ENUM")]
    Enum = 6, "ENUM";
    /// Forward declaration of a structure or union.
    #[doc(alias = "BTF_KIND_FWD")]
    Forward = 7, "FWD";
    /// Type alias.
    #[doc(alias = "BTF_KIND_TYPEDEF")]
    Typedef = 8, "TYPEDEF";
    /// `volatile` qualifier.
    #[doc(alias = "BTF_KIND_VOLATILE")]
    Volatile = 9, "VOLATILE";
    /// `const` qualifier.
    #[doc(alias = "BTF_KIND_CONST")]
    Const = 10, "CONST";
    /// `restrict` qualifier.
    #[doc(alias = "BTF_KIND_RESTRICT")]
    Restrict = 11, "RESTRICT";
    /// Function.
    #[doc(alias = "BTF_KIND_FUNC")]
    Function = 12, "FUNC";
    /// Prototype of a function.
    #[doc(alias = "BTF_KIND_FUNC_PROTO")]
    FunctionPrototype = 13, "FUNC_PROTO";
    /// Variable (Linux 5.2).
    #[doc(alias = "BTF_KIND_VAR")]
    Variable = 14, "VAR";
    /// ELF section of variables (Linux 5.2).
    #[doc(alias = "BTF_KIND_DATASEC")]
    DataSection = 15, "DATASEC";
    /// Floating-point number (Linux 5.13).
    #[doc(alias = "BTF_KIND_FLOAT")]
    Float = 16, "FLOAT";
    /// Tag of a declaration, from `btf_decl_tag` (Linux 5.16).
    #[doc(alias = "BTF_KIND_DECL_TAG")]
    DeclTag = 17, "DECL_TAG";
    /// Tag of a pointed-to type, from `btf_type_tag` (Linux 5.17).
    #[doc(alias = "BTF_KIND_TYPE_TAG")]
    TypeTag = 18, "TYPE_TAG";
    /// Enumeration of up to 64-bit values (Linux 6.0).
    #[doc(alias = "BTF_KIND_ENUM64")]
    Enum64 = 19, "ENUM64";
}

impl KindTag {
    /// Whether the third word of such a type is a type id (else a size, or unused).
    #[inline]
    pub const fn is_reference(self) -> bool {
        matches!(
            self,
            Self::Pointer
                | Self::Typedef
                | Self::Volatile
                | Self::Const
                | Self::Restrict
                | Self::Function
                | Self::FunctionPrototype
                | Self::Variable
                | Self::DeclTag
                | Self::TypeTag
        )
    }

    /// Whether it only modifies another type: a typedef, a qualifier or a type tag.
    #[inline]
    pub const fn is_modifier(self) -> bool {
        matches!(
            self,
            Self::Typedef | Self::Volatile | Self::Const | Self::Restrict | Self::TypeTag
        )
    }
}

impl fmt::Display for KindTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.kernel_name())
    }
}
