//! Pointers with numbers added: which kinds allow it, and how far they may go.

use skep_isa::{AluOp, Operand, Reg, Width};

use super::noun;
use crate::{
    Rule, Scalar,
    state::{Kind, PointerFlags, Register},
    verifier::{Result, Verifier},
};

/// Offsets of pointers stay below this, in both directions (`BPF_MAX_VAR_OFF`).
const FARTHEST: i64 = 1 << 29;

impl Verifier<'_> {
    /// Does an operation on a pointer and a number, of which either is `dst`'s.
    pub(super) fn operate_on_pointer(
        &mut self,
        width: Width,
        op: AluOp,
        dst: Reg,
        src: Operand,
        pointer: Register,
        number: Scalar,
    ) -> Result {
        let pointer_is_dst = !self.reg(dst).is_scalar();
        if number.is_empty() {
            self.set_number(dst, width, Scalar::UNKNOWN);
            return Ok(());
        }
        if width == Width::W32 {
            if op == AluOp::Sub && self.options.perfmon {
                self.set_number(dst, width, Scalar::UNKNOWN);
                return Ok(());
            }
            let message = format!(
                "{} of 32 bits would cut off the upper half of a pointer ({})",
                noun(op),
                pointer.kind.noun()
            );
            return Err(self
                .reject(Rule::PointerArithmetic, message)
                .of(dst)
                .help("do it in 64 bits, on the number rather than on the pointer"));
        }
        self.check_arithmetic_allowed(op, dst, &pointer, &number)?;
        if matches!(pointer.kind, Kind::Mem { .. })
            && pointer.flags.contains(PointerFlags::UNTRUSTED)
        {
            // Loads by it are probed, wherever it goes.
            *self.state.register_mut(dst) = pointer;
            return Ok(());
        }
        self.check_reach(dst, pointer.kind, &number, 0)?;
        self.check_reach(dst, pointer.kind, &pointer.value, pointer.offset)?;
        let masked = self.mask_pointer(op, src, pointer_is_dst, &pointer, &number)?;
        let moved = match op {
            AluOp::Add => self.add(pointer, number),
            AluOp::Sub if !pointer_is_dst => {
                let message = format!(
                    "a pointer ({}) is subtracted from a number",
                    pointer.kind.noun()
                );
                return Err(self.reject(Rule::PointerArithmetic, message).of(dst));
            }
            AluOp::Sub if matches!(pointer.kind, Kind::Stack { .. }) => {
                return Err(self
                    .reject(
                        Rule::PointerArithmetic,
                        format!("{dst} is subtracted from, but it is a stack pointer"),
                    )
                    .of(dst)
                    .help("add a negative number instead"));
            }
            AluOp::Sub => self.subtract(pointer, number),
            _ => {
                let message = format!(
                    "{} on a pointer ({}): only additions and subtractions keep it a pointer",
                    noun(op),
                    pointer.kind.noun()
                );
                return Err(self.reject(Rule::PointerArithmetic, message).of(dst));
            }
        };
        self.check_reach(dst, moved.kind, &moved.value, moved.offset)?;
        self.check_moved_pointer(dst, &moved)?;
        if let Some(masked) = masked {
            self.mask_moved_pointer(masked, &moved)?;
        }
        *self.state.register_mut(dst) = moved;
        Ok(())
    }

    /// Which kinds of pointers can be moved at all.
    fn check_arithmetic_allowed(
        &self,
        op: AluOp,
        dst: Reg,
        pointer: &Register,
        number: &Scalar,
    ) -> Result {
        let noun = pointer.kind.noun();
        if pointer.may_be_null() {
            let rule = match pointer.kind {
                Kind::MapValue { .. } => Rule::MapValueOrNull,
                _ => Rule::PointerOrNull,
            };
            let message = format!("{dst} is a pointer ({noun}) that may be null, and is added to");
            return Err(self
                .reject(rule, message)
                .of(dst)
                .help("test it against null before the arithmetic"));
        }
        let allowed = match pointer.kind {
            Kind::Context
            | Kind::MapValue { .. }
            | Kind::MapKey { .. }
            | Kind::Stack { .. }
            | Kind::PacketMeta
            | Kind::Packet
            | Kind::TracepointBuffer
            | Kind::Btf(_)
            | Kind::Mem { .. }
            | Kind::Buffer
            | Kind::Function { .. }
            | Kind::Dynptr { .. }
            | Kind::JumpTarget { .. } => true,
            Kind::FlowKeys if number.bits.is_constant() => true,
            Kind::FlowKeys | Kind::ConstMap { .. } => {
                op == AluOp::Add && number.as_constant() == Some(0)
            }
            Kind::PacketEnd
            | Kind::Socket
            | Kind::SockCommon
            | Kind::TcpSock
            | Kind::XdpSock
            | Kind::Arena
            | Kind::Scalar
            | Kind::Uninit => false,
        };
        if allowed {
            return Ok(());
        }
        let message = format!("{dst} ({noun}) can't be moved by arithmetic");
        Err(self.reject(Rule::PointerArithmetic, message).of(dst))
    }

    /// Neither what is added nor what comes of it may be so far away that sums could wrap around.
    fn check_reach(&self, dst: Reg, kind: Kind, value: &Scalar, offset: i32) -> Result {
        let near = -FARTHEST + 1..FARTHEST;
        if near.contains(&offset.into()) && near.contains(&value.smin) {
            return Ok(());
        }
        Err(self.out_of_reach(dst, kind, value, offset))
    }

    #[cold]
    fn out_of_reach(
        &self,
        dst: Reg,
        kind: Kind,
        value: &Scalar,
        offset: i32,
    ) -> Box<crate::Rejection> {
        let noun = kind.noun();
        if value.smin == i64::MIN {
            let message = format!("a number without a lower bound is added to a pointer ({noun})");
            return self
                .reject(Rule::PointerPlusUnknown, message)
                .of(dst)
                .help("compare the number with its bounds first, or make it unsigned");
        }
        let far = match value.as_constant() {
            Some(constant) => constant.cast_signed().saturating_add(offset.into()),
            None => value.smin.saturating_add(offset.into()),
        };
        let message = format!(
            "a pointer ({noun}) would move by {far} bytes; {} is the farthest in either direction",
            FARTHEST - 1
        );
        self.reject(Rule::PointerPlusUnknown, message).of(dst)
    }

    fn add(&mut self, mut pointer: Register, number: Scalar) -> Register {
        if let Some(constant) = number.as_constant()
            && let Ok(offset) =
                i32::try_from(i64::from(pointer.offset).wrapping_add(constant.cast_signed()))
        {
            pointer.offset = offset;
            return pointer;
        }
        pointer.value = Scalar::alu(AluOp::Add, Width::W64, &pointer.value, &number);
        if pointer.is_packet() {
            pointer.id = self.new_id();
            pointer.forget_range();
        }
        pointer
    }

    fn subtract(&mut self, mut pointer: Register, number: Scalar) -> Register {
        if let Some(constant) = number.as_constant()
            && let Ok(offset) =
                i32::try_from(i64::from(pointer.offset).wrapping_sub(constant.cast_signed()))
        {
            pointer.offset = offset;
            return pointer;
        }
        pointer.value = Scalar::alu(AluOp::Sub, Width::W64, &pointer.value, &number);
        if pointer.is_packet() {
            pointer.id = self.new_id();
            // Going back leaves as much of the packet behind the pointer as there was.
            if number.smin < 0 {
                pointer.forget_range();
            }
        }
        pointer
    }
}
