//! Writing instructions: an assembler for passes, in calls.

use skep_isa::{AluOp, AtomicOp, CallTarget, CompareOp, Insn, Operand, Reg, Size, Width};
use skep_object::{MapIndex, Snippet};

/// A list of instructions that grows.
#[derive(Debug, Default)]
pub(crate) struct Code(Snippet);

/// A jump whose target is not written yet.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub(crate) struct Forward(usize);

impl Code {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn done(self) -> Snippet {
        self.0
    }

    pub(crate) fn insn(&mut self, insn: Insn) -> &mut Self {
        self.0.push(insn);
        self
    }

    pub(crate) fn load(&mut self, size: Size, dst: Reg, base: Reg, offset: i16) -> &mut Self {
        self.insn(Insn::Load {
            size,
            dst,
            base,
            offset,
        })
    }

    pub(crate) fn store(&mut self, size: Size, base: Reg, offset: i16, src: Reg) -> &mut Self {
        self.insn(Insn::Store {
            size,
            base,
            offset,
            value: Operand::Reg(src),
        })
    }

    pub(crate) fn store_number(
        &mut self,
        size: Size,
        base: Reg,
        offset: i16,
        number: u32,
    ) -> &mut Self {
        self.insn(Insn::Store {
            size,
            base,
            offset,
            value: Operand::Imm(number.cast_signed()),
        })
    }

    pub(crate) fn copy(&mut self, dst: Reg, src: Reg) -> &mut Self {
        self.insn(Insn::Mov {
            width: Width::W64,
            dst,
            src: Operand::Reg(src),
        })
    }

    pub(crate) fn set(&mut self, dst: Reg, number: u32) -> &mut Self {
        // Registers take 64 bits: sites and sizes stay below 2^31.
        self.insn(Insn::Mov {
            width: Width::W64,
            dst,
            src: Operand::Imm(number.cast_signed()),
        })
    }

    pub(crate) fn alu(&mut self, op: AluOp, dst: Reg, src: Reg) -> &mut Self {
        self.insn(Insn::Alu {
            width: Width::W64,
            op,
            dst,
            src: Operand::Reg(src),
        })
    }

    pub(crate) fn alu_number(&mut self, op: AluOp, dst: Reg, number: i32) -> &mut Self {
        self.insn(Insn::Alu {
            width: Width::W64,
            op,
            dst,
            src: Operand::Imm(number),
        })
    }

    /// `src` becomes what was there, and 64 bits of it what `src` was.
    pub(crate) fn exchange(&mut self, base: Reg, offset: i16, src: Reg) -> &mut Self {
        self.insn(Insn::Atomic {
            width: Width::W64,
            op: AtomicOp::Xchg,
            base,
            offset,
            src,
        })
    }

    pub(crate) fn add_atomic(&mut self, base: Reg, offset: i16, src: Reg) -> &mut Self {
        self.insn(Insn::Atomic {
            width: Width::W64,
            op: AtomicOp::Add { fetch: false },
            base,
            offset,
            src,
        })
    }

    /// The same; `src` becomes what was there before.
    pub(crate) fn fetch_add(&mut self, base: Reg, offset: i16, src: Reg) -> &mut Self {
        self.insn(Insn::Atomic {
            width: Width::W64,
            op: AtomicOp::Add { fetch: true },
            base,
            offset,
            src,
        })
    }

    pub(crate) fn call(&mut self, helper: u32) -> &mut Self {
        self.insn(Insn::Call(CallTarget::Helper(helper)))
    }

    pub(crate) fn map(&mut self, dst: Reg, map: MapIndex) -> &mut Self {
        self.0.push_map(dst, map);
        self
    }

    pub(crate) fn map_value(&mut self, dst: Reg, map: MapIndex, offset: u32) -> &mut Self {
        self.0.push_map_value(dst, map, offset);
        self
    }

    /// Jumps to a place that [`land`](Self::land) gives.
    pub(crate) fn jump(&mut self) -> Forward {
        let at = self.0.len();
        self.insn(Insn::Jump { offset: 0 });
        Forward(at)
    }

    pub(crate) fn jump_if(&mut self, left: Reg, op: CompareOp, right: Operand) -> Forward {
        let at = self.0.len();
        self.insn(Insn::JumpIf {
            width: Width::W64,
            op,
            dst: left,
            src: right,
            offset: 0,
        });
        Forward(at)
    }

    /// The jump goes here.
    pub(crate) fn land(&mut self, jump: Forward) -> &mut Self {
        self.0.land(jump.0);
        self
    }
}
