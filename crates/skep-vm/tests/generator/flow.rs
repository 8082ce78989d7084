//! Statements that branch and go round.

use skep_isa::*;

use super::{Item, Maker};

impl Maker<'_> {
    fn compare(&mut self) -> CompareOp {
        self.random.pick(&[
            CompareOp::Eq,
            CompareOp::Ne,
            CompareOp::Gt,
            CompareOp::Ge,
            CompareOp::Lt,
            CompareOp::Le,
            CompareOp::SGt,
            CompareOp::SGe,
            CompareOp::SLt,
            CompareOp::SLe,
            CompareOp::Set,
        ])
    }

    pub(super) fn condition(&mut self) -> Insn {
        let (width, op, dst, src) = (
            self.width(),
            self.compare(),
            self.register(),
            self.operand(),
        );
        Insn::JumpIf {
            width,
            op,
            dst,
            src,
            offset: 0,
        }
    }

    pub(super) fn nested(&mut self) {
        if self.depth >= 3 {
            return;
        }
        self.depth += 1;
        for _ in 0..1 + self.random.below(4) {
            self.statement();
        }
        self.depth -= 1;
    }

    pub(super) fn branch(&mut self) {
        let (other, end) = (self.label(), self.label());
        let jump = self.condition();
        self.items.push(Item::Jump(jump, other));
        self.nested();
        let jump = if self.random.chance(80) {
            Insn::Jump { offset: 0 }
        } else {
            Insn::JumpLong { offset: 0 }
        };
        self.items.push(Item::Jump(jump, end));
        self.items.push(Item::Label(other));
        self.nested();
        self.items.push(Item::Label(end));
    }

    /// A loop by a counter, a pointer, `may_goto`, or without an end.
    pub(super) fn looped(&mut self) {
        let (head, end) = (self.label(), self.label());
        let counter = self.random.pick(&[Reg::R7, Reg::R8, Reg::R9]);
        if self.reserved.contains(&counter) {
            return;
        }
        self.reserved.push(counter);
        let bound = self.random.between(1, 20) as i32;
        match self.random.below(60) {
            40.. => self.counted(counter, head, end),
            0 => {
                self.items.push(Item::Label(head));
                self.items
                    .push(Item::Jump(Insn::MayGoto { offset: 0 }, end));
                self.nested();
                let jump = self.condition();
                self.items.push(Item::Jump(jump, head));
            }
            1 => {
                self.items.push(Item::Label(head));
                self.nested();
                let jump = self.condition();
                self.items.push(Item::Jump(jump, head));
            }
            2..12 => {
                // A pointer that runs through a part of the frame.
                let start = -8 * self.random.between(2, 64) as i32;
                self.mov(counter, Operand::Reg(Reg::R10));
                self.add(counter, Operand::Imm(start));
                self.mov(Reg::R5, Operand::Reg(Reg::R10));
                let last = self.random.between(i64::from(start) + 1, 0) as i32;
                self.add(Reg::R5, Operand::Imm(last));
                self.items.push(Item::Label(head));
                let size = self.random.pick(&[Size::B, Size::B, Size::H]);
                self.access(counter, 0, size);
                self.add(counter, Operand::Imm(1));
                let op = self.random.pick(&[CompareOp::Ne, CompareOp::Lt]);
                let jump = Insn::JumpIf {
                    width: Width::W64,
                    op,
                    dst: counter,
                    src: Operand::Reg(Reg::R5),
                    offset: 0,
                };
                self.items.push(Item::Jump(jump, head));
            }
            shape => {
                let down = shape < 18;
                self.mov(counter, Operand::Imm(if down { bound } else { 0 }));
                self.items.push(Item::Label(head));
                if self.random.chance(60) {
                    let pointer = self.register();
                    self.mov(pointer, Operand::Reg(Reg::R10));
                    self.add(pointer, Operand::Reg(counter));
                    if pointer != counter {
                        let offset = self.random.between(-512, -8) as i16;
                        let size = self.size();
                        self.access(pointer, offset, size);
                    }
                }
                self.nested();
                self.add(counter, Operand::Imm(if down { -1 } else { 1 }));
                let op = if down {
                    CompareOp::Ne
                } else {
                    self.random
                        .pick(&[CompareOp::Ne, CompareOp::Lt, CompareOp::Le, CompareOp::SLt])
                };
                let jump = Insn::JumpIf {
                    width: self.width(),
                    op,
                    dst: counter,
                    src: Operand::Imm(if down { 0 } else { bound }),
                    offset: 0,
                };
                self.items.push(Item::Jump(jump, head));
            }
        }
        self.items.push(Item::Label(end));
        self.reserved.pop();
    }

    /// A short loop that is left when a counter has reached, or passed, a bound: tested at its end
    /// or in its middle, entered at its head or behind it, with ways out and back in between.
    fn counted(&mut self, counter: Reg, head: usize, end: usize) {
        let step = self.random.pick(&[1, 1, 1, -1, -1, 2, 3, -4]);
        let (start, bound) = (self.number(), self.random.between(0, 40) as i32);
        let start = match self.random.below(8) {
            0 => start,
            1 => bound,
            _ => bound.wrapping_sub(step * self.random.between(-1, 30) as i32),
        };
        let width = self.width();
        let whole = self.random.pick(&[width, Width::W64]);
        self.push(Insn::Mov {
            width: whole,
            dst: counter,
            src: Operand::Imm(start),
        });
        let limit = if self.random.chance(30) {
            self.mov(Reg::R5, Operand::Imm(bound));
            self.reserved.push(Reg::R5);
            Operand::Reg(Reg::R5)
        } else {
            Operand::Imm(bound)
        };
        let middle = self.label();
        if self.random.chance(20) {
            let jump = if self.random.chance(50) {
                Insn::Jump { offset: 0 }
            } else {
                self.condition()
            };
            self.items.push(Item::Jump(jump, middle));
        }
        self.items.push(Item::Label(head));
        self.body(counter, end, head);
        if self.random.chance(50) {
            self.items.push(Item::Label(middle));
            self.body(counter, end, head);
            self.step(width, counter, step);
        } else {
            self.step(width, counter, step);
            if self.random.chance(30) {
                self.body(counter, end, head);
            }
            self.items.push(Item::Label(middle));
        }
        let ops: &[CompareOp] = match (self.random.chance(3), step > 0) {
            (true, _) => &[CompareOp::Eq, CompareOp::Set, CompareOp::Gt, CompareOp::Lt],
            (_, true) => &[
                CompareOp::Ne,
                CompareOp::Lt,
                CompareOp::Le,
                CompareOp::SLt,
                CompareOp::SLe,
            ],
            (_, false) => &[
                CompareOp::Ne,
                CompareOp::Gt,
                CompareOp::Ge,
                CompareOp::SGt,
                CompareOp::SGe,
            ],
        };
        let op = self.random.pick(ops);
        let jump = |op| Insn::JumpIf {
            width,
            op,
            dst: counter,
            src: limit,
            offset: 0,
        };
        let leaves = match op {
            CompareOp::Ne => CompareOp::Eq,
            CompareOp::Lt => CompareOp::Ge,
            CompareOp::Le => CompareOp::Gt,
            CompareOp::SGt => CompareOp::SLe,
            other => other,
        };
        if leaves != op && self.random.chance(40) {
            self.items.push(Item::Jump(jump(leaves), end));
            self.body(counter, end, head);
            self.items.push(Item::Jump(Insn::Jump { offset: 0 }, head));
        } else {
            self.items.push(Item::Jump(jump(op), head));
        }
        if limit == Operand::Reg(Reg::R5) {
            self.reserved.pop();
        }
    }

    fn step(&mut self, width: Width, counter: Reg, step: i32) {
        let (op, by) = match self.random.chance(30) {
            true => (AluOp::Sub, -step),
            false => (AluOp::Add, step),
        };
        self.push(Insn::Alu {
            width,
            op,
            dst: counter,
            src: Operand::Imm(by),
        });
    }

    /// A little for a short loop to do; now and then it goes on, or ends, early.
    fn body(&mut self, counter: Reg, end: usize, head: usize) {
        match self.random.below(8) {
            0..3 => self.arithmetic(),
            3 | 4 => {
                let (base, offset, size) = self.constant_place();
                self.access(base, offset, size);
            }
            5 => {
                let (dst, size) = (self.register(), self.size());
                if dst != counter {
                    self.mov(dst, Operand::Reg(Reg::R10));
                    self.add(dst, Operand::Reg(counter));
                    let offset = self.random.between(-512, -40) as i16;
                    self.access(dst, offset, size);
                }
            }
            6 => {
                let way = if self.random.chance(80) { end } else { head };
                let jump = self.condition();
                self.items.push(Item::Jump(jump, way));
            }
            _ => {}
        }
    }
}
