//! The 8-byte slot as it stands in a file or in the kernel's memory, in either byte order, and
//! the type of its position in a program.

use std::fmt;

use crate::error::DecodeError;

/// An order of bytes: that of the machine that runs a program, and of what is made for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endian {
    /// Least significant byte first (`bpfel`).
    Little,
    /// Most significant byte first (`bpfeb`).
    Big,
}

impl Endian {
    /// The byte order of the machine this code was compiled for.
    pub const NATIVE: Self = if cfg!(target_endian = "big") {
        Self::Big
    } else {
        Self::Little
    };

    /// The number that four bytes in this order are.
    #[inline]
    pub const fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }
}

/// A position in a program, counted in 8-byte slots from its start (so `ld_imm64` moves it by
/// two). The kernel calls it an instruction index or `insn_off`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InsnIndex(pub u32);

impl InsnIndex {
    /// The position `offset` slots after the slot that follows this one: how jumps and calls
    /// count. `None` if that is before the start or does not fit.
    ///
    /// ```
    /// use skep_isa::InsnIndex;
    /// assert_eq!(InsnIndex(4).relative(-2), Some(InsnIndex(3)));
    /// assert_eq!(InsnIndex(0).relative(-2), None);
    /// ```
    pub fn relative(self, offset: i32) -> Option<Self> {
        self.0.checked_add(1)?.checked_add_signed(offset).map(Self)
    }

    /// This position as an index into a slice of slots.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl From<u32> for InsnIndex {
    fn from(slot: u32) -> Self {
        Self(slot)
    }
}

impl fmt::Display for InsnIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One 8-byte slot: uapi `struct bpf_insn`, RFC 9669 section 3.
///
/// Any value of the fields is allowed; what they mean is for [`Insn::decode`](crate::Insn::decode).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[doc(alias = "bpf_insn")]
pub struct RawInsn {
    /// The operation: class, and what the class divides it into. See [`crate::opcode`].
    pub opcode: u8,
    /// The destination register's number; 4 bits, the upper ones are dropped in bytes.
    pub dst: u8,
    /// The source register's number, or a kind of immediate; 4 bits.
    pub src: u8,
    /// A displacement in bytes (memory) or slots (jumps), or a variant of the operation.
    pub offset: i16,
    /// The immediate value.
    pub imm: i32,
}

impl RawInsn {
    /// Bytes in a slot.
    pub const SIZE: usize = 8;

    /// The slot's bytes on a machine of byte order `endian`.
    pub const fn to_bytes(self, endian: Endian) -> [u8; Self::SIZE] {
        let (low, high, offset, imm) = match endian {
            Endian::Little => (
                self.dst,
                self.src,
                self.offset.to_le_bytes(),
                self.imm.to_le_bytes(),
            ),
            Endian::Big => (
                self.src,
                self.dst,
                self.offset.to_be_bytes(),
                self.imm.to_be_bytes(),
            ),
        };
        let registers = (high & 0xf) << 4 | (low & 0xf);
        let ([o0, o1], [i0, i1, i2, i3]) = (offset, imm);
        [self.opcode, registers, o0, o1, i0, i1, i2, i3]
    }

    /// The slot of these bytes, read as a machine of byte order `endian` does.
    pub const fn from_bytes(bytes: [u8; Self::SIZE], endian: Endian) -> Self {
        let [opcode, registers, o0, o1, i0, i1, i2, i3] = bytes;
        let (low, high) = (registers & 0xf, registers >> 4);
        match endian {
            Endian::Little => Self {
                opcode,
                dst: low,
                src: high,
                offset: i16::from_le_bytes([o0, o1]),
                imm: i32::from_le_bytes([i0, i1, i2, i3]),
            },
            Endian::Big => Self {
                opcode,
                dst: high,
                src: low,
                offset: i16::from_be_bytes([o0, o1]),
                imm: i32::from_be_bytes([i0, i1, i2, i3]),
            },
        }
    }
}

/// Splits a program's bytes into slots.
///
/// # Errors
/// [`DecodeError::PartialSlot`] if the length is no multiple of 8.
pub fn decode_slots(bytes: &[u8], endian: Endian) -> Result<Vec<RawInsn>, DecodeError> {
    let (slots, rest) = bytes.as_chunks::<{ RawInsn::SIZE }>();
    if !rest.is_empty() {
        return Err(DecodeError::PartialSlot {
            offset: bytes.len().saturating_sub(rest.len()),
            len: rest.len(),
        });
    }
    Ok(slots
        .iter()
        .map(|slot| RawInsn::from_bytes(*slot, endian))
        .collect())
}

/// A program's bytes, slot by slot: the inverse of [`decode_slots`].
pub fn encode_slots(slots: &[RawInsn], endian: Endian) -> Vec<u8> {
    slots
        .iter()
        .flat_map(|slot| slot.to_bytes(endian))
        .collect()
}
