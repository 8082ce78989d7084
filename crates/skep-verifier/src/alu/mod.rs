//! Arithmetic: moves, numbers, and pointers with numbers added.
//!
//! `pointer` is arithmetic on pointers, `constant` what `ld_imm64` loads, `speculation` what
//! loaders without privileges may do, so that the kernel can mask what the processor tries.

mod constant;
mod pointer;
mod speculation;

pub(crate) use speculation::Masking;

use skep_isa::{
    AluOp, ArenaCast, ByteOrder, Endian, Insn, Operand, Reg, SignExtension, SwapWidth, Width,
};

use skep_abi::MapType;

use crate::{
    Rule, Scalar,
    state::{Id, Kind, Register},
    verifier::{Result, Verifier},
};

impl Verifier<'_> {
    /// Does an instruction that only works on registers (`ld_imm64` too).
    pub(crate) fn alu(&mut self, insn: Insn) -> Result {
        match insn {
            Insn::Alu {
                width,
                op,
                dst,
                src,
            } => self.operate(width, op, dst, src),
            Insn::Mov {
                width,
                dst,
                src: Operand::Imm(imm),
            } => {
                self.writable(dst)?;
                let value = match width {
                    Width::W64 => i64::from(imm).cast_unsigned(),
                    Width::W32 => imm.cast_unsigned().into(),
                };
                self.set_number(dst, width, Scalar::constant(value));
                Ok(())
            }
            Insn::Mov {
                width,
                dst,
                src: Operand::Reg(src),
            } => self.copy(width, dst, src),
            Insn::MovSx {
                extension,
                dst,
                src,
            } => self.copy_extended(extension, dst, src),
            Insn::Neg { width, dst } => {
                let value = self.number_to_change(dst)?;
                let value = match value {
                    Some(value) if self.since(6, 17) => value.neg(width),
                    _ => Scalar::UNKNOWN,
                };
                self.set_number(dst, width, value);
                Ok(())
            }
            Insn::ByteSwap { order, width, dst } => self.swap(order, width, dst),
            Insn::AddrSpaceCast { cast, dst, src } => self.cast(cast, dst, src),
            Insn::LoadImm64 { dst, value } => self.load_constant(dst, value),
            _ => Err(self.reject(
                Rule::InvalidInstruction,
                "no kernel that the verifier knows has this instruction",
            )),
        }
    }

    /// Puts a number into a register, as an instruction of a width does.
    pub(super) fn set_number(&mut self, dst: Reg, width: Width, value: Scalar) {
        let number = Register {
            subreg_def: self.definition(width),
            // Without CAP_BPF, states are always compared with all that is known.
            precise: !self.options.bpf,
            ..Register::scalar(value)
        };
        *self.state.register_mut(dst) = number;
    }

    /// [`Register::subreg_def`] of what is written here.
    fn definition(&self, width: Width) -> u32 {
        match width {
            Width::W64 => 0,
            Width::W32 => u32::try_from(self.insn).map_or(u32::MAX, |insn| insn.saturating_add(1)),
        }
    }

    /// The number in a register that an instruction changes and that can't be a pointer; `None` if
    /// it is a pointer, whose loader may see it.
    fn number_to_change(&mut self, dst: Reg) -> Result<Option<Scalar>> {
        let register = self.read(dst)?;
        let number = register.is_scalar().then_some(register.value);
        if number.is_none() && !self.options.perfmon {
            let message = format!(
                "{dst} is a pointer ({}), and the operation would make a number of its address",
                self.reg(dst).kind.noun()
            );
            return Err(self.reject(Rule::PointerLeak, message).of(dst));
        }
        self.writable(dst)?;
        Ok(number)
    }

    /// Gives a number an id before it is copied: what is learnt about one is then known of the
    /// other. Constants need none. One that is a constant away from what it was copied from starts
    /// anew.
    fn name_before_copy(&mut self, src: Reg) {
        let register = self.reg(src);
        if !register.is_scalar() {
            return;
        }
        let unlink = register.offset != 0;
        let named = register.id.is_some() && !unlink;
        let constant = register.value.bits.is_constant();
        if !unlink && (named || constant) {
            return;
        }
        let id = if constant { Id::NONE } else { self.new_id() };
        let register = self.state.register_mut(src);
        register.id = id;
        register.offset = 0;
        register.linked = false;
    }

    /// `dst = src`.
    fn copy(&mut self, width: Width, dst: Reg, src: Reg) -> Result {
        let register = self.read(src)?;
        let (number, small) = (register.is_scalar(), register.value.umax <= u32::MAX.into());
        self.writable(dst)?;
        if width == Width::W32 && !number {
            self.leak_of_part(src)?;
            self.set_number(dst, width, Scalar::UNKNOWN.zero_extend());
            return Ok(());
        }
        let whole = width == Width::W64 || small;
        if whole {
            self.name_before_copy(src);
        }
        let definition = self.definition(width);
        let mut copy = self.reg(src).clone();
        copy.subreg_def = definition;
        if !whole {
            copy.unlink();
        }
        if width == Width::W32 {
            copy.value = copy.value.zero_extend();
        }
        *self.state.register_mut(dst) = copy;
        Ok(())
    }

    /// `dst = (s8)src` and its kin.
    fn copy_extended(&mut self, extension: SignExtension, dst: Reg, src: Reg) -> Result {
        let (width, bits) = (extension.width(), extension.bits());
        let register = self.read(src)?;
        let (number, same) = (register.is_scalar(), register.value.umax < 1 << (bits - 1));
        self.writable(dst)?;
        if !number {
            self.leak_of_part(src)?;
            let value = match width {
                Width::W64 => Scalar::UNKNOWN,
                Width::W32 => Scalar::UNKNOWN.zero_extend(),
            };
            self.set_number(dst, width, value);
            return Ok(());
        }
        if same {
            self.name_before_copy(src);
        }
        let definition = self.definition(width);
        let mut copy = self.reg(src).clone();
        copy.subreg_def = definition;
        if !same {
            copy.unlink();
            copy.value = copy.value.sign_extend(bits, width);
        }
        *self.state.register_mut(dst) = copy;
        Ok(())
    }

    /// Part of a pointer is a number that tells something of its address.
    fn leak_of_part(&self, src: Reg) -> Result {
        if self.options.perfmon {
            return Ok(());
        }
        let message = format!(
            "{src} is a pointer ({}), and part of its address would be copied as a number",
            self.reg(src).kind.noun()
        );
        Err(self.reject(Rule::PointerLeak, message).of(src))
    }

    fn swap(&mut self, order: ByteOrder, width: SwapWidth, dst: Reg) -> Result {
        let number = self.number_to_change(dst)?;
        let bits = width.bits();
        let native = matches!(
            (order, self.target.endian),
            (ByteOrder::Little, Endian::Little) | (ByteOrder::Big, Endian::Big)
        );
        let value = match number {
            // New in 7.0; 6.18 got it by its stable releases.
            Some(value) if self.since(6, 18) && native => value.truncate(bits),
            Some(value) if self.since(6, 18) => value.swap_bytes(bits),
            _ => Scalar::UNKNOWN,
        };
        self.set_number(dst, Width::W64, value);
        Ok(())
    }

    /// An address of the arena as the kernel's, or as user space's.
    fn cast(&mut self, cast: ArenaCast, dst: Reg, src: Reg) -> Result {
        let arena = self.program.maps.iter();
        if !arena.into_iter().any(|map| map.map_type == MapType::Arena) {
            return Err(self.reject(
                Rule::InvalidInstruction,
                "an address is cast between address spaces, but the program uses no arena map",
            ));
        }
        self.read(src)?;
        self.writable(dst)?;
        match cast {
            ArenaCast::ToUser => self.set_number(dst, Width::W64, Scalar::UNKNOWN),
            ArenaCast::ToKernel => {
                let pointer = Register {
                    value: Scalar::UNKNOWN,
                    subreg_def: self.definition(Width::W32),
                    ..Register::pointer(Kind::Arena)
                };
                *self.state.register_mut(dst) = pointer;
            }
        }
        Ok(())
    }

    /// `dst = dst op src`.
    fn operate(&mut self, width: Width, op: AluOp, dst: Reg, src: Operand) -> Result {
        if let Operand::Reg(src) = src {
            self.read(src)?;
        }
        self.read(dst)?;
        if let Operand::Imm(imm) = src {
            self.check_constant(width, op, dst, imm)?;
        }
        self.writable(dst)?;
        let right = match src {
            Operand::Reg(src) => self.reg(src),
            Operand::Imm(imm) => &Register::constant(i64::from(imm).cast_unsigned()),
        };
        let left = self.reg(dst);
        if left.kind == Kind::Arena || right.kind == Kind::Arena {
            // Whatever comes of it is an address in the arena's 4 GiB.
            let mut pointer = if left.kind == Kind::Arena {
                left.clone()
            } else {
                right.clone()
            };
            pointer.subreg_def = self.definition(Width::W32);
            *self.state.register_mut(dst) = pointer;
            return Ok(());
        }
        match (left.is_scalar(), right.is_scalar()) {
            (true, true) => {
                let right = right.value;
                if let Operand::Reg(src) = src
                    && left.precise
                {
                    self.mark_precise(src)?;
                }
                self.operate_on_numbers(width, op, dst, src, right)
            }
            (false, true) => {
                let right = right.value;
                if let Operand::Reg(src) = src {
                    self.mark_precise(src)?;
                }
                let pointer = self.reg(dst).clone();
                self.operate_on_pointer(width, op, dst, src, pointer, right)
            }
            (true, false) => {
                let (pointer, left) = (right.clone(), left.value);
                self.mark_precise(dst)?;
                self.operate_on_pointer(width, op, dst, src, pointer, left)
            }
            (false, false) if op == AluOp::Sub && self.options.perfmon => {
                self.set_number(dst, width, Scalar::UNKNOWN);
                Ok(())
            }
            (false, false) => {
                let message = format!(
                    "{dst} ({}) and another pointer ({}) are combined by {}",
                    left.kind.noun(),
                    right.kind.noun(),
                    noun(op),
                );
                Err(self.reject(Rule::PointerArithmetic, message).of(dst))
            }
        }
    }

    /// Constants that make no sense whatever the other number is.
    fn check_constant(&self, width: Width, op: AluOp, dst: Reg, imm: i32) -> Result {
        match op {
            AluOp::Div | AluOp::SDiv | AluOp::Mod | AluOp::SMod if imm == 0 => {
                let message = format!("{dst} is divided by the constant zero");
                Err(self.reject(Rule::InvalidOperand, message).of(dst))
            }
            AluOp::Lsh | AluOp::Rsh | AluOp::Arsh
                if !(0..width.bits().cast_signed()).contains(&imm) =>
            {
                let message = format!(
                    "{dst} is shifted by {imm} bits, but shifts of {} bits are from 0 to {}",
                    width.bits(),
                    width.bits() - 1
                );
                Err(self.reject(Rule::InvalidOperand, message).of(dst))
            }
            _ => Ok(()),
        }
    }

    fn operate_on_numbers(
        &mut self,
        width: Width,
        op: AluOp,
        dst: Reg,
        src: Operand,
        right: Scalar,
    ) -> Result {
        if !self.follows(width, op, &right) {
            self.set_number(dst, width, Scalar::UNKNOWN);
            return Ok(());
        }
        self.mask_number(op, src)?;
        if matches!(op, AluOp::And | AluOp::Or) && right.bits.is_constant() {
            self.fork_mask(dst)?;
        }
        let capable = self.options.bpf && self.since(6, 11);
        // Distances in 32 bits, and differences: 7.0, and what 6.18 got of it.
        let halves = self.since(6, 18);
        let definition = self.definition(width);
        let register = self.state.register_mut(dst);
        register.value = Scalar::alu(op, width, &register.value, &right);
        register.subreg_def = definition;
        // A constant distance to the number it was copied from is remembered, once.
        let step = match op {
            _ if !capable => None,
            AluOp::Add => distance(width, &right),
            AluOp::Sub if halves => distance(width, &right).and_then(i32::checked_neg),
            _ => None,
        };
        match step {
            Some(step)
                if register.offset == 0
                    && !register.linked
                    && src != Operand::Reg(dst)
                    && (halves || width == Width::W64 && step >= 0) =>
            {
                if register.id.is_some() {
                    register.offset = step;
                    register.linked = width == Width::W32;
                }
            }
            _ => register.unlink(),
        }
        Ok(())
    }

    /// Whether the target's kernel knows anything about the result of an operation.
    fn follows(&self, width: Width, op: AluOp, right: &Scalar) -> bool {
        match op {
            AluOp::Add | AluOp::Sub | AluOp::Mul | AluOp::And | AluOp::Or | AluOp::Xor => true,
            AluOp::Lsh | AluOp::Rsh | AluOp::Arsh => {
                let constant = match width {
                    Width::W64 => right.bits.is_constant(),
                    Width::W32 => right.as_constant32().is_some(),
                };
                constant && right.umax < width.bits().into()
            }
            AluOp::Div | AluOp::SDiv | AluOp::Mod | AluOp::SMod => {
                let constant = match width {
                    Width::W64 => right.bits.is_constant(),
                    Width::W32 => right.as_constant32().is_some(),
                };
                constant && self.since(7, 0)
            }
        }
    }

    /// A number that is all ones or zero (a sign spread by a shift) is followed as either before a
    /// mask is put on it: the result is one of two constants.
    fn fork_mask(&mut self, dst: Reg) -> Result {
        let value = self.reg(dst).value;
        let whole = (value.smin, value.smax) == (-1, 0);
        let half = (value.s32_min, value.s32_max) == (-1, 0);
        if !whole && !half || !self.since(6, 12) {
            return Ok(());
        }
        let known = |low: u32| {
            if whole {
                Scalar::constant(i64::from(low.cast_signed()).cast_unsigned())
            } else {
                value.with_constant_half(low)
            }
        };
        let (zero, ones) = (known(0), known(u32::MAX));
        let here = self.insn;
        self.push(here)?.register_mut(dst).value = zero;
        self.state.register_mut(dst).value = ones;
        Ok(())
    }
}

/// An operation in words.
fn noun(op: AluOp) -> &'static str {
    match op {
        AluOp::Add => "an addition",
        AluOp::Sub => "a subtraction",
        AluOp::Mul => "a multiplication",
        AluOp::Div | AluOp::SDiv => "a division",
        AluOp::Mod | AluOp::SMod => "a remainder",
        AluOp::Or => "a bitwise or",
        AluOp::And => "a bitwise and",
        AluOp::Xor => "a bitwise exclusive or",
        AluOp::Lsh | AluOp::Rsh | AluOp::Arsh => "a shift",
    }
}

/// A constant that is added, as the distance to what it is added to.
fn distance(width: Width, constant: &Scalar) -> Option<i32> {
    match width {
        Width::W64 => i32::try_from(constant.as_constant()?.cast_signed()).ok(),
        Width::W32 => constant.as_constant32().map(u32::cast_signed),
    }
}
