//! What instructions are made of beside registers: operands, sizes and operations, each type
//! holding exactly the values that some instruction can encode, so that encoding can't fail.

use crate::opcode::*;
use crate::reg::Reg;

/// The second operand of arithmetic, moves and comparisons, and what a store stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operand {
    /// A register.
    #[doc(alias = "BPF_X")]
    Reg(Reg),
    /// A constant, sign-extended where the operation is 64 bits wide.
    #[doc(alias = "BPF_K")]
    Imm(i32),
}

impl From<Reg> for Operand {
    fn from(reg: Reg) -> Self {
        Self::Reg(reg)
    }
}

impl From<i32> for Operand {
    fn from(imm: i32) -> Self {
        Self::Imm(imm)
    }
}

/// How much of its registers an operation uses. A 32-bit result clears the upper half.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Width {
    /// The lower 32 bits, `w0` to `w10` in text.
    W32,
    /// All 64 bits.
    W64,
}

impl Width {
    /// The width in bits.
    pub const fn bits(self) -> u32 {
        match self {
            Self::W32 => 32,
            Self::W64 => 64,
        }
    }

    /// The memory size of this width.
    pub const fn size(self) -> Size {
        match self {
            Self::W32 => Size::W,
            Self::W64 => Size::Dw,
        }
    }

    pub(crate) const fn alu_class(self) -> u8 {
        match self {
            Self::W32 => BPF_ALU,
            Self::W64 => BPF_ALU64,
        }
    }

    pub(crate) const fn jump_class(self) -> u8 {
        match self {
            Self::W32 => BPF_JMP32,
            Self::W64 => BPF_JMP,
        }
    }
}

/// The size of a memory access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Size {
    /// 1 byte.
    #[doc(alias = "BPF_B")]
    B,
    /// 2 bytes.
    #[doc(alias = "BPF_H")]
    H,
    /// 4 bytes.
    #[doc(alias = "BPF_W")]
    W,
    /// 8 bytes.
    #[doc(alias = "BPF_DW")]
    Dw,
}

impl Size {
    /// The size in bytes.
    pub const fn bytes(self) -> u32 {
        match self {
            Self::B => 1,
            Self::H => 2,
            Self::W => 4,
            Self::Dw => 8,
        }
    }

    pub(crate) const fn from_opcode(opcode: u8) -> Self {
        match opcode & 0x18 {
            BPF_B => Self::B,
            BPF_H => Self::H,
            BPF_W => Self::W,
            _ => Self::Dw,
        }
    }

    pub(crate) const fn bits_in_opcode(self) -> u8 {
        match self {
            Self::B => BPF_B,
            Self::H => BPF_H,
            Self::W => BPF_W,
            Self::Dw => BPF_DW,
        }
    }
}

/// The size of an access that has no 8-byte form: sign-extending and legacy packet loads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NarrowSize {
    /// 1 byte.
    B,
    /// 2 bytes.
    H,
    /// 4 bytes.
    W,
}

impl NarrowSize {
    /// The size in bytes.
    pub const fn bytes(self) -> u32 {
        self.size().bytes()
    }

    /// This size as a [`Size`].
    pub const fn size(self) -> Size {
        match self {
            Self::B => Size::B,
            Self::H => Size::H,
            Self::W => Size::W,
        }
    }
}

impl TryFrom<Size> for NarrowSize {
    type Error = Size;

    /// Gives the size back if it is 8 bytes.
    fn try_from(size: Size) -> Result<Self, Size> {
        match size {
            Size::B => Ok(Self::B),
            Size::H => Ok(Self::H),
            Size::W => Ok(Self::W),
            Size::Dw => Err(size),
        }
    }
}

/// An arithmetic operation on two operands, RFC 9669 section 4.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AluOp {
    /// Addition.
    #[doc(alias = "BPF_ADD")]
    Add,
    /// Subtraction.
    #[doc(alias = "BPF_SUB")]
    Sub,
    /// Multiplication.
    #[doc(alias = "BPF_MUL")]
    Mul,
    /// Unsigned division; by a register that is 0, the result is 0.
    #[doc(alias = "BPF_DIV")]
    Div,
    /// Signed division, towards zero (Linux 6.6).
    #[doc(alias = "BPF_SDIV")]
    SDiv,
    /// Unsigned remainder; by a register that is 0, the dividend stays.
    #[doc(alias = "BPF_MOD")]
    Mod,
    /// Signed remainder, with the dividend's sign (Linux 6.6).
    #[doc(alias = "BPF_SMOD")]
    SMod,
    /// Bitwise or.
    #[doc(alias = "BPF_OR")]
    Or,
    /// Bitwise and.
    #[doc(alias = "BPF_AND")]
    And,
    /// Bitwise exclusive or.
    #[doc(alias = "BPF_XOR")]
    Xor,
    /// Left shift.
    #[doc(alias = "BPF_LSH")]
    Lsh,
    /// Logical right shift.
    #[doc(alias = "BPF_RSH")]
    Rsh,
    /// Arithmetic right shift.
    #[doc(alias = "BPF_ARSH")]
    Arsh,
}

impl AluOp {
    pub(crate) const fn bits_in_opcode(self) -> u8 {
        match self {
            Self::Add => BPF_ADD,
            Self::Sub => BPF_SUB,
            Self::Mul => BPF_MUL,
            Self::Div | Self::SDiv => BPF_DIV,
            Self::Mod | Self::SMod => BPF_MOD,
            Self::Or => BPF_OR,
            Self::And => BPF_AND,
            Self::Xor => BPF_XOR,
            Self::Lsh => BPF_LSH,
            Self::Rsh => BPF_RSH,
            Self::Arsh => BPF_ARSH,
        }
    }

    /// The offset field: 1 makes a division signed.
    pub(crate) const fn offset(self) -> i16 {
        match self {
            Self::SDiv | Self::SMod => 1,
            _ => 0,
        }
    }
}

/// A sign-extending move (Linux 6.6): from how many bits, to how many. A move to 32 bits clears
/// the upper half.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignExtension {
    /// 8 bits to 32.
    S8To32,
    /// 16 bits to 32.
    S16To32,
    /// 8 bits to 64.
    S8To64,
    /// 16 bits to 64.
    S16To64,
    /// 32 bits to 64.
    S32To64,
}

impl SignExtension {
    /// The extension from `bits` (8, 16 or 32) to `width`; `None` if there is none.
    pub const fn new(bits: u32, width: Width) -> Option<Self> {
        Some(match (bits, width) {
            (8, Width::W32) => Self::S8To32,
            (16, Width::W32) => Self::S16To32,
            (8, Width::W64) => Self::S8To64,
            (16, Width::W64) => Self::S16To64,
            (32, Width::W64) => Self::S32To64,
            _ => return None,
        })
    }

    /// How many of the source's low bits are read.
    pub const fn bits(self) -> u32 {
        match self {
            Self::S8To32 | Self::S8To64 => 8,
            Self::S16To32 | Self::S16To64 => 16,
            Self::S32To64 => 32,
        }
    }

    /// How wide the result is.
    pub const fn width(self) -> Width {
        match self {
            Self::S8To32 | Self::S16To32 => Width::W32,
            Self::S8To64 | Self::S16To64 | Self::S32To64 => Width::W64,
        }
    }
}

/// What becomes of a value's bytes in [`Insn::ByteSwap`](crate::Insn::ByteSwap).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ByteOrder {
    /// To or from little endian: swapped on big-endian machines only.
    #[doc(alias = "BPF_TO_LE")]
    Little,
    /// To or from big endian: swapped on little-endian machines only.
    #[doc(alias = "BPF_TO_BE")]
    Big,
    /// Swapped on every machine (Linux 6.6).
    Swap,
}

/// How much of a register a byte swap keeps; the rest is cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum SwapWidth {
    Bits16,
    Bits32,
    Bits64,
}

impl SwapWidth {
    /// The width of 16, 32 or 64 bits; `None` for others.
    pub const fn new(bits: u32) -> Option<Self> {
        Some(match bits {
            16 => Self::Bits16,
            32 => Self::Bits32,
            64 => Self::Bits64,
            _ => return None,
        })
    }

    /// The width in bits.
    pub const fn bits(self) -> u32 {
        match self {
            Self::Bits16 => 16,
            Self::Bits32 => 32,
            Self::Bits64 => 64,
        }
    }
}

/// The direction of a cast between address spaces (Linux 6.9). Space 0 is the kernel's, space 1
/// an arena, whose pointers are those of user space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[doc(alias = "BPF_ADDR_SPACE_CAST")]
pub enum ArenaCast {
    /// From an arena's user-space address to the kernel's: `addr_space_cast(r, 0, 1)`.
    ToKernel,
    /// From the kernel's address to an arena's user-space one: `addr_space_cast(r, 1, 0)`.
    ToUser,
}

impl ArenaCast {
    /// The immediate: the new space in the upper half, the old one in the lower.
    pub(crate) const fn imm(self) -> i32 {
        match self {
            Self::ToKernel => 1,
            Self::ToUser => 1 << 16,
        }
    }
}

/// An atomic read-modify-write of memory, RFC 9669 section 5.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(
    missing_docs,
    reason = "the names say it, with the meaning of `fetch` below"
)]
pub enum AtomicOp {
    #[doc(alias = "BPF_XADD")]
    Add {
        fetch: bool,
    },
    Or {
        fetch: bool,
    },
    And {
        fetch: bool,
    },
    Xor {
        fetch: bool,
    },
    /// Stores the source register and puts the old value into it.
    #[doc(alias = "BPF_XCHG")]
    Xchg,
    /// Stores the source register if memory equals `r0`; puts the old value into `r0`.
    #[doc(alias = "BPF_CMPXCHG")]
    CmpXchg,
}

impl AtomicOp {
    /// The operation that this immediate selects.
    pub const fn from_imm(imm: i32) -> Option<Self> {
        let fetch = imm & BPF_FETCH != 0;
        Some(match imm {
            BPF_XCHG => Self::Xchg,
            BPF_CMPXCHG => Self::CmpXchg,
            0x00 | 0x01 => Self::Add { fetch },
            0x40 | 0x41 => Self::Or { fetch },
            0x50 | 0x51 => Self::And { fetch },
            0xa0 | 0xa1 => Self::Xor { fetch },
            _ => return None,
        })
    }

    /// The immediate that selects this operation.
    pub const fn imm(self) -> i32 {
        let (op, fetch) = match self {
            Self::Add { fetch } => (BPF_ADD, fetch),
            Self::Or { fetch } => (BPF_OR, fetch),
            Self::And { fetch } => (BPF_AND, fetch),
            Self::Xor { fetch } => (BPF_XOR, fetch),
            Self::Xchg => return BPF_XCHG,
            Self::CmpXchg => return BPF_CMPXCHG,
        };
        op as i32 | if fetch { BPF_FETCH } else { 0 }
    }

    /// Whether the old value comes back: in the source register, or in `r0` for
    /// [`AtomicOp::CmpXchg`]. All that do are new in Linux 5.12.
    pub const fn fetches(self) -> bool {
        match self {
            Self::Add { fetch }
            | Self::Or { fetch }
            | Self::And { fetch }
            | Self::Xor { fetch } => fetch,
            Self::Xchg | Self::CmpXchg => true,
        }
    }
}

/// The comparison of a conditional jump, RFC 9669 section 4.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CompareOp {
    /// Equal.
    #[doc(alias = "BPF_JEQ")]
    Eq,
    /// Not equal.
    #[doc(alias = "BPF_JNE")]
    Ne,
    /// Unsigned greater.
    #[doc(alias = "BPF_JGT")]
    Gt,
    /// Unsigned greater or equal.
    #[doc(alias = "BPF_JGE")]
    Ge,
    /// Unsigned less.
    #[doc(alias = "BPF_JLT")]
    Lt,
    /// Unsigned less or equal.
    #[doc(alias = "BPF_JLE")]
    Le,
    /// Signed greater.
    #[doc(alias = "BPF_JSGT")]
    SGt,
    /// Signed greater or equal.
    #[doc(alias = "BPF_JSGE")]
    SGe,
    /// Signed less.
    #[doc(alias = "BPF_JSLT")]
    SLt,
    /// Signed less or equal.
    #[doc(alias = "BPF_JSLE")]
    SLe,
    /// Any common bit set.
    #[doc(alias = "BPF_JSET")]
    Set,
}

impl CompareOp {
    pub(crate) const fn bits_in_opcode(self) -> u8 {
        match self {
            Self::Eq => BPF_JEQ,
            Self::Ne => BPF_JNE,
            Self::Gt => BPF_JGT,
            Self::Ge => BPF_JGE,
            Self::Lt => BPF_JLT,
            Self::Le => BPF_JLE,
            Self::SGt => BPF_JSGT,
            Self::SGe => BPF_JSGE,
            Self::SLt => BPF_JSLT,
            Self::SLe => BPF_JSLE,
            Self::Set => BPF_JSET,
        }
    }
}
