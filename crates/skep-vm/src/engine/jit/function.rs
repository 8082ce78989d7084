//! One function of a program: its blocks, registers and frame.

use std::collections::BTreeMap;

use cranelift_codegen::{
    ir::{
        AbiParam, Block, Function, InstBuilder as _, MemFlags, Signature, SourceLoc, StackSlot,
        UserFuncName, Value,
        condcodes::IntCC,
        types::{I32, I64},
    },
    isa::{CallConv, TargetIsa},
};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext, Variable};
use skep_host::Errno;
use skep_isa::{Imm64, Insn, InsnIndex, Operand, Reg};

use super::{
    chain,
    counted::{self, Counted},
    floats::Mirror,
    liveness, shims,
};
use crate::{
    engine::{
        Mode, Status,
        elide::{self, Facts},
    },
    program::Code,
    run::{Hot, Run},
};

/// Arguments of a function beyond the fifth.
pub(super) type StackArguments = [u64; 8];

/// Those of a function that is called by the machine.
pub(super) static NO_ARGUMENTS: StackArguments = [0; 8];

/// Rounds that a `may_goto` gives a frame.
pub(super) const MAY_GOTO: i64 = skep_abi::limits::LOOP_ROUNDS as i64;

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
    pub(super) wanted: Vec<liveness::Registers>,
    /// Where they are kept over calls on ways that are hardly ever taken.
    pub(super) kept: Option<StackSlot>,
    /// Divisions to be done by floating-point numbers, with the register that holds the dividend
    /// in all of the loop.
    pub(super) by_floats: BTreeMap<u32, Option<Reg>>,
    /// Registers of such, as floating-point numbers.
    pub(super) mirrors: Vec<Mirror>,
    /// Remainders: 0 where these two are equal.
    pub(super) remainders: BTreeMap<Value, (Value, Value)>,
    pub(super) function: u32,
    pub(super) start: u32,
    /// R0 to R9.
    pub(super) registers: [Variable; 10],
    /// Instructions left, in checked mode.
    pub(super) budget: Variable,
    pub(super) may_goto: Variable,
    /// Registers that hold a copy of another, with a constant added or not: bits. What is
    /// computed from them is better folded into addresses than kept.
    copies: u16,
    pub(super) run: Value,
    /// R10.
    pub(super) frame: Value,
    /// Stack arguments: where those that it was given are, and those that it gives.
    pub(super) given: Option<Value>,
    pub(super) passed: Option<StackSlot>,
    /// The first and the last slot that each one is reached from, in checked mode.
    pub(super) sources: Vec<(u32, u32)>,
    /// Where control meets, by the slot in the function.
    pub(super) blocks: Vec<Option<Block>>,
    /// Counted loops, which are there twice: in `blocks` and, for when the budget covers them, in
    /// `covered`. They are entered by gates.
    pub(super) loops: Vec<Counted>,
    pub(super) covered: Vec<Option<Block>>,
    pub(super) gates: BTreeMap<u32, Block>,
    /// The loop that is being translated, and whether it is the covered copy.
    pub(super) copy: Option<(std::ops::Range<u32>, bool)>,
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
        wanted: if mode == Mode::Checked || code.has_guarded() {
            liveness::wanted(code.function_instructions(function))
        } else {
            Vec::new()
        },
        kept: None,
        by_floats: if isa.name() == "x64" {
            chain::independent(code.function_instructions(function))
        } else {
            BTreeMap::new()
        },
        mirrors: Vec::new(),
        remainders: BTreeMap::new(),
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
        sources: Vec::new(),
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
    translator.mirrors();
    for (register, value) in (1..6).zip(&parameters[1..6]) {
        translator.assign(register, *value);
    }
    let zero = translator.b.ins().iconst(I64, 0);
    for register in [0, 6, 7, 8, 9] {
        translator.assign(register, zero);
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
    pub(super) fn range(
        &mut self,
        mut rest: &[(InsnIndex, Insn)],
        mut open: bool,
    ) -> Result<bool, Errno> {
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

    /// Looks whether there is room for the frame, and pays for the function.
    fn enter(&mut self) {
        if !self.checked {
            return;
        }
        self.sources();
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
        self.assign(usize::from(register.number()), value);
        self.copies &= !(1 << register.number());
    }

    /// Sets a register, wherever it is kept.
    pub(super) fn assign(&mut self, register: usize, value: Value) {
        if let Some(variable) = self.registers.get(register) {
            self.b.def_var(*variable, value);
            self.reflect(register, value);
        }
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
        // A sum may be anywhere. R0 itself would have to be in the register of results, and with
        // it the value before, which costs loops a move on each way that leaves R0 as it is.
        let value = self.b.ins().iadd(value, done);
        self.b.ins().return_(&[value, done]);
    }

    pub(super) fn operand(&mut self, operand: Operand) -> Value {
        match operand {
            Operand::Reg(register) => self.get(register),
            Operand::Imm(imm) => self.b.ins().iconst(I64, i64::from(imm)),
        }
    }

    pub(super) fn operand32(&mut self, operand: Operand) -> Value {
        match operand {
            Operand::Reg(register) => self.get32(register),
            Operand::Imm(imm) => self.b.ins().iconst(I32, i64::from(imm.cast_unsigned())),
        }
    }
}
