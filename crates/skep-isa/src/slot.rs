//! The decoder's view of one slot: its fields, each read with the check that it means something,
//! and the errors that say where it does not.

use crate::error::{DecodeError, Field};
use crate::opcode::BPF_X;
use crate::operand::Operand;
use crate::raw::{InsnIndex, RawInsn};
use crate::reg::Reg;

type Result<T, E = DecodeError> = std::result::Result<T, E>;

/// One slot and where it stands, for errors.
#[derive(Clone, Copy)]
pub(crate) struct Slot {
    pub(crate) index: InsnIndex,
    pub(crate) raw: RawInsn,
}

impl Slot {
    #[inline]
    pub(crate) fn dst(self) -> Result<Reg> {
        let register = self.raw.dst;
        Reg::new(register).ok_or_else(|| self.no_register(Field::Dst, register))
    }

    #[inline]
    pub(crate) fn src(self) -> Result<Reg> {
        let register = self.raw.src;
        Reg::new(register).ok_or_else(|| self.no_register(Field::Src, register))
    }

    /// The immediate or the source register, the other one being zero.
    #[inline]
    pub(crate) fn operand(self) -> Result<Operand> {
        if self.raw.opcode & BPF_X == 0 {
            self.src_is_zero()?;
            Ok(Operand::Imm(self.raw.imm))
        } else {
            self.imm_is_zero()?;
            Ok(Operand::Reg(self.src()?))
        }
    }

    /// The destination register, all else being zero.
    #[inline]
    pub(crate) fn only_dst(self) -> Result<Reg> {
        self.src_is_zero()?;
        self.offset_is_zero()?;
        self.imm_is_zero()?;
        self.dst()
    }

    #[inline]
    pub(crate) fn registers_are_zero(self) -> Result<()> {
        self.dst_is_zero()?;
        self.src_is_zero()
    }

    #[inline]
    pub(crate) fn dst_is_zero(self) -> Result<()> {
        self.is_zero(Field::Dst, i32::from(self.raw.dst))
    }

    #[inline]
    pub(crate) fn src_is_zero(self) -> Result<()> {
        self.is_zero(Field::Src, i32::from(self.raw.src))
    }

    #[inline]
    pub(crate) fn offset_is_zero(self) -> Result<()> {
        self.is_zero(Field::Offset, i32::from(self.raw.offset))
    }

    #[inline]
    pub(crate) fn imm_is_zero(self) -> Result<()> {
        self.is_zero(Field::Imm, self.raw.imm)
    }

    /// `value` is what `field` holds.
    #[inline]
    fn is_zero(self, field: Field, value: i32) -> Result<()> {
        if value == 0 {
            return Ok(());
        }
        Err(self.reserved(field, value))
    }

    #[cold]
    fn reserved(self, field: Field, value: i32) -> DecodeError {
        DecodeError::ReservedField {
            index: self.index,
            opcode: self.raw.opcode,
            field,
            value,
        }
    }

    #[cold]
    pub(crate) fn invalid(self, field: Field, expected: &'static str) -> DecodeError {
        DecodeError::InvalidField {
            index: self.index,
            opcode: self.raw.opcode,
            field,
            value: match field {
                Field::Opcode => i32::from(self.raw.opcode),
                Field::Dst => i32::from(self.raw.dst),
                Field::Src => i32::from(self.raw.src),
                Field::Offset => i32::from(self.raw.offset),
                Field::Imm => self.raw.imm,
            },
            expected,
        }
    }

    #[cold]
    pub(crate) fn unknown_opcode(self) -> DecodeError {
        DecodeError::UnknownOpcode {
            index: self.index,
            opcode: self.raw.opcode,
        }
    }

    #[cold]
    fn no_register(self, field: Field, register: u8) -> DecodeError {
        DecodeError::Register {
            index: self.index,
            opcode: self.raw.opcode,
            field,
            register,
        }
    }
}
