//! Views of types: [`Type`] is a type with its id and name, [`Kind`] what it is made of. They borrow
//! from the [`Btf`] and read its bytes when asked.

use crate::elements::{Elements, Enumerator, Member, Parameter, SectionEntry};
use crate::walk::{TYPE_LEN, split_info};
use crate::{Btf, KindTag, StringOffset, TypeId};
use std::fmt;

/// A type of a [`Btf`].
#[derive(Clone, Copy)]
pub struct Type<'a> {
    btf: &'a Btf,
    id: TypeId,
    name: StringOffset,
    info: u32,
    /// The size or the type, as the kind has it.
    third: u32,
    /// Where the three words end, from the start of the data.
    body: u32,
}

impl<'a> Type<'a> {
    #[inline]
    pub(crate) fn read(btf: &'a Btf, id: TypeId, offset: u32) -> Self {
        Self {
            btf,
            id,
            name: StringOffset(btf.word(offset)),
            info: btf.word(offset.wrapping_add(4)),
            third: btf.word(offset.wrapping_add(8)),
            body: offset.wrapping_add(TYPE_LEN),
        }
    }

    pub(crate) fn void(btf: &'a Btf) -> Self {
        Self {
            btf,
            id: TypeId::VOID,
            name: StringOffset(0),
            info: 0,
            third: 0,
            body: 0,
        }
    }

    /// The id in the BTF that it was asked of.
    #[inline]
    pub fn id(&self) -> TypeId {
        self.id
    }

    /// The BTF that holds the type itself: the base, for a base's type of a split BTF.
    pub fn btf(&self) -> &'a Btf {
        self.btf
    }

    /// The name, or an empty string for a type without one.
    #[inline]
    pub fn name(&self) -> &'a str {
        self.btf.name(self.name)
    }

    /// Where the name stands; 0 for a type without one.
    pub fn name_offset(&self) -> StringOffset {
        self.name
    }

    /// The kind without its contents; `None` for one that this crate does not know.
    #[inline]
    pub fn tag(&self) -> Option<KindTag> {
        KindTag::from_number(split_info(self.info).0)
    }

    #[inline]
    pub(crate) fn third(&self) -> u32 {
        self.third
    }

    /// Where the type starts, from the start of the data.
    pub fn data_offset(&self) -> u32 {
        self.body.saturating_sub(TYPE_LEN)
    }

    /// `kind_flag`.
    pub(crate) fn flag(&self) -> bool {
        split_info(self.info).2
    }

    #[inline]
    fn elements<E>(&self) -> Elements<'a, E> {
        let (_, count, flag) = split_info(self.info);
        Elements::new(self.btf, self.body, count, flag)
    }

    /// What the type is made of.
    #[inline]
    pub fn kind(&self) -> Kind<'a> {
        let (number, _, flag) = split_info(self.info);
        let size = self.third;
        let target = TypeId(self.third);
        let Some(tag) = KindTag::from_number(number) else {
            return Kind::Unknown { kind: number };
        };
        match tag {
            KindTag::Void => Kind::Void,
            KindTag::Int => {
                let bits = self.btf.word(self.body);
                Kind::Int(Int {
                    size,
                    bits: bits as u8,
                    offset: (bits >> 16) as u8,
                    encoding: IntEncoding((bits >> 24 & 0xf) as u8),
                })
            }
            KindTag::Pointer => Kind::Pointer { target },
            KindTag::Array => Kind::Array(Array {
                element: TypeId(self.btf.word(self.body)),
                index: TypeId(self.btf.word(self.body.wrapping_add(4))),
                len: self.btf.word(self.body.wrapping_add(8)),
            }),
            KindTag::Struct => Kind::Struct(Composite {
                size,
                members: self.elements(),
            }),
            KindTag::Union => Kind::Union(Composite {
                size,
                members: self.elements(),
            }),
            KindTag::Enum => Kind::Enum(Enum {
                size,
                signed: flag,
                wide: false,
                values: self.elements(),
            }),
            KindTag::Enum64 => Kind::Enum64(Enum {
                size,
                signed: flag,
                wide: true,
                values: self.elements(),
            }),
            KindTag::Forward => Kind::Forward { union: flag },
            KindTag::Typedef => Kind::Typedef { target },
            KindTag::Volatile => Kind::Volatile { target },
            KindTag::Const => Kind::Const { target },
            KindTag::Restrict => Kind::Restrict { target },
            KindTag::Function => Kind::Function(Function {
                prototype: target,
                linkage: FunctionLinkage::from_number(split_info(self.info).1),
            }),
            KindTag::FunctionPrototype => Kind::FunctionPrototype(FunctionPrototype {
                return_type: target,
                parameters: self.elements(),
            }),
            KindTag::Variable => Kind::Variable(Variable {
                type_id: target,
                linkage: VariableLinkage::from_number(self.btf.word(self.body)),
            }),
            KindTag::DataSection => Kind::DataSection(DataSection {
                size,
                entries: self.elements(),
            }),
            KindTag::Float => Kind::Float { size },
            KindTag::DeclTag => Kind::DeclTag(DeclTag {
                target,
                component: Some(self.btf.word(self.body)).filter(|index| *index != u32::MAX),
                attribute: flag,
            }),
            KindTag::TypeTag => Kind::TypeTag {
                target,
                attribute: flag,
            },
        }
    }
}

impl fmt::Debug for Type<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?} {:?}", self.id, self.name(), self.kind())
    }
}

/// What a type is made of.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Kind<'a> {
    /// `void`: type id 0.
    Void,
    /// Integer, character or boolean.
    Int(Int),
    /// Pointer to `target`.
    Pointer {
        /// The type pointed to.
        target: TypeId,
    },
    /// Array.
    Array(Array),
    /// Structure.
    Struct(Composite<'a>),
    /// Union.
    Union(Composite<'a>),
    /// Enumeration of up to 32-bit values.
    Enum(Enum<'a>),
    /// Enumeration of up to 64-bit values.
    Enum64(Enum<'a>),
    /// Forward declaration.
    Forward {
        /// Whether of a union (else of a structure).
        union: bool,
    },
    /// Type alias.
    Typedef {
        /// The type that it names.
        target: TypeId,
    },
    /// `volatile`.
    Volatile {
        /// The type that it qualifies.
        target: TypeId,
    },
    /// `const`.
    Const {
        /// The type that it qualifies.
        target: TypeId,
    },
    /// `restrict`.
    Restrict {
        /// The pointer that it qualifies.
        target: TypeId,
    },
    /// Function.
    Function(Function),
    /// Prototype of a function.
    FunctionPrototype(FunctionPrototype<'a>),
    /// Variable.
    Variable(Variable),
    /// ELF section of variables.
    DataSection(DataSection<'a>),
    /// Floating-point number.
    Float {
        /// Its bytes.
        size: u32,
    },
    /// Tag of a declaration; its text is the type's name.
    DeclTag(DeclTag),
    /// Tag of a type; its text is the type's name.
    TypeTag {
        /// The type tagged.
        target: TypeId,
        /// Whether the text is a whole `__attribute__` (Linux 6.15), else a `btf_type_tag`.
        attribute: bool,
    },
    /// A kind that this crate does not know, skipped by the layout section.
    Unknown {
        /// Its number.
        kind: u8,
    },
}

impl Kind<'_> {
    /// The target, when the type only modifies another: typedef, qualifier, type tag.
    #[inline]
    pub fn modified(&self) -> Option<TypeId> {
        match self {
            Self::Typedef { target }
            | Self::Volatile { target }
            | Self::Const { target }
            | Self::Restrict { target }
            | Self::TypeTag { target, .. } => Some(*target),
            _ => None,
        }
    }
}

/// An integer type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Int {
    /// Bytes that it takes.
    pub size: u32,
    /// Bits of the value; fewer than the size has only in old-style bit fields.
    pub bits: u8,
    /// Bits before the value, in old-style bit fields.
    pub offset: u8,
    /// How it is read.
    pub encoding: IntEncoding,
}

/// How an integer is read: `BTF_INT_SIGNED`, `BTF_INT_CHAR`, `BTF_INT_BOOL`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IntEncoding(
    /// The bits as BTF has them.
    pub u8,
);

impl IntEncoding {
    /// Not signed, neither a character nor a boolean.
    pub const UNSIGNED: Self = Self(0);
    /// Two's complement.
    #[doc(alias = "BTF_INT_SIGNED")]
    pub const SIGNED: Self = Self(1);
    /// A character. Compilers seldom say so of `char`.
    #[doc(alias = "BTF_INT_CHAR")]
    pub const CHAR: Self = Self(2);
    /// A boolean.
    #[doc(alias = "BTF_INT_BOOL")]
    pub const BOOL: Self = Self(4);

    /// Whether it is signed.
    #[inline]
    pub fn is_signed(self) -> bool {
        self.0 & Self::SIGNED.0 != 0
    }

    /// Whether it is a character.
    #[inline]
    pub fn is_char(self) -> bool {
        self.0 & Self::CHAR.0 != 0
    }

    /// Whether it is a boolean.
    #[inline]
    pub fn is_bool(self) -> bool {
        self.0 & Self::BOOL.0 != 0
    }
}

/// An array type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Array {
    /// The type of its elements.
    pub element: TypeId,
    /// The type of its index, always an integer.
    pub index: TypeId,
    /// Number of elements; 0 also for a flexible array.
    pub len: u32,
}

/// A structure or union.
#[derive(Debug, Clone, Copy)]
pub struct Composite<'a> {
    /// Bytes that it takes.
    pub size: u32,
    members: Elements<'a, Member<'a>>,
}

impl<'a> Composite<'a> {
    /// The members, in order.
    #[inline]
    pub fn members(&self) -> Elements<'a, Member<'a>> {
        self.members
    }
}

/// An enumeration.
#[derive(Debug, Clone, Copy)]
pub struct Enum<'a> {
    /// Bytes that a value takes.
    pub size: u32,
    /// Whether values are signed. Compilers before 2022 never say so for 32-bit values.
    pub signed: bool,
    pub(crate) wide: bool,
    values: Elements<'a, RawEnumerator>,
}

impl<'a> Enum<'a> {
    /// The names and their values, in order.
    pub fn values(
        &self,
    ) -> impl ExactSizeIterator<Item = Enumerator<'a>> + DoubleEndedIterator + Clone + use<'a> {
        let wide = self.wide;
        let signed = self.signed;
        let (values, btf) = (self.values, self.values.btf());
        (0..values.len() as u32)
            .map(move |index| Enumerator::read(btf, values.base(), index, wide, signed))
    }
}

/// The elements of an enumeration differ in size by its kind; [`Enum::values`] reads them.
#[derive(Debug, Clone, Copy)]
enum RawEnumerator {}

/// A function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Function {
    /// Its prototype.
    pub prototype: TypeId,
    /// Who can see it.
    pub linkage: FunctionLinkage,
}

/// Linkage of a function: `enum btf_func_linkage`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FunctionLinkage {
    /// Seen by its own object only.
    #[doc(alias = "BTF_FUNC_STATIC")]
    Static,
    /// Seen by others.
    #[doc(alias = "BTF_FUNC_GLOBAL")]
    Global,
    /// Found elsewhere.
    #[doc(alias = "BTF_FUNC_EXTERN")]
    Extern,
    /// A number that has no name yet.
    Other(u32),
}

impl FunctionLinkage {
    fn from_number(number: u32) -> Self {
        match number {
            0 => Self::Static,
            1 => Self::Global,
            2 => Self::Extern,
            other => Self::Other(other),
        }
    }

    /// The number that BTF has for it.
    pub fn number(self) -> u32 {
        match self {
            Self::Static => 0,
            Self::Global => 1,
            Self::Extern => 2,
            Self::Other(other) => other,
        }
    }
}

/// A prototype of a function.
#[derive(Debug, Clone, Copy)]
pub struct FunctionPrototype<'a> {
    /// What the function returns; 0 for nothing.
    pub return_type: TypeId,
    parameters: Elements<'a, Parameter<'a>>,
}

impl<'a> FunctionPrototype<'a> {
    /// The parameters, in order. A last one without name and type stands for `...`.
    #[inline]
    pub fn params(&self) -> Elements<'a, Parameter<'a>> {
        self.parameters
    }
}

/// A variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// Its type.
    pub type_id: TypeId,
    /// Who can see it.
    pub linkage: VariableLinkage,
}

/// Linkage of a variable: `BTF_VAR_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VariableLinkage {
    /// Seen by its own object only.
    #[doc(alias = "BTF_VAR_STATIC")]
    Static,
    /// Defined here and seen by others.
    #[doc(alias = "BTF_VAR_GLOBAL_ALLOCATED")]
    Global,
    /// Found elsewhere.
    #[doc(alias = "BTF_VAR_GLOBAL_EXTERN")]
    Extern,
    /// A number that has no name yet.
    Other(u32),
}

impl VariableLinkage {
    fn from_number(number: u32) -> Self {
        match number {
            0 => Self::Static,
            1 => Self::Global,
            2 => Self::Extern,
            other => Self::Other(other),
        }
    }

    /// The number that BTF has for it.
    pub fn number(self) -> u32 {
        match self {
            Self::Static => 0,
            Self::Global => 1,
            Self::Extern => 2,
            Self::Other(other) => other,
        }
    }
}

/// An ELF section of variables.
#[derive(Debug, Clone, Copy)]
pub struct DataSection<'a> {
    /// Bytes of the section; 0 as compilers write it, before a loader has set it.
    pub size: u32,
    entries: Elements<'a, SectionEntry>,
}

impl<'a> DataSection<'a> {
    /// The variables (and, in `.ksyms`, functions), in order.
    #[inline]
    pub fn entries(&self) -> Elements<'a, SectionEntry> {
        self.entries
    }
}

/// A tag of a declaration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeclTag {
    /// The structure, union, function, variable or typedef that it tags.
    pub target: TypeId,
    /// The member or parameter that it tags; `None` for the target itself.
    pub component: Option<u32>,
    /// Whether the text is a whole `__attribute__` (Linux 6.15), else a `btf_decl_tag`.
    pub attribute: bool,
}
