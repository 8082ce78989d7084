//! The spellings that the disassembler writes and the assembler reads: one table for both.

use std::fmt;

use crate::operand::{AluOp, AtomicOp, ByteOrder, CompareOp, NarrowSize, Size, Width};
use crate::reg::Reg;

impl AluOp {
    /// All operations.
    pub const ALL: [Self; 13] = [
        Self::Add,
        Self::Sub,
        Self::Mul,
        Self::Div,
        Self::SDiv,
        Self::Mod,
        Self::SMod,
        Self::Or,
        Self::And,
        Self::Xor,
        Self::Lsh,
        Self::Rsh,
        Self::Arsh,
    ];

    /// The operator in text, such as `+=` or `s>>=`.
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+=",
            Self::Sub => "-=",
            Self::Mul => "*=",
            Self::Div => "/=",
            Self::SDiv => "s/=",
            Self::Mod => "%=",
            Self::SMod => "s%=",
            Self::Or => "|=",
            Self::And => "&=",
            Self::Xor => "^=",
            Self::Lsh => "<<=",
            Self::Rsh => ">>=",
            Self::Arsh => "s>>=",
        }
    }
}

impl CompareOp {
    /// All comparisons.
    pub const ALL: [Self; 11] = [
        Self::Eq,
        Self::Ne,
        Self::Gt,
        Self::Ge,
        Self::Lt,
        Self::Le,
        Self::SGt,
        Self::SGe,
        Self::SLt,
        Self::SLe,
        Self::Set,
    ];

    /// The operator in text, such as `==` or `s>=`; `&` for [`CompareOp::Set`].
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Eq => "==",
            Self::Ne => "!=",
            Self::Gt => ">",
            Self::Ge => ">=",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::SGt => "s>",
            Self::SGe => "s>=",
            Self::SLt => "s<",
            Self::SLe => "s<=",
            Self::Set => "&",
        }
    }
}

impl AtomicOp {
    /// All operations.
    pub const ALL: [Self; 10] = [
        Self::Add { fetch: false },
        Self::Add { fetch: true },
        Self::Or { fetch: false },
        Self::Or { fetch: true },
        Self::And { fetch: false },
        Self::And { fetch: true },
        Self::Xor { fetch: false },
        Self::Xor { fetch: true },
        Self::Xchg,
        Self::CmpXchg,
    ];

    /// The function in text after `atomic_` or `atomic64_`, such as `fetch_add`; for those that
    /// don't fetch, the operator after `lock`.
    pub(crate) const fn symbol(self) -> &'static str {
        match self {
            Self::Add { fetch: false } => "+=",
            Self::Or { fetch: false } => "|=",
            Self::And { fetch: false } => "&=",
            Self::Xor { fetch: false } => "^=",
            Self::Add { fetch: true } => "fetch_add",
            Self::Or { fetch: true } => "fetch_or",
            Self::And { fetch: true } => "fetch_and",
            Self::Xor { fetch: true } => "fetch_xor",
            Self::Xchg => "xchg",
            Self::CmpXchg => "cmpxchg",
        }
    }
}

impl ByteOrder {
    pub(crate) const ALL: [Self; 3] = [Self::Little, Self::Big, Self::Swap];

    /// What the width follows in text: `le`, `be` or `bswap`.
    pub(crate) const fn symbol(self) -> &'static str {
        match self {
            Self::Little => "le",
            Self::Big => "be",
            Self::Swap => "bswap",
        }
    }
}

impl Size {
    /// All sizes.
    pub const ALL: [Self; 4] = [Self::B, Self::H, Self::W, Self::Dw];

    /// The C type of an unsigned value of this size, such as `u32`.
    pub const fn unsigned_type(self) -> &'static str {
        match self {
            Self::B => "u8",
            Self::H => "u16",
            Self::W => "u32",
            Self::Dw => "u64",
        }
    }
}

impl NarrowSize {
    /// All sizes.
    pub const ALL: [Self; 3] = [Self::B, Self::H, Self::W];

    /// The C type of a signed value of this size, such as `s32`.
    pub const fn signed_type(self) -> &'static str {
        match self {
            Self::B => "s8",
            Self::H => "s16",
            Self::W => "s32",
        }
    }

    /// The C type of an unsigned value of this size, such as `u32`.
    pub const fn unsigned_type(self) -> &'static str {
        self.size().unsigned_type()
    }
}

/// A register as an operation of some width names it: `r3` or `w3`.
pub(crate) struct Named(pub(crate) Width, pub(crate) Reg);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(width, reg) = *self;
        let letter = match width {
            Width::W32 => 'w',
            Width::W64 => 'r',
        };
        write!(f, "{letter}{}", reg.number())
    }
}
