//! One function of a program: its blocks, jumps and frame.

use std::collections::{BTreeMap, BTreeSet};

use cranelift_codegen::{
    ir::{
        AbiParam, Block, Function, InstBuilder as _, InstructionData, MemFlags, Opcode, Signature,
        SourceLoc, StackSlot, StackSlotData, StackSlotKind, UserFuncName, Value,
        condcodes::{CondCode as _, IntCC},
        types::{I8, I32, I64},
    },
    isa::{CallConv, TargetIsa},
};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext, Switch, Variable};
use skep_host::Errno;
use skep_isa::{CompareOp, Imm64, Insn, InsnIndex, Operand, Reg, Width};

use super::{
    chain,
    counted::{self, Counted},
    liveness, shims,
};
use crate::{
    engine::{
        Mode, Status,
        elide::{self, Facts},
    },
    program::{Code, PLACES},
    run::{Hot, Run},
};

/// Arguments of a function beyond the fifth.
pub(super) type StackArguments = [u64; 8];

/// Those of a function that is called by the machine.
pub(super) static NO_ARGUMENTS: StackArguments = [0; 8];

/// Rounds that a `may_goto` gives a frame.
const MAY_GOTO: i64 = skep_abi::limits::LOOP_ROUNDS as i64;

/// The offset of a field that machine code uses.
macro_rules! hot {
    ($($field:tt)*) => {
        i32::try_from(
            std::mem::offset_of!($crate::run::Run<'static>, hot)
                + std::mem::offset_of!($crate::run::Hot, $($field)*),
        )
        .unwrap_or_default()
    };
}
pub(super) use hot;

const _: () = assert!(std::mem::offset_of!(Run<'static>, hot) + size_of::<Hot>() < 4096);

/// A function that is being translated.
pub(super) struct Translator<'a> {
    pub(super) b: FunctionBuilder<'a>,
    pub(super) code: &'a Code,
    pub(super) checked: bool,
    /// Whether a plain access is ordered as acquire and release say.
    pub(super) ordered: bool,
    pub(super) call_conv: CallConv,
    pub(super) facts: Facts,
    /// What registers are wanted, before each instruction.
    wanted: Vec<liveness::Registers>,
    /// Where they are kept over calls on ways that are hardly ever taken.
    kept: Option<StackSlot>,
    /// Divisions to be done by floating-point numbers.
    pub(super) by_doubles: BTreeSet<u32>,
    function: u32,
    start: u32,
    /// R0 to R9.
    registers: [Variable; 10],
    /// Instructions left, in checked mode.
    budget: Variable,
    may_goto: Variable,
    /// Registers that hold a copy of another, with a constant added or not: bits. What is
    /// computed from them is better folded into addresses than kept.
    copies: u16,
    pub(super) run: Value,
    /// R10.
    pub(super) frame: Value,
    /// Stack arguments: where those that it was given are, and those that it gives.
    given: Option<Value>,
    pub(super) passed: Option<StackSlot>,
    /// Where control meets, by the slot in the function.
    blocks: Vec<Option<Block>>,
    /// Counted loops, which are there twice: in `blocks` and, for when the budget covers them, in
    /// `covered`. They are entered by gates.
    loops: Vec<Counted>,
    covered: Vec<Option<Block>>,
    gates: BTreeMap<u32, Block>,
    /// The loop that is being translated, and whether it is the covered copy.
    copy: Option<(std::ops::Range<u32>, bool)>,
    /// Where all faults leave.
    fault: Option<Block>,
}

/// Whether a program has arguments beyond the fifth.
pub(super) fn stack_arguments(code: &Code) -> bool {
    let mut all = code.instructions();
    all.any(|(_, insn)| matches!(insn, Insn::LoadStackArg { .. } | Insn::StoreStackArg { .. }))
}

/// The signature of every function of a program.
pub(super) fn signature(code: &Code, call_conv: CallConv) -> Signature {
    let mut signature = Signature::new(call_conv);
    let parameters = 7 + usize::from(stack_arguments(code));
    signature.params = vec![AbiParam::new(I64); parameters];
    signature.returns = vec![AbiParam::new(I64); 2];
    signature
}

/// Translates a function into `into`.
///
/// # Errors
/// `EOPNOTSUPP`: something that loading should have refused.
pub(super) fn build(
    into: &mut Function,
    context: &mut FunctionBuilderContext,
    code: &Code,
    function: u32,
    mode: Mode,
    isa: &dyn TargetIsa,
) -> Result<(), Errno> {
    let call_conv = isa.default_call_conv();
    into.name = UserFuncName::user(0, function);
    into.signature = signature(code, call_conv);
    let start = code.function_start(function).ok_or(Errno::EOPNOTSUPP)?;
    let mut b = FunctionBuilder::new(into, context);
    let entry = b.create_block();
    b.append_block_params_for_function_params(entry);
    b.switch_to_block(entry);
    b.seal_block(entry);
    let parameters = b.block_params(entry).to_vec();
    let registers = std::array::from_fn(|_| b.declare_var(I64));
    let (budget, may_goto) = (b.declare_var(I64), b.declare_var(I32));
    let mut translator = Translator {
        b,
        code,
        checked: mode == Mode::Checked,
        ordered: isa.name() == "x64",
        call_conv,
        facts: elide::analyze(code, function),
        wanted: if mode == Mode::Checked {
            liveness::wanted(code.function_instructions(function))
        } else {
            Vec::new()
        },
        kept: None,
        by_doubles: if isa.name() == "x64" {
            chain::independent(code.function_instructions(function))
        } else {
            BTreeSet::new()
        },
        function,
        start: start.0,
        registers,
        budget,
        may_goto,
        copies: 0,
        run: *parameters.first().ok_or(Errno::EOPNOTSUPP)?,
        frame: *parameters.get(6).ok_or(Errno::EOPNOTSUPP)?,
        given: parameters.get(7).copied(),
        passed: None,
        blocks: vec![None; code.function_len(function) as usize],
        loops: if mode == Mode::Checked {
            counted::loops(code.function_instructions(function))
        } else {
            Vec::new()
        },
        covered: Vec::new(),
        gates: BTreeMap::new(),
        copy: None,
        fault: None,
    };
    for (register, value) in (1..6).zip(&parameters[1..6]) {
        translator.b.def_var(registers[register], *value);
    }
    let zero = translator.b.ins().iconst(I64, 0);
    for register in [0, 6, 7, 8, 9] {
        translator.b.def_var(registers[register], zero);
    }
    translator.translate()?;
    let Translator { mut b, .. } = translator;
    b.seal_all_blocks();
    b.finalize();
    Ok(())
}

impl Translator<'_> {
    fn translate(&mut self) -> Result<(), Errno> {
        let code = self.code;
        self.leaders();
        self.enter();
        let all = code.function_instructions(self.function);
        let (mut open, mut done) = (true, 0);
        for looped in std::mem::take(&mut self.loops) {
            let before = all.get(done..looped.range.start).unwrap_or_default();
            open = self.range(before, open)?;
            if let (true, Some(block)) = (open, self.block(looped.slots.start)) {
                self.b.ins().jump(block, &[]);
            }
            open = self.copies_of(&looped, all)?;
            done = looped.range.end;
        }
        self.range(all.get(done..).unwrap_or_default(), open)?;
        if let Some(fault) = self.fault {
            self.b.set_cold_block(fault);
            self.b.switch_to_block(fault);
            let value = self.b.ins().iconst(I64, 0);
            let status = self.b.ins().iconst(I64, Status::Fault as i64);
            self.b.ins().return_(&[value, status]);
        }
        Ok(())
    }

    /// Translates instructions that follow one another; answers whether control passes on.
    fn range(&mut self, mut rest: &[(InsnIndex, Insn)], mut open: bool) -> Result<bool, Errno> {
        while let Some(((at, insn), after)) = rest.split_first() {
            if let Some(block) = self.block(at.0) {
                if open {
                    self.b.ins().jump(block, &[]);
                }
                self.b.switch_to_block(block);
                self.copies = 0;
                open = true;
            }
            let place = match self.copy {
                // The other copy is the one whose place in memory matters.
                Some((_, false)) => SourceLoc::default(),
                _ => SourceLoc::new(at.0 - self.start),
            };
            self.b.set_srcloc(place);
            rest = after;
            if !open {
                continue;
            }
            match self.choice(*at, insn, after) {
                Some((length, falls)) => {
                    rest = after.get(length..).unwrap_or_default();
                    open = falls;
                }
                None => open = self.insn(*at, insn)?,
            }
        }
        Ok(open)
    }

    /// Translates a counted loop: its gate, and both copies.
    fn copies_of(&mut self, looped: &Counted, all: &[(InsnIndex, Insn)]) -> Result<bool, Errno> {
        self.b.set_srcloc(SourceLoc::default());
        self.gate(looped)?;
        let body = all.get(looped.range.clone()).unwrap_or_default();
        for covered in [true, false] {
            self.copy = Some((looped.slots.clone(), covered));
            let open = self.range(body, false)?;
            self.copy = None;
            if open {
                let next = self.block(looped.slots.end).ok_or(Errno::EOPNOTSUPP)?;
                self.b.ins().jump(next, &[]);
            }
        }
        Ok(false)
    }

    /// Enters a counted loop: the covered copy, if what is left of the budget covers all rounds.
    fn gate(&mut self, looped: &Counted) -> Result<(), Errno> {
        let entry = looped.entry;
        let gate = self.block(entry).ok_or(Errno::EOPNOTSUPP)?;
        self.b.switch_to_block(gate);
        if looped.from_before {
            self.b.seal_block(gate);
        }
        let place = (entry - self.start) as usize;
        let block = |blocks: &[Option<Block>]| blocks.get(place).copied().flatten();
        let (Some(covered), Some(other)) = (block(&self.covered), block(&self.blocks)) else {
            return Err(Errno::EOPNOTSUPP);
        };
        let budget = self.b.use_var(self.budget);
        let (counter, bound) = match looped.width {
            Width::W64 => (self.get(looped.counter), self.operand(looped.bound)),
            Width::W32 => (self.get32(looped.counter), self.operand32(looped.bound)),
        };
        let (from, to) = if looped.up {
            (counter, bound)
        } else {
            (bound, counter)
        };
        if let (Some(from), Some(to)) = (self.constant(from), self.constant(to)) {
            let rounds = to.wrapping_sub(from);
            if !(1..=counted::MOST_ROUNDS).contains(&rounds) {
                self.b.ins().jump(other, &[]);
                return Ok(());
            }
            let cost = self.b.ins().iconst(I64, rounds * i64::from(looped.cost));
            let short = self.b.ins().icmp(IntCC::SignedGreaterThan, cost, budget);
            self.b.ins().brif(short, other, &[], covered, &[]);
            return Ok(());
        }
        let distance = self.b.ins().isub(to, from);
        let rounds = match looped.width {
            Width::W64 => distance,
            Width::W32 => self.b.ins().uextend(I64, distance),
        };
        // None is as many as there are numbers.
        let less = self.b.ins().iadd_imm(rounds, -1);
        let most = counted::MOST_ROUNDS;
        let many = IntCC::UnsignedGreaterThanOrEqual;
        let many = self.b.ins().icmp_imm(many, less, most);
        let cost = self.b.ins().imul_imm(rounds, i64::from(looped.cost));
        let short = self.b.ins().icmp(IntCC::SignedGreaterThan, cost, budget);
        let short = self.b.ins().bor(many, short);
        self.b.ins().brif(short, other, &[], covered, &[]);
        Ok(())
    }

    /// Whether what is translated, and this place, are in a loop that the budget covers.
    fn is_covered(&self, place: u32) -> bool {
        matches!(&self.copy, Some((slots, true)) if slots.contains(&place))
    }

    /// Makes blocks for all places that jumps of this function go to.
    fn leaders(&mut self) {
        let code = self.code;
        let mut places = Vec::new();
        let (mut stores_argument, mut indirect, mut may_goto) = (false, false, false);
        for (at, insn) in code.function_instructions(self.function) {
            match insn {
                Insn::StoreStackArg { .. } => stores_argument = true,
                Insn::JumpIndirect { .. } => indirect = true,
                Insn::MayGoto { .. } => may_goto = true,
                _ => {}
            }
            places.extend(insn.target(*at).map(|target| target.0));
        }
        for looped in &self.loops {
            places.extend(looped.falls_out.then_some(looped.slots.end));
            places.push(looped.entry);
        }
        if indirect {
            places.extend(self.indirect_targets().map(|target| target.0));
        }
        for place in places {
            if let Some(block) = self.blocks.get_mut((place - self.start) as usize) {
                block.get_or_insert_with(|| self.b.create_block());
            }
        }
        self.covered = vec![
            None;
            if self.loops.is_empty() {
                0
            } else {
                self.blocks.len()
            }
        ];
        for looped in &self.loops {
            self.gates.insert(looped.entry, self.b.create_block());
            for place in looped.slots.clone() {
                let place = (place - self.start) as usize;
                if let (Some(Some(_)), Some(block)) =
                    (self.blocks.get(place), self.covered.get_mut(place))
                {
                    *block = Some(self.b.create_block());
                }
            }
        }
        if may_goto {
            let rounds = self.b.ins().iconst(I32, MAY_GOTO);
            self.b.def_var(self.may_goto, rounds);
        }
        if stores_argument {
            let size = size_of::<StackArguments>() as u32;
            let data = StackSlotData::new(StackSlotKind::ExplicitSlot, size, 3);
            let slot = self.b.create_sized_stack_slot(data);
            let zero = self.b.ins().iconst(I64, 0);
            for place in 0..size as i32 / 8 {
                self.b.ins().stack_store(zero, slot, place * 8);
            }
            self.passed = Some(slot);
        }
    }

    fn indirect_targets(&self) -> impl Iterator<Item = InsnIndex> + use<'_> {
        let end = self.start + self.code.function_len(self.function);
        let all = self.code.targets().iter().copied();
        all.filter(move |target| (self.start..end).contains(&target.0))
    }

    /// Where control meets at a place, as seen from what is being translated.
    fn block(&self, at: u32) -> Option<Block> {
        let blocks = match &self.copy {
            Some((slots, covered)) if slots.contains(&at) => match covered {
                true => &self.covered,
                false => &self.blocks,
            },
            _ => match self.gates.get(&at) {
                Some(gate) => return Some(*gate),
                None => &self.blocks,
            },
        };
        *blocks.get((at - self.start) as usize)?
    }

    /// Looks whether there is room for the frame, and pays for the function.
    fn enter(&mut self) {
        if !self.checked {
            return;
        }
        let (cold, next) = (self.cold_block(), self.b.create_block());
        let lowest = self.load_hot(hot!(lowest));
        let lower = self
            .b
            .ins()
            .icmp(IntCC::UnsignedLessThan, self.frame, lowest);
        self.b.ins().brif(lower, cold, &[], next, &[]);
        self.b.switch_to_block(cold);
        self.b.seal_block(cold);
        let wanted = self.wanted(self.start);
        self.keep(wanted);
        let at = self.b.ins().iconst(I64, i64::from(self.start));
        let failed = self.shim(shims::enter as *const () as usize, &[self.frame, at], 1)[0];
        self.bring_back(wanted);
        let fault = self.fault();
        self.b.ins().brif(failed, fault, &[], next, &[]);
        self.b.switch_to_block(next);
        self.b.seal_block(next);
        self.load_budget();
        let cost = self.code.function_len(self.function);
        let (start, next) = (self.start, self.b.create_block());
        self.spend(cost, start, start, next);
        self.begin(next);
    }

    /// The registers that are wanted before an instruction.
    pub(super) fn wanted(&self, at: u32) -> liveness::Registers {
        let all = self.code.function_instructions(self.function);
        let place = all.binary_search_by_key(&at, |(at, _)| at.0);
        let wanted = place.ok().and_then(|place| self.wanted.get(place));
        wanted.copied().unwrap_or(0x3ff)
    }

    fn each(registers: liveness::Registers) -> impl Iterator<Item = (usize, i32)> {
        let all = (0..10_usize).filter(move |register| registers & 1 << register != 0);
        all.map(|register| (register, 8 * register as i32))
    }

    /// Puts registers aside before a call that is hardly ever made.
    pub(super) fn keep(&mut self, registers: liveness::Registers) {
        let slot = *self.kept.get_or_insert_with(|| {
            let data = StackSlotData::new(StackSlotKind::ExplicitSlot, 80, 3);
            self.b.create_sized_stack_slot(data)
        });
        for (register, offset) in Self::each(registers) {
            let value = self.b.use_var(self.registers[register]);
            self.b.ins().stack_store(value, slot, offset);
        }
    }

    /// Takes them back.
    pub(super) fn bring_back(&mut self, registers: liveness::Registers) {
        let Some(slot) = self.kept else {
            return;
        };
        for (register, offset) in Self::each(registers) {
            let value = self.b.ins().stack_load(I64, slot, offset);
            self.b.def_var(self.registers[register], value);
        }
    }

    /// Where faults leave the function.
    pub(super) fn fault(&mut self) -> Block {
        *self.fault.get_or_insert_with(|| self.b.create_block())
    }

    /// Goes on in a block whose predecessors are all known.
    pub(super) fn begin(&mut self, block: Block) {
        self.b.switch_to_block(block);
        self.b.seal_block(block);
    }

    pub(super) fn cold_block(&mut self) -> Block {
        let block = self.b.create_block();
        self.b.set_cold_block(block);
        block
    }

    // ── registers and the run's fields ──────────────────────────────────────────────────────

    pub(super) fn get(&mut self, register: Reg) -> Value {
        match self.registers.get(usize::from(register.number())) {
            Some(variable) => self.b.use_var(*variable),
            None => self.frame,
        }
    }

    pub(super) fn set(&mut self, register: Reg, value: Value) {
        // Loading refuses what writes R10.
        if let Some(variable) = self.registers.get(usize::from(register.number())) {
            self.b.def_var(*variable, value);
        }
        self.copies &= !(1 << register.number());
    }

    /// Says that a register was set to a copy.
    pub(super) fn set_copy(&mut self, register: Reg) {
        self.copies |= 1 << register.number();
    }

    pub(super) fn is_copy(&self, register: Reg) -> bool {
        self.copies & 1 << register.number() != 0
    }

    /// The low half of a register.
    pub(super) fn get32(&mut self, register: Reg) -> Value {
        let value = self.get(register);
        self.b.ins().ireduce(I32, value)
    }

    pub(super) fn set32(&mut self, register: Reg, value: Value) {
        let value = self.b.ins().uextend(I64, value);
        self.set(register, value);
    }

    pub(super) fn load_hot(&mut self, offset: i32) -> Value {
        self.b
            .ins()
            .load(I64, MemFlags::trusted(), self.run, offset)
    }

    pub(super) fn store_hot(&mut self, value: Value, offset: i32) {
        self.b
            .ins()
            .store(MemFlags::trusted(), value, self.run, offset);
    }

    // ── the budget ──────────────────────────────────────────────────────────────────────────

    /// Takes the budget from the run, which others have used.
    pub(super) fn load_budget(&mut self) {
        if self.checked {
            let budget = self.load_hot(hot!(budget));
            self.b.def_var(self.budget, budget);
        }
    }

    /// Gives the budget to the run, for others to use.
    pub(super) fn store_budget(&mut self) {
        if self.checked {
            let budget = self.b.use_var(self.budget);
            self.store_hot(budget, hot!(budget));
        }
    }

    /// Pays at `at`, and goes to the block of `target`.
    fn spend(&mut self, cost: u32, at: u32, target: u32, block: Block) {
        let budget = self.b.use_var(self.budget);
        let cost = self.b.ins().iconst(I64, i64::from(cost));
        let left = self.b.ins().isub(budget, cost);
        self.pay(left, target, block, |this| {
            this.b.ins().iconst(I64, i64::from(at))
        });
    }

    /// The same when it is known what is left.
    fn pay(
        &mut self,
        left: Value,
        target: u32,
        block: Block,
        place: impl FnOnce(&mut Self) -> Value,
    ) {
        self.b.def_var(self.budget, left);
        if self.is_covered(target) {
            self.b.ins().jump(block, &[]);
            return;
        }
        let spent = self.b.ins().icmp_imm(IntCC::SignedLessThan, left, 0);
        // Laid out behind the jump back, so that this needs no second jump.
        let rare = self.b.create_block();
        self.b.ins().brif(spent, rare, &[], block, &[]);
        self.begin(rare);
        self.store_budget();
        let wanted = self.wanted(target);
        self.keep(wanted);
        let place = place(self);
        let failed = self.shim(shims::refill as *const () as usize, &[place], 1)[0];
        self.bring_back(wanted);
        self.load_budget();
        let fault = self.fault();
        self.b.ins().brif(failed, fault, &[], block, &[]);
    }

    // ── instructions ────────────────────────────────────────────────────────────────────────

    /// Translates one; answers whether control may pass to the next.
    fn insn(&mut self, at: InsnIndex, insn: &Insn) -> Result<bool, Errno> {
        match *insn {
            Insn::Alu {
                width,
                op,
                dst,
                src,
            } => self.alu(at, width, op, dst, src),
            Insn::Mov { width, dst, src } => self.mov(width, dst, src),
            Insn::MovSx {
                extension,
                dst,
                src,
            } => self.mov_signed(extension, dst, src),
            Insn::Neg { width, dst } => self.neg(width, dst),
            Insn::ByteSwap { order, width, dst } => self.swap(order, width, dst),
            Insn::AddrSpaceCast { cast, dst, src } => self.cast(cast, dst, src),
            Insn::LoadImm64 { dst, value } => {
                let value = match value {
                    Imm64::Value(value) => value,
                    // Loading resolves all others.
                    _ => 0,
                };
                let value = self.b.ins().iconst(I64, value.cast_signed());
                self.set(dst, value);
            }
            Insn::Load { .. }
            | Insn::LoadSigned { .. }
            | Insn::Store { .. }
            | Insn::Atomic { .. }
            | Insn::LoadAcquire { .. }
            | Insn::StoreRelease { .. } => self.access(at, insn),
            Insn::LoadStackArg { dst, arg } => {
                let given = self.given.ok_or(Errno::EOPNOTSUPP)?;
                let offset = i32::from(arg.index()) * 8;
                let flags = MemFlags::trusted();
                let value = self.b.ins().load(I64, flags, given, offset);
                self.set(dst, value);
            }
            Insn::StoreStackArg { arg, value } => {
                let value = self.operand(value);
                let slot = self.passed.ok_or(Errno::EOPNOTSUPP)?;
                self.b
                    .ins()
                    .stack_store(value, slot, i32::from(arg.index()) * 8);
            }
            Insn::LoadPacketAbs { size, offset } => {
                let offset = self.b.ins().iconst(I64, i64::from(offset));
                self.load_packet(size, offset);
            }
            Insn::LoadPacketInd {
                size,
                index,
                offset,
            } => {
                let index = self.get(index);
                let offset = self.b.ins().iadd_imm(index, i64::from(offset));
                self.load_packet(size, offset);
            }
            Insn::Jump { .. } | Insn::JumpLong { .. } => {
                let target = insn.target(at).ok_or(Errno::EOPNOTSUPP)?;
                self.go(at, target)?;
                return Ok(false);
            }
            Insn::JumpIf {
                width,
                op,
                dst,
                src,
                ..
            } => {
                let target = insn.target(at).ok_or(Errno::EOPNOTSUPP)?;
                let condition = self.condition(width, op, dst, src);
                self.go_if(condition, at, target)?;
            }
            Insn::MayGoto { .. } => {
                let target = insn.target(at).ok_or(Errno::EOPNOTSUPP)?;
                let left = self.b.use_var(self.may_goto);
                let none = self.b.ins().icmp_imm(IntCC::Equal, left, 0);
                self.go_if(none, at, target)?;
                let left = self.b.ins().iadd_imm(left, -1);
                self.b.def_var(self.may_goto, left);
            }
            Insn::JumpIndirect { target } => {
                self.go_indirect(at, target)?;
                return Ok(false);
            }
            Insn::Call(_) => self.call(at, insn)?,
            Insn::Exit => {
                self.exit();
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Leaves the function with R0.
    pub(super) fn exit(&mut self) {
        self.store_budget();
        let value = self.get(Reg::R0);
        let done = self.b.ins().iconst(I64, Status::Done as i64);
        self.b.ins().return_(&[value, done]);
    }

    pub(super) fn operand(&mut self, operand: Operand) -> Value {
        match operand {
            Operand::Reg(register) => self.get(register),
            Operand::Imm(imm) => self.b.ins().iconst(I64, i64::from(imm)),
        }
    }

    fn go(&mut self, at: InsnIndex, target: InsnIndex) -> Result<(), Errno> {
        let block = self.block(target.0).ok_or(Errno::EOPNOTSUPP)?;
        if self.checked && target <= at {
            self.spend(at.0 - target.0 + 1, at.0, target.0, block);
        } else {
            self.b.ins().jump(block, &[]);
        }
        Ok(())
    }

    fn go_if(&mut self, condition: Value, at: InsnIndex, target: InsnIndex) -> Result<(), Errno> {
        let next = self.b.create_block();
        if self.checked && target <= at && self.is_covered(target.0) {
            // Paid on both ways, so that there is nothing but the branch on the way back.
            let block = self.block(target.0).ok_or(Errno::EOPNOTSUPP)?;
            let cost = i64::from(at.0 - target.0 + 1);
            let budget = self.b.use_var(self.budget);
            let paid = self.b.ins().iconst(I64, cost);
            let left = self.b.ins().isub(budget, paid);
            self.b.def_var(self.budget, left);
            self.b.ins().brif(condition, block, &[], next, &[]);
            self.begin(next);
            let budget = self.b.ins().iadd_imm(left, cost);
            self.b.def_var(self.budget, budget);
            return Ok(());
        }
        if self.checked && target <= at {
            // What is visited last is laid out first: the way back.
            let taken = self.b.create_block();
            let opposite = self.opposite(condition);
            self.b.ins().brif(opposite, next, &[], taken, &[]);
            self.begin(taken);
            self.go(at, target)?;
        } else {
            let taken = self.block(target.0).ok_or(Errno::EOPNOTSUPP)?;
            self.b.ins().brif(condition, taken, &[], next, &[]);
        }
        self.begin(next);
        Ok(())
    }

    /// Holds when `condition` does not.
    fn opposite(&mut self, condition: Value) -> Value {
        let inst = self.b.func.dfg.value_def(condition).inst();
        match inst.map(|inst| self.b.func.dfg.insts[inst]) {
            Some(InstructionData::IntCompare {
                opcode: Opcode::Icmp,
                cond,
                args: [a, b],
            }) => self.b.ins().icmp(cond.complement(), a, b),
            _ => self.b.ins().icmp_imm(IntCC::Equal, condition, 0),
        }
    }

    /// A jump over a single move, or over a move and a jump to the same place: the move is done
    /// without a branch. Answers how many more instructions it was, and whether control passes on.
    fn choice(
        &mut self,
        at: InsnIndex,
        insn: &Insn,
        after: &[(InsnIndex, Insn)],
    ) -> Option<(usize, bool)> {
        let Insn::JumpIf {
            width,
            op,
            dst: left,
            src: right,
            ..
        } = *insn
        else {
            return None;
        };
        let target = insn.target(at)?;
        let [(second_at, second), third, ..] = after else {
            return None;
        };
        let Insn::Mov {
            width: move_width,
            dst,
            src,
        } = *second
        else {
            return None;
        };
        let (third_at, third) = third;
        let over = target == *third_at;
        let also_jumps = matches!(third, Insn::Jump { .. } | Insn::JumpLong { .. })
            && third.target(*third_at) == Some(target);
        let inner = |at: &InsnIndex| self.block(at.0).is_none();
        if !(over || also_jumps && inner(third_at)) || !inner(second_at) {
            return None;
        }
        let target_block = self.block(target.0)?;
        let condition = self.condition(width, op, left, right);
        let before = self.get(dst);
        self.mov(move_width, dst, src);
        let moved = self.get(dst);
        let value = self.select(condition, before, moved);
        self.set(dst, value);
        if over {
            return Some((1, true));
        }
        if self.checked && target <= at {
            // Each jump costs its own distance, and may be where the budget ends.
            let cost = i64::from(third_at.0 - target.0 + 1);
            let less = i64::from(third_at.0 - at.0);
            let budget = self.b.use_var(self.budget);
            let cost = self.b.ins().iconst(I64, cost);
            let left = self.b.ins().isub(budget, cost);
            let taken = match self.b.func.dfg.value_type(condition) {
                I8 => self.b.ins().uextend(I64, condition),
                _ => {
                    let taken = self.b.ins().icmp_imm(IntCC::NotEqual, condition, 0);
                    self.b.ins().uextend(I64, taken)
                }
            };
            let less = match less {
                2 => self.b.ins().ishl_imm(taken, 1),
                _ => self.b.ins().imul_imm(taken, less),
            };
            let left = self.b.ins().iadd(left, less);
            let places = [at.0, third_at.0];
            self.pay(left, target.0, target_block, |this| {
                let [first, second] =
                    places.map(|place| this.b.ins().iconst(I64, i64::from(place)));
                this.b.ins().select(condition, first, second)
            });
            return Some((2, false));
        }
        self.b.ins().jump(target_block, &[]);
        Some((2, false))
    }

    /// One of two values, by a condition.
    fn select(&mut self, condition: Value, yes: Value, no: Value) -> Value {
        let ty = self.b.func.dfg.value_type(condition);
        match (self.constant(yes), self.constant(no)) {
            (Some(1), Some(0)) if ty == I8 => self.b.ins().uextend(I64, condition),
            (Some(0), Some(1)) if ty == I8 => {
                let opposite = self.opposite(condition);
                self.b.ins().uextend(I64, opposite)
            }
            _ => self.b.ins().select(condition, yes, no),
        }
    }

    /// The constant that a value is.
    fn constant(&self, value: Value) -> Option<i64> {
        let inst = self.b.func.dfg.value_def(value).inst()?;
        match self.b.func.dfg.insts[inst] {
            InstructionData::UnaryImm {
                opcode: Opcode::Iconst,
                imm,
            } => Some(imm.bits()),
            _ => None,
        }
    }

    fn go_indirect(&mut self, at: InsnIndex, register: Reg) -> Result<(), Errno> {
        let place = self.get(register);
        let slot = self
            .b
            .ins()
            .iadd_imm(place, PLACES.wrapping_neg().cast_signed());
        let targets: Vec<_> = self.indirect_targets().collect();
        let mut switch = Switch::new();
        let mut ways = Vec::new();
        for target in targets {
            let way = self.b.create_block();
            switch.set_entry(u128::from(target.0), way);
            ways.push((way, target));
        }
        let nowhere = self.cold_block();
        switch.emit(&mut self.b, slot, nowhere);
        for (way, target) in ways {
            self.b.switch_to_block(way);
            self.go(at, target)?;
        }
        self.b.switch_to_block(nowhere);
        let at = self.b.ins().iconst(I64, i64::from(at.0));
        self.shim(shims::fail_jump as *const () as usize, &[place, at], 0);
        let fault = self.fault();
        self.b.ins().jump(fault, &[]);
        Ok(())
    }

    fn condition(&mut self, width: Width, op: CompareOp, dst: Reg, src: Operand) -> Value {
        let (a, b) = match width {
            Width::W64 => (self.get(dst), self.operand(src)),
            Width::W32 => (self.get32(dst), self.operand32(src)),
        };
        let code = match op {
            CompareOp::Eq => IntCC::Equal,
            CompareOp::Ne => IntCC::NotEqual,
            CompareOp::Gt => IntCC::UnsignedGreaterThan,
            CompareOp::Ge => IntCC::UnsignedGreaterThanOrEqual,
            CompareOp::Lt => IntCC::UnsignedLessThan,
            CompareOp::Le => IntCC::UnsignedLessThanOrEqual,
            CompareOp::SGt => IntCC::SignedGreaterThan,
            CompareOp::SGe => IntCC::SignedGreaterThanOrEqual,
            CompareOp::SLt => IntCC::SignedLessThan,
            CompareOp::SLe => IntCC::SignedLessThanOrEqual,
            CompareOp::Set => return self.b.ins().band(a, b),
        };
        self.b.ins().icmp(code, a, b)
    }

    pub(super) fn operand32(&mut self, operand: Operand) -> Value {
        match operand {
            Operand::Reg(register) => self.get32(register),
            Operand::Imm(imm) => self.b.ins().iconst(I32, i64::from(imm.cast_unsigned())),
        }
    }
}
