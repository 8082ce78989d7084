//! One line of assembly text, without its labels, to one instruction: recursive descent over the
//! line's tokens.

use super::Line;
use super::cursor::{
    Cursor, I16, I32, LabelUse, MemoryType, Number, Result, U32, parse_atomic, parse_byte_swap,
    parse_register,
};
use super::lexer::{Token, TokenKind};
use crate::insn::{CallTarget, Imm64, Insn};
use crate::opcode::BPF_REG_PARAMS;
use crate::operand::{
    AluOp, ArenaCast, AtomicOp, CompareOp, NarrowSize, Operand, SignExtension, Size, Width,
};
use crate::reg::{Reg, StackArg};

/// An instruction, and the label that is to become its offset.
type Parsed<'a> = (Insn, Option<LabelUse<'a>>);

/// The instruction of a whole line.
pub(super) fn statement<'a>(line: Line<'a>, tokens: &[Token<'a>]) -> Result<Parsed<'a>> {
    let mut cursor = Cursor::new(line, tokens);
    let parsed = cursor.instruction()?;
    // llvm-objdump names a jump's target after it.
    let is_jump = parsed.0.is_jump() || parsed.0.is_call_to_subprogram();
    if cursor.tokens.is_empty() || (is_jump && cursor.symbol("<")) {
        return Ok(parsed);
    }
    Err(cursor.expected("the end of the instruction"))
}

impl<'a> Cursor<'a, '_> {
    fn instruction(&mut self) -> Result<Parsed<'a>> {
        if matches!(self.kind(), Some(TokenKind::Symbol("*"))) {
            return Ok((self.store()?, None));
        }
        if let Some((width, dst)) = self.register() {
            return self.assignment(width, dst);
        }
        let at = self.at();
        let insn = match self.word() {
            Some("exit") => Insn::Exit,
            Some("goto") => return self.jump(Insn::Jump { offset: 0 }),
            Some("gotol") => return self.jump(Insn::JumpLong { offset: 0 }),
            Some("may_goto") => return self.jump(Insn::MayGoto { offset: 0 }),
            Some("gotox") => Insn::JumpIndirect {
                target: self.expect_register(Width::W64)?,
            },
            Some("if") => return self.jump_if(),
            Some("call") => return self.call(),
            Some("callx") => Insn::Call(CallTarget::Register(self.expect_register(Width::W64)?)),
            Some("lock") => self.lock()?,
            Some("store_release") => self.store_release()?,
            _ => return Err(self.expected_at(at, "an instruction")),
        };
        Ok((insn, None))
    }

    fn jump(&mut self, insn: Insn) -> Result<Parsed<'a>> {
        let target = self.target()?;
        let (what, bounds) = match insn {
            Insn::JumpLong { .. } => ("a 32-bit jump offset", I32),
            _ => ("a 16-bit jump offset", I16),
        };
        let offset: i32 = self.in_range(target.offset, what, bounds)?;
        let insn = insn.with_relative_offset(offset).unwrap_or(insn);
        Ok((insn, target.label))
    }

    fn jump_if(&mut self) -> Result<Parsed<'a>> {
        let Some((width, dst)) = self.register() else {
            return Err(self.expected("a register to compare"));
        };
        let op = CompareOp::ALL
            .into_iter()
            .find(|op| self.symbol(op.symbol()))
            .ok_or_else(|| self.expected("a comparison"))?;
        let src = self.operand(width)?;
        self.expect_word("goto")?;
        let offset = 0;
        self.jump(Insn::JumpIf {
            width,
            op,
            dst,
            src,
            offset,
        })
    }

    fn call(&mut self) -> Result<Parsed<'a>> {
        if let Some(number) = self.number() {
            let id = self.imm32(number)?.cast_unsigned();
            return Ok((Insn::Call(CallTarget::Helper(id)), None));
        }
        if let [first, second, third, ..] = self.tokens
            && (first.text, second.text, third.text) == ("kernel", "-", "function")
        {
            self.skip(3);
            self.expect_symbol("#")?;
            let number = self.expect_number("a BTF id")?;
            let btf_id = self.imm32(number)?.cast_unsigned();
            let fd_index = if self.symbol("[") {
                self.expect_word("fd_idx")?;
                self.expect_symbol(":")?;
                let index = self.expect_number("an index")?;
                self.expect_symbol("]")?;
                self.in_range(index, "an index into fd_array", I16)?
            } else {
                0
            };
            return Ok((Insn::Call(CallTarget::Kfunc { btf_id, fd_index }), None));
        }
        if let [name, hash, ..] = self.tokens
            && matches!(name.kind, TokenKind::Word(_))
            && hash.text == "#"
        {
            self.skip(2);
            let number = self.expect_number("the helper's number")?;
            let id = self.imm32(number)?.cast_unsigned();
            return Ok((Insn::Call(CallTarget::Helper(id)), None));
        }
        if self.tokens.is_empty() {
            return Err(self.expected("a helper, `pc` and an offset, or a label"));
        }
        let target = self.target()?;
        let offset = self.long_offset(&target)?;
        self.skip_name();
        let insn = Insn::Call(CallTarget::Subprogram { offset });
        Ok((insn, target.label))
    }

    /// `#name`, which only people read.
    fn skip_name(&mut self) {
        if self.symbol("#") {
            let _ = self.word();
        }
    }

    fn lock(&mut self) -> Result<Insn> {
        self.expect_symbol("*")?;
        let memory = self.memory()?;
        let op = AtomicOp::ALL
            .into_iter()
            .find(|op| !op.fetches() && self.symbol(op.symbol()))
            .ok_or_else(|| self.expected("`+=`, `|=`, `&=` or `^=`"))?;
        let width = self.atomic_width(&memory)?;
        let src = self.register_for(width.size())?;
        let (base, offset) = (self.base(&memory)?, memory.offset);
        Ok(Insn::Atomic {
            width,
            op,
            base,
            offset,
            src,
        })
    }

    fn store(&mut self) -> Result<Insn> {
        self.expect_symbol("*")?;
        let memory = self.memory()?;
        let size = self.unsigned(&memory)?;
        self.expect_symbol("=")?;
        let value = match self.number() {
            Some(number) => Operand::Imm(self.imm32(number)?),
            None => Operand::Reg(self.register_for(size)?),
        };
        if memory.base == BPF_REG_PARAMS && size == Size::Dw {
            let arg = StackArg::from_store_offset(memory.offset)
                .ok_or_else(|| self.stack_argument(&memory, "a negative multiple of 8"))?;
            return Ok(Insn::StoreStackArg { arg, value });
        }
        let (base, offset) = (self.base(&memory)?, memory.offset);
        Ok(Insn::Store {
            size,
            base,
            offset,
            value,
        })
    }

    fn store_release(&mut self) -> Result<Insn> {
        self.expect_symbol("(")?;
        let memory = self.memory()?;
        let size = self.unsigned(&memory)?;
        self.expect_symbol(",")?;
        let src = self.register_for(size)?;
        self.expect_symbol(")")?;
        let (base, offset) = (self.base(&memory)?, memory.offset);
        Ok(Insn::StoreRelease {
            size,
            base,
            offset,
            src,
        })
    }

    fn assignment(&mut self, width: Width, dst: Reg) -> Result<Parsed<'a>> {
        if let Some(op) = AluOp::ALL.into_iter().find(|op| self.symbol(op.symbol())) {
            let src = self.operand(width)?;
            let insn = Insn::Alu {
                width,
                op,
                dst,
                src,
            };
            return Ok((insn, None));
        }
        if !self.symbol("=") {
            return Err(self.expected("`=` or an operator such as `+=`"));
        }
        if let [minus, register, ..] = self.tokens
            && minus.text == "-"
            && parse_register(register.text).is_some()
        {
            let _ = self.symbol("-");
            self.same_register(width, dst)?;
            return Ok((Insn::Neg { width, dst }, None));
        }
        if let Some(number) = self.number() {
            return Ok((self.assign_number(width, dst, number)?, None));
        }
        if let Some(src) = self.register_if(width) {
            let src = Operand::Reg(src);
            return Ok((Insn::Mov { width, dst, src }, None));
        }
        if self.symbol("(") {
            return Ok((self.sign_extension(width, dst)?, None));
        }
        if self.symbol("*") {
            return Ok((self.load(width, dst)?, None));
        }
        self.assign_word(width, dst)
    }

    fn assign_number(&mut self, width: Width, dst: Reg, number: Number) -> Result<Insn> {
        let at = self.at();
        if !self.is_word("ll") {
            let src = Operand::Imm(self.imm32(number)?);
            return Ok(Insn::Mov { width, dst, src });
        }
        self.only_wide(width, at)?;
        // Signed or unsigned: the value's 64 bits.
        let value = match u64::try_from(number.value) {
            Ok(value) => value,
            Err(_) => {
                let signed = self.in_range::<i64>(number, "a 64-bit number", (i64::MIN, i64::MAX));
                signed?.cast_unsigned()
            }
        };
        let value = Imm64::Value(value);
        Ok(Insn::LoadImm64 { dst, value })
    }

    fn sign_extension(&mut self, width: Width, dst: Reg) -> Result<Insn> {
        let at = self.at();
        let bits = match self.word() {
            Some("s8") => 8,
            Some("s16") => 16,
            Some("s32") => 32,
            _ => 0,
        };
        let extension = SignExtension::new(bits, width).ok_or_else(|| {
            self.expected_at(at, "`s8` or `s16`, or `s32` into a 64-bit register")
        })?;
        self.expect_symbol(")")?;
        let src = self.expect_register(width)?;
        Ok(Insn::MovSx {
            extension,
            dst,
            src,
        })
    }

    fn load(&mut self, width: Width, dst: Reg) -> Result<Insn> {
        if let Some(insn) = self.packet_load(width, dst)? {
            return Ok(insn);
        }
        let at = self.at();
        let memory = self.memory()?;
        let offset = memory.offset;
        match memory.ty {
            MemoryType::Signed(size) => {
                self.only_wide(width, at)?;
                let base = self.base(&memory)?;
                Ok(Insn::LoadSigned {
                    size,
                    dst,
                    base,
                    offset,
                })
            }
            MemoryType::Unsigned(size) => {
                self.wide_enough(width, size, at)?;
                if memory.base == BPF_REG_PARAMS && size == Size::Dw {
                    let arg = StackArg::from_load_offset(offset)
                        .ok_or_else(|| self.stack_argument(&memory, "a positive multiple of 8"))?;
                    return Ok(Insn::LoadStackArg { dst, arg });
                }
                let base = self.base(&memory)?;
                Ok(Insn::Load {
                    size,
                    dst,
                    base,
                    offset,
                })
            }
        }
    }

    /// `(u8 *)skb[..]`, if that is what follows.
    fn packet_load(&mut self, width: Width, dst: Reg) -> Result<Option<Insn>> {
        let [_, _, _, _, skb, ..] = self.tokens else {
            return Ok(None);
        };
        if skb.text != "skb" {
            return Ok(None);
        }
        let at = self.at();
        if (width, dst) != (Width::W64, Reg::R0) {
            return Err(self.expected_at(at, "packet loads only into r0, not this"));
        }
        let ty = self.pointer_type()?;
        let size = match ty {
            MemoryType::Unsigned(size) => NarrowSize::try_from(size).ok(),
            MemoryType::Signed(_) => None,
        };
        let size = size.ok_or_else(|| self.expected_at(at, "a packet load of u8, u16 or u32"))?;
        self.expect_word("skb")?;
        self.expect_symbol("[")?;
        let index = self.register_if(Width::W64);
        let number = match index {
            // `skb[r1 + 4]`, and `skb[r1]` for LLVM
            Some(_) if !self.symbol("+") => self.number(),
            _ => Some(self.expect_number("an offset in the packet")?),
        };
        let offset = number.map_or(Ok(0), |number| self.imm32(number))?;
        self.expect_symbol("]")?;
        Ok(Some(match index {
            Some(index) => Insn::LoadPacketInd {
                size,
                index,
                offset,
            },
            None => Insn::LoadPacketAbs { size, offset },
        }))
    }

    /// What begins with a word on the right: byte swaps, atomics, casts, addresses.
    fn assign_word(&mut self, width: Width, dst: Reg) -> Result<Parsed<'a>> {
        let at = self.at();
        let word = self.word().unwrap_or_default();
        if let Some((order, bits)) = parse_byte_swap(word) {
            self.only_wide(width, at)?;
            self.same_register(width, dst)?;
            let width = bits;
            return Ok((Insn::ByteSwap { order, width, dst }, None));
        }
        if let Some((op, size)) = parse_atomic(word) {
            return Ok((self.fetching_atomic(width, dst, op, size)?, None));
        }
        if word == "load_acquire" {
            return Ok((self.load_acquire(width, dst)?, None));
        }
        if !matches!(word, "addr_space_cast" | "map" | "btf" | "subprog") {
            return Err(self.expected_at(at, "a register of the same width, a number or a value"));
        }
        self.only_wide(width, at)?;
        if word == "addr_space_cast" {
            return Ok((self.addr_space_cast(dst)?, None));
        }
        self.expect_symbol("[")?;
        let (value, label) = match word {
            "map" => (self.map()?, None),
            "btf" => (self.btf()?, None),
            _ => self.subprogram_address()?,
        };
        Ok((Insn::LoadImm64 { dst, value }, label))
    }

    fn load_acquire(&mut self, width: Width, dst: Reg) -> Result<Insn> {
        self.expect_symbol("(")?;
        let at = self.at();
        let memory = self.memory()?;
        let size = self.unsigned(&memory)?;
        self.wide_enough(width, size, at)?;
        self.expect_symbol(")")?;
        let (base, offset) = (self.base(&memory)?, memory.offset);
        Ok(Insn::LoadAcquire {
            size,
            dst,
            base,
            offset,
        })
    }

    fn fetching_atomic(
        &mut self,
        width: Width,
        dst: Reg,
        op: AtomicOp,
        size: Option<Width>,
    ) -> Result<Insn> {
        self.expect_symbol("(")?;
        let at = self.at();
        // LLVM has the size in the name of exchanges, and no parentheses around the address.
        let is_register = |token: &Token<'_>| parse_register(token.text).is_some();
        let memory = match size {
            Some(size) if self.tokens.first().is_some_and(is_register) => {
                self.address(MemoryType::Unsigned(size.size()), at)?
            }
            _ => self.memory()?,
        };
        let atomic_width = self.atomic_width(&memory)?;
        if size.is_some_and(|size| size != atomic_width) {
            let expected = "a pointer of the size that the operation's name says";
            return Err(self.expected_at(at, expected));
        }
        self.wide_enough(width, atomic_width.size(), at)?;
        self.expect_symbol(",")?;
        let src = if op == AtomicOp::CmpXchg {
            if dst != Reg::R0 {
                return Err(self.expected_at(at, "r0 on the left, which cmpxchg sets, not this"));
            }
            self.same_register(width, Reg::R0)?;
            self.expect_symbol(",")?;
            self.register_for(atomic_width.size())?
        } else {
            self.same_register(width, dst)?;
            dst
        };
        self.expect_symbol(")")?;
        let (width, base, offset) = (atomic_width, self.base(&memory)?, memory.offset);
        Ok(Insn::Atomic {
            width,
            op,
            base,
            offset,
            src,
        })
    }

    fn addr_space_cast(&mut self, dst: Reg) -> Result<Insn> {
        self.expect_symbol("(")?;
        let src = self.expect_register(Width::W64)?;
        self.expect_symbol(",")?;
        let at = self.at();
        let to = self.expect_number("an address space")?;
        self.expect_symbol(",")?;
        let from = self.expect_number("an address space")?;
        let cast = match (to.value, from.value) {
            (0, 1) => ArenaCast::ToKernel,
            (1, 0) => ArenaCast::ToUser,
            _ => return Err(self.expected_at(at, "the address spaces 0 and 1, or 1 and 0")),
        };
        self.expect_symbol(")")?;
        Ok(Insn::AddrSpaceCast { cast, dst, src })
    }

    /// `fd:3]` or `idx:3]`, with `[0]+4` or `+4` after it for an address in the map's value.
    fn map(&mut self) -> Result<Imm64> {
        let at = self.at();
        let by_index = match self.word() {
            Some("fd") => false,
            Some("idx") => true,
            _ => return Err(self.expected_at(at, "`fd:` or `idx:` and a number")),
        };
        self.expect_symbol(":")?;
        let number = self.expect_number("the map's number")?;
        let map: i32 = self.in_range(number, "a map's number", I32)?;
        self.expect_symbol("]")?;
        let mut in_value = false;
        if self.symbol("[") {
            let at = self.at();
            if self.expect_number("0")?.value != 0 {
                return Err(self.expected_at(at, "the map's first value, 0"));
            }
            self.expect_symbol("]")?;
            in_value = true;
        }
        let offset = if self.symbol("+") {
            in_value = true;
            let number = self.expect_number("an offset in the value")?;
            self.in_range(number, "an offset in a map's value", U32)?
        } else {
            0
        };
        Ok(match (by_index, in_value) {
            (false, false) => Imm64::MapFd { fd: map },
            (false, true) => Imm64::MapValue { fd: map, offset },
            (true, false) => Imm64::MapIndex { index: map },
            (true, true) => Imm64::MapIndexValue { index: map, offset },
        })
    }

    /// `id:12]` or `id:12,fd:3]`.
    fn btf(&mut self) -> Result<Imm64> {
        self.expect_word("id")?;
        self.expect_symbol(":")?;
        let number = self.expect_number("a BTF id")?;
        let id = self.in_range(number, "a BTF id", U32)?;
        let btf_fd = if self.symbol(",") {
            self.expect_word("fd")?;
            self.expect_symbol(":")?;
            let number = self.expect_number("a descriptor")?;
            self.in_range(number, "a descriptor", I32)?
        } else {
            0
        };
        self.expect_symbol("]")?;
        Ok(Imm64::BtfId { id, btf_fd })
    }

    /// `+7]` or `label]`.
    fn subprogram_address(&mut self) -> Result<(Imm64, Option<LabelUse<'a>>)> {
        let target = self.target()?;
        let offset = self.long_offset(&target)?;
        self.expect_symbol("]")?;
        self.skip_name();
        Ok((Imm64::Subprogram { offset }, target.label))
    }
}
