//! The budget: who pays, where it is looked at, and what is kept while the run refills it.

use cranelift_codegen::ir::{
    Block, InstBuilder as _, SourceLoc, StackSlotData, StackSlotKind, Value, condcodes::IntCC,
    types::I64,
};
use skep_host::Errno;
use skep_isa::{Insn, InsnIndex, Width};

use super::{
    counted::{self, Counted},
    function::{Translator, hot},
    liveness, shims,
};

impl Translator<'_> {
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
    pub(super) fn spend(&mut self, cost: u32, at: u32, target: u32, block: Block) {
        let budget = self.b.use_var(self.budget);
        let cost = self.b.ins().iconst(I64, i64::from(cost));
        let left = self.b.ins().isub(budget, cost);
        self.pay(left, (at, target), block, |this| {
            this.b.ins().iconst(I64, i64::from(at))
        });
    }

    /// The same when it is known what is left.
    pub(super) fn pay(
        &mut self,
        left: Value,
        (at, target): (u32, u32),
        block: Block,
        place: impl FnOnce(&mut Self) -> Value,
    ) {
        self.b.def_var(self.budget, left);
        if self.is_covered(target) {
            self.b.ins().jump(block, &[]);
            return;
        }
        let spent = self.b.ins().icmp_imm(IntCC::SignedLessThan, left, 0);
        let rare = if self.is_way_back(at, target) {
            // Laid out behind the jump, which then needs no second one.
            self.b.create_block()
        } else {
            self.cold_block()
        };
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

    /// Translates a counted loop: its gate, and both copies.
    pub(super) fn copies_of(
        &mut self,
        looped: &Counted,
        all: &[(InsnIndex, Insn)],
    ) -> Result<bool, Errno> {
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
    pub(super) fn is_covered(&self, place: u32) -> bool {
        matches!(&self.copy, Some((slots, true)) if slots.contains(&place))
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
            self.assign(register, value);
        }
    }
}
