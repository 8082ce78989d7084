//! That a member fits into its structure, at its place and by its width.

use super::resolve::Resolver;
use super::{Fault, Part};
use crate::{Int, Kind, Member, Type};

/// A member's place: where it begins, in bits, and how long its structure is, in bytes.
struct Slot {
    of: Part,
    start: u32,
    /// Bits of a bit field, or 0.
    width: u32,
    /// Whether bit fields of the structure are written so, and not as integers of fewer bits.
    flag: bool,
    size: u32,
}

/// Checks one member of a structure or union, whose types have been followed.
pub(super) fn check(
    resolver: &Resolver<'_>,
    of: Part,
    composite: Type<'_>,
    member: &Member<'_>,
) -> Result<(), Fault> {
    let wrong = || of.target(member.type_id);
    let (found, bytes) = resolver.sized(member.type_id).ok_or_else(wrong)?;
    let slot = Slot {
        of,
        start: member.bit_offset,
        width: member.bitfield_size.into(),
        flag: composite.flag(),
        size: composite.third(),
    };
    match found.kind() {
        Kind::Int(int) if slot.flag => slot.bit_field(int),
        Kind::Int(int) => slot.old_bit_field(int),
        Kind::Enum(_) | Kind::Enum64(_) if slot.flag => slot.enumeration(),
        Kind::Float { size } => slot.float(size),
        Kind::DataSection(_) => Err(wrong()),
        _ => slot.bytes(bytes),
    }
}

/// Whether an integer is one that C has: 1, 2, 4, 8 or 16 whole bytes.
pub(super) fn is_regular(int: Int) -> bool {
    int.offset == 0 && matches!(int.bits, 8 | 16 | 32 | 64 | 128)
}

impl Slot {
    /// Of a pointer, an array, a structure, or an enumeration that is no bit field.
    fn bytes(&self, bytes: u32) -> Result<(), Fault> {
        if self.width != 0 {
            return Err(self.width());
        }
        let whole = self.start.is_multiple_of(8);
        let left = self.size.checked_sub(self.start / 8);
        match left {
            Some(left) if whole && left >= bytes => Ok(()),
            _ => Err(self.position()),
        }
    }

    /// It must be aligned as well as any machine wants it.
    fn float(&self, bytes: u32) -> Result<(), Fault> {
        let aligned = self.start.checked_rem(bytes.min(8).saturating_mul(8)) == Some(0);
        match aligned {
            true => self.bytes(bytes),
            false => Err(self.position()),
        }
    }

    fn bit_field(&self, int: Int) -> Result<(), Fault> {
        let bits = u32::from(int.bits);
        if !is_regular(int) || self.width > bits {
            return Err(self.width());
        }
        match self.width {
            0 if !self.start.is_multiple_of(8) => Err(self.position()),
            0 => self.bits(self.start, bits),
            width => self.bits(self.start, width),
        }
    }

    fn old_bit_field(&self, int: Int) -> Result<(), Fault> {
        let start = self.start.checked_add(int.offset.into());
        let start = start.ok_or_else(|| self.position())?;
        self.bits(start, int.bits.into())
    }

    /// With `kind_flag`, an enumeration counts for 32 bits, whatever its size.
    fn enumeration(&self) -> Result<(), Fault> {
        let width = match self.width {
            0 if !self.start.is_multiple_of(8) => return Err(self.position()),
            0 => 32,
            width @ ..=32 => width,
            _ => return Err(self.width()),
        };
        match self.start.saturating_add(width).div_ceil(8) <= self.size {
            true => Ok(()),
            false => Err(self.position()),
        }
    }

    /// Some bits, which are read as one number of at most 128, from a whole byte on.
    fn bits(&self, start: u32, bits: u32) -> Result<(), Fault> {
        let read = bits.saturating_add(start % 8);
        let left = self.size.checked_sub(start / 8);
        match left {
            Some(left) if read <= 128 && left >= read.div_ceil(8) => Ok(()),
            _ => Err(self.position()),
        }
    }

    fn position(&self) -> Fault {
        Fault::Position { of: self.of }
    }

    fn width(&self) -> Fault {
        Fault::Width { of: self.of }
    }
}
