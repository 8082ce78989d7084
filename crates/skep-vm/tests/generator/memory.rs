//! Statements that read and write memory.

use skep_isa::*;

use super::{CONTEXT, Item, Maker};

impl Maker<'_> {
    pub(super) fn size(&mut self) -> Size {
        self.random.pick(&[Size::B, Size::H, Size::W, Size::Dw])
    }

    /// A place in the frame or in the context, now and then a little out of it.
    pub(super) fn constant_place(&mut self) -> (Reg, i16, Size) {
        let size = self.size();
        let bytes = i64::from(size.bytes());
        let out = if self.random.chance(2) { 9 } else { 0 };
        let in_frame = self.random.chance(70);
        let mut offset = if in_frame {
            self.random.between(-512 - out, -bytes + out)
        } else {
            self.random.between(-out, CONTEXT - bytes + out)
        };
        if self.random.chance(80) {
            offset &= -8;
        }
        let base = if in_frame { Reg::R10 } else { Reg::R6 };
        if self.random.chance(60) {
            return (base, offset as i16, size);
        }
        let register = self.register();
        let ahead = self.random.between(-100, 100);
        self.mov(register, Operand::Reg(base));
        self.add(register, Operand::Imm((offset - ahead) as i32));
        (register, ahead as i16, size)
    }

    pub(super) fn access(&mut self, base: Reg, offset: i16, size: Size) {
        match self.random.below(12) {
            0..4 => {
                let dst = self.register();
                self.push(Insn::Load {
                    size,
                    dst,
                    base,
                    offset,
                });
            }
            4 => {
                let dst = self.register();
                let size = NarrowSize::try_from(size).unwrap_or(NarrowSize::W);
                self.push(Insn::LoadSigned {
                    size,
                    dst,
                    base,
                    offset,
                });
            }
            5..9 => {
                let value = self.operand();
                self.push(Insn::Store {
                    size,
                    base,
                    offset,
                    value,
                });
            }
            9 => {
                let dst = self.register();
                self.push(Insn::LoadAcquire {
                    size,
                    dst,
                    base,
                    offset,
                });
            }
            10 => {
                let src = self.register();
                self.push(Insn::StoreRelease {
                    size,
                    base,
                    offset,
                    src,
                });
            }
            _ => {
                let fetch = self.random.chance(50);
                let op = self.random.pick(&[
                    AtomicOp::Add { fetch },
                    AtomicOp::Or { fetch },
                    AtomicOp::And { fetch },
                    AtomicOp::Xor { fetch },
                    AtomicOp::Xchg,
                    AtomicOp::CmpXchg,
                ]);
                let (width, src) = (self.width(), self.register());
                let offset = if self.random.chance(90) {
                    offset & -8
                } else {
                    offset
                };
                self.push(Insn::Atomic {
                    width,
                    op,
                    base,
                    offset,
                    src,
                });
            }
        }
    }

    /// An access behind an index that is bounded in one of the usual ways.
    pub(super) fn indexed(&mut self) {
        let (index, pointer) = (self.register(), self.register());
        if index == pointer {
            return;
        }
        let size = self.size();
        let (base, room) = if self.random.chance(70) {
            (Reg::R10, 512)
        } else {
            (Reg::R6, CONTEXT)
        };
        let bound = self.random.pick(&[1, 2, 7, 8, 15, 16, 31, 60, 63]);
        let skip = self.label();
        match self.random.below(4) {
            0 => {
                let (width, src) = (self.width(), Operand::Imm(bound));
                self.push(Insn::Alu {
                    width,
                    op: AluOp::And,
                    dst: index,
                    src,
                });
            }
            1 => {
                let (width, src) = (self.width(), Operand::Imm(bound + 1));
                self.push(Insn::Alu {
                    width,
                    op: AluOp::Mod,
                    dst: index,
                    src,
                });
            }
            _ => {
                let (width, src) = (self.width(), Operand::Imm(bound));
                let op = self.random.pick(&[
                    CompareOp::Gt,
                    CompareOp::Ge,
                    CompareOp::SGt,
                    CompareOp::SGe,
                    CompareOp::Ne,
                ]);
                let jump = Insn::JumpIf {
                    width,
                    op,
                    dst: index,
                    src,
                    offset: 0,
                };
                self.items.push(Item::Jump(jump, skip));
                if self.random.chance(50) {
                    let jump = Insn::JumpIf {
                        width,
                        op: CompareOp::SLt,
                        dst: index,
                        src: Operand::Imm(0),
                        offset: 0,
                    };
                    self.items.push(Item::Jump(jump, skip));
                }
            }
        }
        let start = if base == Reg::R10 {
            self.random.between(-room, -1)
        } else {
            self.random.between(0, room - 1)
        };
        self.mov(pointer, Operand::Reg(base));
        self.add(pointer, Operand::Reg(index));
        let offset = if self.random.chance(50) {
            self.add(pointer, Operand::Imm(start as i32));
            0
        } else {
            start as i16
        };
        self.access(pointer, offset, size);
        self.items.push(Item::Label(skip));
    }
}
