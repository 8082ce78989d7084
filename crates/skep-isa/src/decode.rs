//! From slots to typed instructions, as strict as the kernel: whatever a field can't mean here is
//! an error that names it. One match on the opcode, no allocation.

use crate::error::{DecodeError, Field};
use crate::insn::{CallTarget, Imm64, Insn};
use crate::opcode::*;
use crate::operand::{
    AluOp, ArenaCast, AtomicOp, ByteOrder, CompareOp, NarrowSize, Operand, SignExtension, Size,
    SwapWidth, Width,
};
use crate::raw::{InsnIndex, RawInsn};
use crate::reg::StackArg;
use crate::slot::Slot;

impl Insn {
    /// The instruction at the start of `slots`, and how many of them it takes (1 or 2). Errors
    /// call it instruction 0: see [`Insn::decode_at`] to have its place in a program.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn decode(slots: &[RawInsn]) -> Result<(Self, usize), DecodeError> {
        let insn = Self::decode_at(slots, InsnIndex(0))?;
        Ok((insn, insn.slots() as usize))
    }

    /// The instruction at `index` of `program`.
    ///
    /// # Errors
    /// See [`DecodeError`]; [`DecodeError::EndOfProgram`] if `program` is not that long.
    #[inline]
    pub fn decode_at(program: &[RawInsn], index: InsnIndex) -> Result<Self, DecodeError> {
        let rest = program.get(index.as_usize()..).unwrap_or_default();
        let (&raw, rest) = rest
            .split_first()
            .ok_or(DecodeError::EndOfProgram { index })?;
        Slot { index, raw }.decode(rest.first())
    }
}

/// The instructions of a program with their positions, in order.
///
/// After an error the iteration goes on with the next slot, so that the rest can be shown; whoever
/// wants only whole programs stops there. The iterator ends when the slots do.
///
/// ```
/// use skep_isa::{Endian, Insn, decode_program, decode_slots};
/// let bytes = [0x18, 1, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];
/// let slots = decode_slots(&bytes, Endian::Little)?;
/// let program = decode_program(&slots).collect::<Result<Vec<_>, _>>()?;
/// assert_eq!(program[1].0.0, 2); // the first instruction takes two slots
/// assert_eq!(program[1].1, Insn::Exit);
/// # Ok::<(), skep_isa::DecodeError>(())
/// ```
pub fn decode_program(program: &[RawInsn]) -> DecodeProgram<'_> {
    DecodeProgram {
        program,
        next: InsnIndex(0),
    }
}

/// The iterator of [`decode_program`].
#[derive(Clone, Debug)]
pub struct DecodeProgram<'a> {
    program: &'a [RawInsn],
    next: InsnIndex,
}

impl Iterator for DecodeProgram<'_> {
    type Item = Result<(InsnIndex, Insn), DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let index = self.next;
        if index.as_usize() >= self.program.len() {
            return None;
        }
        let (slots, item) = match Insn::decode_at(self.program, index) {
            Ok(insn) => (insn.slots(), Ok((index, insn))),
            Err(error) => (1, Err(error)),
        };
        self.next = InsnIndex(index.0.saturating_add(slots));
        Some(item)
    }
}

impl std::iter::FusedIterator for DecodeProgram<'_> {}

type Result<T, E = DecodeError> = std::result::Result<T, E>;

impl Slot {
    fn decode(self, second: Option<&RawInsn>) -> Result<Insn> {
        match self.raw.opcode & 0x07 {
            BPF_LD => self.ld(second),
            BPF_LDX => self.ldx(),
            BPF_ST => self.st(),
            BPF_STX => self.stx(),
            BPF_ALU => self.alu(Width::W32),
            BPF_JMP => self.jmp(),
            BPF_JMP32 => self.jmp32(),
            _ => self.alu(Width::W64),
        }
    }

    fn alu(self, width: Width) -> Result<Insn> {
        let op = match self.raw.opcode & 0xf0 {
            BPF_ADD => AluOp::Add,
            BPF_SUB => AluOp::Sub,
            BPF_MUL => AluOp::Mul,
            BPF_DIV => self.signed_if_offset_is_1(AluOp::Div, AluOp::SDiv)?,
            BPF_OR => AluOp::Or,
            BPF_AND => AluOp::And,
            BPF_LSH => AluOp::Lsh,
            BPF_RSH => AluOp::Rsh,
            BPF_MOD => self.signed_if_offset_is_1(AluOp::Mod, AluOp::SMod)?,
            BPF_XOR => AluOp::Xor,
            BPF_ARSH => AluOp::Arsh,
            BPF_MOV => return self.mov(width),
            BPF_NEG if self.raw.opcode & BPF_X == 0 => {
                self.src_is_zero()?;
                self.offset_is_zero()?;
                self.imm_is_zero()?;
                let dst = self.dst()?;
                return Ok(Insn::Neg { width, dst });
            }
            BPF_END => return self.byte_swap(width),
            _ => return Err(self.unknown_opcode()),
        };
        if op.offset() == 0 {
            self.offset_is_zero()?;
        }
        let (dst, src) = (self.dst()?, self.operand()?);
        Ok(Insn::Alu {
            width,
            op,
            dst,
            src,
        })
    }

    fn signed_if_offset_is_1(self, unsigned: AluOp, signed: AluOp) -> Result<AluOp> {
        match self.raw.offset {
            0 => Ok(unsigned),
            1 => Ok(signed),
            _ => Err(self.invalid(Field::Offset, "0, or 1 for a signed operation")),
        }
    }

    fn mov(self, width: Width) -> Result<Insn> {
        let dst = self.dst()?;
        if self.raw.opcode & BPF_X == 0 || self.raw.offset == 0 {
            self.offset_is_zero()?;
            let src = self.operand()?;
            return Ok(Insn::Mov { width, dst, src });
        }
        let src = self.src()?;
        if width == Width::W64 && self.raw.offset == BPF_ADDR_SPACE_CAST {
            let cast = [ArenaCast::ToKernel, ArenaCast::ToUser]
                .into_iter()
                .find(|cast| cast.imm() == self.raw.imm)
                .ok_or_else(|| self.invalid(Field::Imm, "0x1 or 0x10000, the address spaces"))?;
            return Ok(Insn::AddrSpaceCast { cast, dst, src });
        }
        let extension = u32::try_from(self.raw.offset)
            .ok()
            .and_then(|bits| SignExtension::new(bits, width))
            .ok_or_else(|| {
                let expected = match width {
                    Width::W32 => "0, or 8 or 16 bits to sign-extend",
                    Width::W64 => "0, 8, 16 or 32 bits to sign-extend, or 1 to cast",
                };
                self.invalid(Field::Offset, expected)
            })?;
        self.imm_is_zero()?;
        Ok(Insn::MovSx {
            extension,
            dst,
            src,
        })
    }

    fn byte_swap(self, class: Width) -> Result<Insn> {
        let order = match (class, self.raw.opcode & BPF_TO_BE) {
            (Width::W32, BPF_TO_LE) => ByteOrder::Little,
            (Width::W32, _) => ByteOrder::Big,
            (Width::W64, BPF_TO_LE) => ByteOrder::Swap,
            (Width::W64, _) => return Err(self.unknown_opcode()),
        };
        self.src_is_zero()?;
        self.offset_is_zero()?;
        let width = u32::try_from(self.raw.imm)
            .ok()
            .and_then(SwapWidth::new)
            .ok_or_else(|| self.invalid(Field::Imm, "16, 32 or 64 bits"))?;
        let dst = self.dst()?;
        Ok(Insn::ByteSwap { order, width, dst })
    }

    fn ld(self, second: Option<&RawInsn>) -> Result<Insn> {
        let mode = self.raw.opcode & 0xe0;
        let size = Size::from_opcode(self.raw.opcode);
        if mode == BPF_IMM && size == Size::Dw {
            return self.imm64(second);
        }
        let size = NarrowSize::try_from(size).map_err(|_| self.unknown_opcode())?;
        if mode != BPF_ABS && mode != BPF_IND {
            return Err(self.unknown_opcode());
        }
        self.dst_is_zero()?;
        self.offset_is_zero()?;
        let offset = self.raw.imm;
        if mode == BPF_ABS {
            self.src_is_zero()?;
            return Ok(Insn::LoadPacketAbs { size, offset });
        }
        let index = self.src()?;
        Ok(Insn::LoadPacketInd {
            size,
            index,
            offset,
        })
    }

    fn imm64(self, second: Option<&RawInsn>) -> Result<Insn> {
        let index = self.index;
        let second = second.ok_or(DecodeError::SecondHalfMissing { index })?;
        let malformed = |field, value| DecodeError::SecondHalfMalformed {
            index,
            field,
            value,
        };
        for (field, value) in [
            (Field::Opcode, i32::from(second.opcode)),
            (Field::Dst, i32::from(second.dst)),
            (Field::Src, i32::from(second.src)),
            (Field::Offset, i32::from(second.offset)),
        ] {
            if value != 0 {
                return Err(malformed(field, value));
            }
        }
        self.offset_is_zero()?;
        let dst = self.dst()?;
        let (low, high) = (self.raw.imm, second.imm);
        let no_high = || match high {
            0 => Ok(()),
            _ => Err(malformed(Field::Imm, high)),
        };
        let value = match self.raw.src {
            0 => {
                Imm64::Value(u64::from(high.cast_unsigned()) << 32 | u64::from(low.cast_unsigned()))
            }
            BPF_PSEUDO_MAP_FD => {
                no_high()?;
                Imm64::MapFd { fd: low }
            }
            BPF_PSEUDO_MAP_VALUE => Imm64::MapValue {
                fd: low,
                offset: high.cast_unsigned(),
            },
            BPF_PSEUDO_BTF_ID => Imm64::BtfId {
                id: low.cast_unsigned(),
                btf_fd: high,
            },
            BPF_PSEUDO_FUNC => {
                no_high()?;
                Imm64::Subprogram { offset: low }
            }
            BPF_PSEUDO_MAP_IDX => {
                no_high()?;
                Imm64::MapIndex { index: low }
            }
            BPF_PSEUDO_MAP_IDX_VALUE => Imm64::MapIndexValue {
                index: low,
                offset: high.cast_unsigned(),
            },
            _ => return Err(self.invalid(Field::Src, "0 to 6, the kinds of 64-bit immediates")),
        };
        Ok(Insn::LoadImm64 { dst, value })
    }

    fn ldx(self) -> Result<Insn> {
        let size = Size::from_opcode(self.raw.opcode);
        let offset = self.raw.offset;
        match self.raw.opcode & 0xe0 {
            BPF_MEM => {
                self.imm_is_zero()?;
                let dst = self.dst()?;
                if size == Size::Dw && self.raw.src == BPF_REG_PARAMS {
                    let arg = StackArg::from_load_offset(offset).ok_or_else(|| {
                        self.invalid(Field::Offset, "a positive multiple of 8 from r11")
                    })?;
                    return Ok(Insn::LoadStackArg { dst, arg });
                }
                let base = self.src()?;
                Ok(Insn::Load {
                    size,
                    dst,
                    base,
                    offset,
                })
            }
            BPF_MEMSX => {
                let size = NarrowSize::try_from(size).map_err(|_| self.unknown_opcode())?;
                self.imm_is_zero()?;
                let (dst, base) = (self.dst()?, self.src()?);
                Ok(Insn::LoadSigned {
                    size,
                    dst,
                    base,
                    offset,
                })
            }
            _ => Err(self.unknown_opcode()),
        }
    }

    fn st(self) -> Result<Insn> {
        if self.raw.opcode & 0xe0 != BPF_MEM {
            return Err(self.unknown_opcode());
        }
        self.src_is_zero()?;
        self.store(Operand::Imm(self.raw.imm))
    }

    fn stx(self) -> Result<Insn> {
        match self.raw.opcode & 0xe0 {
            BPF_MEM => {
                self.imm_is_zero()?;
                self.store(Operand::Reg(self.src()?))
            }
            BPF_ATOMIC => self.atomic(),
            _ => Err(self.unknown_opcode()),
        }
    }

    fn store(self, value: Operand) -> Result<Insn> {
        let size = Size::from_opcode(self.raw.opcode);
        let offset = self.raw.offset;
        if size == Size::Dw && self.raw.dst == BPF_REG_PARAMS {
            let arg = StackArg::from_store_offset(offset)
                .ok_or_else(|| self.invalid(Field::Offset, "a multiple of 8 below r11"))?;
            return Ok(Insn::StoreStackArg { arg, value });
        }
        let base = self.dst()?;
        Ok(Insn::Store {
            size,
            base,
            offset,
            value,
        })
    }

    fn atomic(self) -> Result<Insn> {
        let size = Size::from_opcode(self.raw.opcode);
        let offset = self.raw.offset;
        let (dst, src) = (self.dst()?, self.src()?);
        match self.raw.imm {
            BPF_LOAD_ACQ => {
                let base = src;
                return Ok(Insn::LoadAcquire {
                    size,
                    dst,
                    base,
                    offset,
                });
            }
            BPF_STORE_REL => {
                let base = dst;
                return Ok(Insn::StoreRelease {
                    size,
                    base,
                    offset,
                    src,
                });
            }
            _ => {}
        }
        let width = match size {
            Size::W => Width::W32,
            Size::Dw => Width::W64,
            Size::B | Size::H => {
                let expected = "0x100 (load_acquire) or 0x110 (store_release) at this size";
                return Err(self.invalid(Field::Imm, expected));
            }
        };
        let op = AtomicOp::from_imm(self.raw.imm)
            .ok_or_else(|| self.invalid(Field::Imm, "an atomic operation"))?;
        let base = dst;
        Ok(Insn::Atomic {
            width,
            op,
            base,
            offset,
            src,
        })
    }

    fn jmp(self) -> Result<Insn> {
        let offset = self.raw.offset;
        match self.raw.opcode & 0xf8 {
            // `BPF_JA | BPF_K`
            BPF_JA => {
                self.registers_are_zero()?;
                self.imm_is_zero()?;
                Ok(Insn::Jump { offset })
            }
            JA_X => {
                let target = self.only_dst()?;
                Ok(Insn::JumpIndirect { target })
            }
            BPF_CALL => self.call(),
            CALL_X => {
                let target = self.only_dst()?;
                Ok(Insn::Call(CallTarget::Register(target)))
            }
            BPF_EXIT => {
                self.registers_are_zero()?;
                self.offset_is_zero()?;
                self.imm_is_zero()?;
                Ok(Insn::Exit)
            }
            BPF_JCOND => {
                if self.raw.src != BPF_MAY_GOTO {
                    return Err(self.invalid(Field::Src, "0 (may_goto)"));
                }
                self.dst_is_zero()?;
                self.imm_is_zero()?;
                Ok(Insn::MayGoto { offset })
            }
            _ => self.jump_if(Width::W64),
        }
    }

    fn jmp32(self) -> Result<Insn> {
        if self.raw.opcode & 0xf8 == BPF_JA {
            self.registers_are_zero()?;
            self.offset_is_zero()?;
            let offset = self.raw.imm;
            return Ok(Insn::JumpLong { offset });
        }
        self.jump_if(Width::W32)
    }

    fn jump_if(self, width: Width) -> Result<Insn> {
        let op = match self.raw.opcode & 0xf0 {
            BPF_JEQ => CompareOp::Eq,
            BPF_JNE => CompareOp::Ne,
            BPF_JGT => CompareOp::Gt,
            BPF_JGE => CompareOp::Ge,
            BPF_JLT => CompareOp::Lt,
            BPF_JLE => CompareOp::Le,
            BPF_JSGT => CompareOp::SGt,
            BPF_JSGE => CompareOp::SGe,
            BPF_JSLT => CompareOp::SLt,
            BPF_JSLE => CompareOp::SLe,
            BPF_JSET => CompareOp::Set,
            _ => return Err(self.unknown_opcode()),
        };
        let (dst, src) = (self.dst()?, self.operand()?);
        let offset = self.raw.offset;
        Ok(Insn::JumpIf {
            width,
            op,
            dst,
            src,
            offset,
        })
    }

    fn call(self) -> Result<Insn> {
        self.dst_is_zero()?;
        let (imm, offset) = (self.raw.imm, self.raw.offset);
        let target = match self.raw.src {
            0 => CallTarget::Helper(imm.cast_unsigned()),
            BPF_PSEUDO_CALL => CallTarget::Subprogram { offset: imm },
            BPF_PSEUDO_KFUNC_CALL => {
                return Ok(Insn::Call(CallTarget::Kfunc {
                    btf_id: imm.cast_unsigned(),
                    fd_index: offset,
                }));
            }
            _ => {
                let expected = "0 (helper), 1 (subprogram) or 2 (kfunc)";
                return Err(self.invalid(Field::Src, expected));
            }
        };
        self.offset_is_zero()?;
        Ok(Insn::Call(target))
    }
}

const JA_X: u8 = BPF_JA | BPF_X;
const CALL_X: u8 = BPF_CALL | BPF_X;
