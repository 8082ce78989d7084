//! CO-RE, compile once, run everywhere: an instruction's number that depends on the kernel's types
//! is computed anew from the target's BTF.

mod candidates;
pub(crate) mod compat;
mod matching;
mod needs;
mod patch;
mod relocate;
mod spec;
#[cfg(test)]
mod tests;
mod value;

use std::fmt;

use skep_btf::{StringOffset, TypeId};
use skep_isa::InsnIndex;

pub use needs::Needs;
pub(crate) use relocate::Relocator;

/// Why a relocation can't be computed, without its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault(String);

impl Fault {
    fn new(problem: impl Into<String>) -> Self {
        Self(problem.into())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<skep_btf::Error> for Fault {
    fn from(error: skep_btf::Error) -> Self {
        Self(error.to_string())
    }
}

/// A number in an instruction that depends on the target's types: uapi `struct bpf_core_relo`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[doc(alias = "bpf_core_relo")]
pub struct CoreRelocation {
    /// The instruction, from its function's start.
    pub insn: InsnIndex,
    /// The type, in the object's BTF, that the access starts from.
    pub type_id: TypeId,
    /// The access, such as `0:1:2`, in the strings of the object's BTF.
    pub access: StringOffset,
    /// What of it is asked.
    pub kind: CoreKind,
}

/// What a CO-RE relocation asks of the target: uapi `enum bpf_core_relo_kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
#[non_exhaustive]
#[doc(alias = "bpf_core_relo_kind")]
pub enum CoreKind {
    /// Bytes from the start of the type to the field.
    #[doc(alias = "BPF_CORE_FIELD_BYTE_OFFSET")]
    FieldByteOffset = 0,
    /// Bytes of the field.
    #[doc(alias = "BPF_CORE_FIELD_BYTE_SIZE")]
    FieldByteSize = 1,
    /// Whether there is such a field.
    #[doc(alias = "BPF_CORE_FIELD_EXISTS")]
    FieldExists = 2,
    /// Whether the field is signed.
    #[doc(alias = "BPF_CORE_FIELD_SIGNED")]
    FieldSigned = 3,
    /// Bits to shift a bit field left by, once it is loaded into 64 bits.
    #[doc(alias = "BPF_CORE_FIELD_LSHIFT_U64")]
    FieldLeftShift = 4,
    /// Bits to shift it right by after that.
    #[doc(alias = "BPF_CORE_FIELD_RSHIFT_U64")]
    FieldRightShift = 5,
    /// The type's id in the object's own BTF.
    #[doc(alias = "BPF_CORE_TYPE_ID_LOCAL")]
    TypeIdLocal = 6,
    /// The type's id in the target's BTF.
    #[doc(alias = "BPF_CORE_TYPE_ID_TARGET")]
    TypeIdTarget = 7,
    /// Whether there is such a type.
    #[doc(alias = "BPF_CORE_TYPE_EXISTS")]
    TypeExists = 8,
    /// Bytes of the type.
    #[doc(alias = "BPF_CORE_TYPE_SIZE")]
    TypeSize = 9,
    /// Whether there is such an enumerator.
    #[doc(alias = "BPF_CORE_ENUMVAL_EXISTS")]
    EnumeratorExists = 10,
    /// The enumerator's value.
    #[doc(alias = "BPF_CORE_ENUMVAL_VALUE")]
    EnumeratorValue = 11,
    /// Whether there is such a type and all its members are as here.
    #[doc(alias = "BPF_CORE_TYPE_MATCHES")]
    TypeMatches = 12,
}

impl CoreKind {
    /// All kinds, by number.
    pub const ALL: &[Self] = &[
        Self::FieldByteOffset,
        Self::FieldByteSize,
        Self::FieldExists,
        Self::FieldSigned,
        Self::FieldLeftShift,
        Self::FieldRightShift,
        Self::TypeIdLocal,
        Self::TypeIdTarget,
        Self::TypeExists,
        Self::TypeSize,
        Self::EnumeratorExists,
        Self::EnumeratorValue,
        Self::TypeMatches,
    ];

    /// The kind with this number.
    pub fn from_raw(raw: u32) -> Option<Self> {
        Self::ALL.get(usize::try_from(raw).ok()?).copied()
    }

    /// Its name as messages have it, such as `byte_offset`.
    pub fn name(self) -> &'static str {
        match self {
            Self::FieldByteOffset => "byte_offset",
            Self::FieldByteSize => "byte_size",
            Self::FieldExists => "field_exists",
            Self::FieldSigned => "signed",
            Self::FieldLeftShift => "lshift_u64",
            Self::FieldRightShift => "rshift_u64",
            Self::TypeIdLocal => "local_type_id",
            Self::TypeIdTarget => "target_type_id",
            Self::TypeExists => "type_exists",
            Self::TypeSize => "type_size",
            Self::EnumeratorExists => "enumval_exists",
            Self::EnumeratorValue => "enumval_value",
            Self::TypeMatches => "type_matches",
        }
    }

    /// Whether it asks of a field.
    pub fn is_field(self) -> bool {
        (self as u32) <= Self::FieldRightShift as u32
    }

    /// Whether it asks of an enumerator.
    pub fn is_enumerator(self) -> bool {
        matches!(self, Self::EnumeratorExists | Self::EnumeratorValue)
    }

    /// Whether it asks of a type as a whole.
    pub fn is_type(self) -> bool {
        !self.is_field() && !self.is_enumerator()
    }
}

impl fmt::Display for CoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
