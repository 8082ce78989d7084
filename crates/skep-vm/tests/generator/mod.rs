//! Random programs from a seed: mostly meaningful, with loops, calls, callbacks and accesses that
//! are usually inside the frame or the context; sometimes mutated.

mod flow;
mod memory;
mod random;

use skep_isa::{
    AluOp, ByteOrder, CallTarget, Imm64, Insn, Operand, RawInsn, Reg, SignExtension, Size,
    StackArg, SwapWidth, Width,
};

pub(crate) use random::Random;

/// Bytes of the context that programs are made for.
pub(crate) const CONTEXT: i64 = 64;

/// An instruction whose jump goes to a label.
#[derive(Clone, Copy, Debug)]
enum Item {
    Plain(Insn),
    Label(usize),
    Jump(Insn, usize),
    Call(usize),
    Address(Reg, usize),
}

struct Maker<'a> {
    random: &'a mut Random,
    items: Vec<Item>,
    labels: usize,
    functions: usize,
    function: usize,
    depth: usize,
    /// Counters of loops, which bodies rarely change.
    reserved: Vec<Reg>,
}

/// A program of a few functions.
pub(crate) fn program(random: &mut Random) -> Vec<RawInsn> {
    let functions = 1 + random.below(4) as usize;
    let mut maker = Maker {
        random,
        items: Vec::new(),
        // The first labels are the functions.
        labels: functions,
        functions,
        function: 0,
        depth: 0,
        reserved: Vec::new(),
    };
    for function in 0..functions {
        maker.function(function);
    }
    let mut slots = resolve(&maker.items);
    if random.chance(15) {
        mutate(random, &mut slots);
    }
    slots
}

fn resolve(items: &[Item]) -> Vec<RawInsn> {
    let size = |item: &Item| match item {
        Item::Label(_) => 0,
        Item::Plain(insn) => insn.slots() as i64,
        Item::Jump(..) | Item::Call(_) => 1,
        Item::Address(..) => 2,
    };
    let mut places = std::collections::BTreeMap::new();
    let mut at = 0;
    for item in items {
        if let Item::Label(label) = item {
            places.insert(*label, at);
        }
        at += size(item);
    }
    let mut slots = Vec::new();
    let mut at = 0;
    for item in items {
        let to = |label: &usize| places[label] - at - 1;
        let insn = match item {
            Item::Label(_) => continue,
            Item::Plain(insn) => *insn,
            Item::Jump(insn, label) => insn
                .with_relative_offset(to(label) as i32)
                .expect("a near target"),
            Item::Call(label) => Insn::Call(CallTarget::Subprogram {
                offset: to(label) as i32,
            }),
            Item::Address(dst, label) => Insn::LoadImm64 {
                dst: *dst,
                value: Imm64::Subprogram {
                    offset: to(label) as i32,
                },
            },
        };
        slots.extend(insn.encode().iter().copied());
        at += size(item);
    }
    slots
}

/// Changes a few fields: most such programs do not load, or fault.
fn mutate(random: &mut Random, slots: &mut [RawInsn]) {
    for _ in 0..1 + random.below(3) {
        let at = random.below(slots.len() as u64) as usize;
        let mut bytes = slots[at].to_bytes(skep_isa::Endian::Little);
        match random.below(5) {
            0 => bytes[1] = random.next() as u8,
            1 => bytes[2] = random.next() as u8,
            2 => bytes[4 + random.below(4) as usize] = random.next() as u8,
            3 => bytes[0] ^= 1 << random.below(8),
            _ => {
                let other = random.below(slots.len() as u64) as usize;
                bytes = slots[other].to_bytes(skep_isa::Endian::Little);
            }
        }
        slots[at] = RawInsn::from_bytes(bytes, skep_isa::Endian::Little);
    }
}

const NUMBERS: &[i32] = &[
    0,
    1,
    -1,
    2,
    3,
    7,
    8,
    16,
    31,
    32,
    63,
    64,
    127,
    255,
    256,
    -8,
    -512,
    511,
    512,
    1000,
    65535,
    i32::MIN,
    i32::MAX,
    0x1234_5678,
];

impl Maker<'_> {
    fn label(&mut self) -> usize {
        self.labels += 1;
        self.labels - 1
    }

    fn push(&mut self, insn: Insn) {
        self.items.push(Item::Plain(insn));
    }

    /// R0 to R5 and R7 to R9: R6 keeps the first argument.
    fn register(&mut self) -> Reg {
        loop {
            let register = self.random.pick(&[
                Reg::R0,
                Reg::R1,
                Reg::R2,
                Reg::R3,
                Reg::R4,
                Reg::R5,
                Reg::R7,
                Reg::R8,
                Reg::R9,
            ]);
            if !self.reserved.contains(&register) || self.random.chance(1) {
                return register;
            }
        }
    }

    fn number(&mut self) -> i32 {
        match self.random.below(3) {
            0 => self.random.next() as i32,
            1 => self.random.between(-64, 64) as i32,
            _ => self.random.pick(NUMBERS),
        }
    }

    fn width(&mut self) -> Width {
        self.random.pick(&[Width::W64, Width::W32])
    }

    fn operand(&mut self) -> Operand {
        if self.random.chance(50) {
            Operand::Reg(self.register())
        } else {
            Operand::Imm(self.number())
        }
    }

    fn function(&mut self, index: usize) {
        self.function = index;
        self.items.push(Item::Label(index));
        self.mov(Reg::R6, Operand::Reg(Reg::R1));
        for register in [Reg::R7, Reg::R8, Reg::R9] {
            if self.random.chance(70) {
                let number = self.number();
                self.mov(register, Operand::Imm(number));
            }
        }
        let statements = 3 + self.random.below(12);
        for _ in 0..statements {
            self.statement();
        }
        if self.random.chance(50) {
            let from = self.register();
            self.mov(Reg::R0, Operand::Reg(from));
        }
        self.push(Insn::Exit);
    }

    fn mov(&mut self, dst: Reg, src: Operand) {
        self.push(Insn::Mov {
            width: Width::W64,
            dst,
            src,
        });
    }

    fn add(&mut self, dst: Reg, src: Operand) {
        self.push(Insn::Alu {
            width: Width::W64,
            op: AluOp::Add,
            dst,
            src,
        });
    }

    fn statement(&mut self) {
        match self.random.below(100) {
            0..32 => self.arithmetic(),
            32..50 => {
                let (base, offset, size) = self.constant_place();
                self.access(base, offset, size);
            }
            50..62 => self.indexed(),
            62..72 => self.branch(),
            72..84 => self.looped(),
            84..90 => self.call(),
            90..93 => self.callback(),
            93..96 => self.stack_argument(),
            96..98 => self.spill(),
            _ => self.jump_forward(),
        }
    }

    fn arithmetic(&mut self) {
        let (dst, width) = (self.register(), self.width());
        match self.random.below(12) {
            0 => {
                let src = self.operand();
                self.push(Insn::Mov { width, dst, src });
            }
            1 => {
                let extension = self.random.pick(&[
                    SignExtension::S8To32,
                    SignExtension::S16To32,
                    SignExtension::S8To64,
                    SignExtension::S16To64,
                    SignExtension::S32To64,
                ]);
                let src = self.register();
                self.push(Insn::MovSx {
                    extension,
                    dst,
                    src,
                });
            }
            2 => self.push(Insn::Neg { width, dst }),
            3 => {
                let order = self
                    .random
                    .pick(&[ByteOrder::Little, ByteOrder::Big, ByteOrder::Swap]);
                let width =
                    self.random
                        .pick(&[SwapWidth::Bits16, SwapWidth::Bits32, SwapWidth::Bits64]);
                self.push(Insn::ByteSwap { order, width, dst });
            }
            4 => {
                let value = match self.random.below(3) {
                    0 => self.random.next(),
                    1 => i64::from(self.number()) as u64,
                    _ => 1 << self.random.below(64),
                };
                let value = Imm64::Value(value);
                self.push(Insn::LoadImm64 { dst, value });
            }
            _ => {
                let op = self.random.pick(&[
                    AluOp::Add,
                    AluOp::Sub,
                    AluOp::Mul,
                    AluOp::Div,
                    AluOp::SDiv,
                    AluOp::Mod,
                    AluOp::SMod,
                    AluOp::Or,
                    AluOp::And,
                    AluOp::Xor,
                    AluOp::Lsh,
                    AluOp::Rsh,
                    AluOp::Arsh,
                ]);
                let src = self.operand();
                self.push(Insn::Alu {
                    width,
                    op,
                    dst,
                    src,
                });
            }
        }
    }

    fn some_function(&mut self) -> usize {
        let next = self.function + 1;
        if next < self.functions && self.random.chance(98) {
            self.random.between(next as i64, self.functions as i64 - 1) as usize
        } else {
            self.random.below(self.functions as u64) as usize
        }
    }

    fn call(&mut self) {
        if self.function + 1 == self.functions && self.random.chance(95) {
            return;
        }
        self.mov(Reg::R1, Operand::Reg(Reg::R6));
        if self.random.chance(30) {
            self.mov(Reg::R2, Operand::Reg(Reg::R10));
        }
        let function = self.some_function();
        self.items.push(Item::Call(function));
    }

    /// `bpf_loop`
    fn callback(&mut self) {
        if self.function + 1 == self.functions && self.random.chance(95) {
            return;
        }
        let function = self.some_function();
        let rounds = self.random.between(0, 3) as i32;
        self.mov(Reg::R1, Operand::Imm(rounds));
        self.items.push(Item::Address(Reg::R2, function));
        self.mov(Reg::R3, Operand::Reg(Reg::R6));
        self.mov(Reg::R4, Operand::Imm(0));
        self.push(Insn::Call(CallTarget::Helper(181)));
    }

    fn stack_argument(&mut self) {
        let Some(arg) = StackArg::new(self.random.below(7) as u16) else {
            return;
        };
        if self.random.chance(60) {
            let value = self.operand();
            self.push(Insn::StoreStackArg { arg, value });
        } else {
            let dst = self.register();
            self.push(Insn::LoadStackArg { dst, arg });
        }
    }

    /// A pointer goes to the frame and comes back.
    fn spill(&mut self) {
        let slot = -8 * self.random.between(1, 64) as i16;
        let (from, to) = (self.register(), self.register());
        let place = self.random.between(-512, -8) as i32;
        self.mov(from, Operand::Reg(Reg::R10));
        self.add(from, Operand::Imm(place));
        self.push(Insn::Store {
            size: Size::Dw,
            base: Reg::R10,
            offset: slot,
            value: Operand::Reg(from),
        });
        for _ in 0..self.random.below(3) {
            self.statement();
        }
        self.push(Insn::Load {
            size: Size::Dw,
            dst: to,
            base: Reg::R10,
            offset: slot,
        });
        let size = self.size();
        self.access(to, 0, size);
    }

    fn jump_forward(&mut self) {
        let end = self.label();
        let jump = self.condition();
        self.items.push(Item::Jump(jump, end));
        self.nested();
        self.items.push(Item::Label(end));
    }
}
