//! Random programs from a seed: mostly meaningful, with loops, calls, callbacks and accesses that
//! are usually inside the frame or the context; sometimes mutated.

use skep_isa::{
    AluOp, AtomicOp, ByteOrder, CallTarget, CompareOp, Imm64, Insn, NarrowSize, Operand, RawInsn,
    Reg, SignExtension, Size, StackArg, SwapWidth, Width,
};

/// Numbers from a seed (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    pub(crate) fn between(&mut self, first: i64, last: i64) -> i64 {
        first + self.below((last - first + 1) as u64) as i64
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

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

    fn size(&mut self) -> Size {
        self.random.pick(&[Size::B, Size::H, Size::W, Size::Dw])
    }

    /// A place in the frame or in the context, now and then a little out of it.
    fn constant_place(&mut self) -> (Reg, i16, Size) {
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

    fn access(&mut self, base: Reg, offset: i16, size: Size) {
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
    fn indexed(&mut self) {
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

    fn condition(&mut self) -> Insn {
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

    fn nested(&mut self) {
        if self.depth >= 3 {
            return;
        }
        self.depth += 1;
        for _ in 0..1 + self.random.below(4) {
            self.statement();
        }
        self.depth -= 1;
    }

    fn branch(&mut self) {
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
    fn looped(&mut self) {
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
