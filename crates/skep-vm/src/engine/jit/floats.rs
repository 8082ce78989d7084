//! Divisions by floating-point numbers: those of [`chain`](super::chain).

use cranelift_codegen::ir::{
    Endianness, InstBuilder as _, InstructionData, MemFlags, Opcode, Value, ValueDef,
    types::{F32X4, F64X2, I32, I32X4, I64X2},
};
use cranelift_frontend::Variable;
use skep_isa::{AluOp, InsnIndex, Reg, Width};

use super::function::Translator;
use crate::engine::elide::Fact;

/// The lower half of a register as a floating-point number, set whenever the register is: what
/// a loop divides without changing it is so converted outside of the loop.
#[derive(Clone, Copy)]
pub(super) struct Mirror {
    register: usize,
    /// 32 bits, or else 64.
    single: bool,
    variable: Variable,
}

impl Translator<'_> {
    /// Whether a division is done by floating-point numbers.
    pub(super) fn is_by_floats(&self, at: InsnIndex) -> bool {
        self.by_floats.contains_key(&at.0)
    }

    /// Of numbers below 2³¹, by floating-point numbers, which are cut off to whole ones. Those
    /// that hold the dividend exactly round a quotient to a whole number only where it is one:
    /// what it lacks to the next is at least one over the divisor, and their error is less. A
    /// divisor that they don't hold is larger than any such dividend, and so it is when rounded.
    ///
    /// This is done in vectors, with zeros beside: only those convert without a look at what is
    /// out of range.
    pub(super) fn floating(&mut self, at: InsnIndex, op: AluOp, a: Value, b: Value) -> Value {
        let single = self.is_single(at);
        let x = match self.mirror_of(at) {
            Some(variable) => self.b.use_var(variable),
            None => self.floats_of(single, a),
        };
        let y = self.floats_of(single, b);
        let quotient = self.b.ins().fdiv(x, y);
        let whole = if single {
            self.b.ins().x86_cvtt2dq(I32X4, quotient)
        } else {
            let wide = self.b.ins().x86_cvtt2dq(I64X2, quotient);
            let zeros = self.b.func.dfg.constants.insert([0; 16][..].into());
            let zeros = self.b.ins().vconst(I64X2, zeros);
            self.b.ins().snarrow(wide, zeros)
        };
        // As one of 32 bits it is moved, which takes less than picking a lane.
        let flags = MemFlags::new().with_endianness(Endianness::Little);
        let whole = self.b.ins().bitcast(F32X4, flags, whole);
        let whole = self.b.ins().extractlane(whole, 0);
        let quotient = self.b.ins().bitcast(I32, MemFlags::new(), whole);
        match op {
            AluOp::Mod => self.b.ins().imul(quotient, b),
            _ => quotient,
        }
    }

    /// Whether a division is done by those of 32 bits, which is faster.
    fn is_single(&self, at: InsnIndex) -> bool {
        self.facts.at(at).has(Fact::SMALL_DIVIDEND)
    }

    /// Makes mirrors for all that wants one, before any register is set.
    pub(super) fn mirrors(&mut self) {
        for (at, steady) in self.by_floats.clone() {
            let Some(register) = steady.map(|register| usize::from(register.number())) else {
                continue;
            };
            let single = self.is_single(InsnIndex(at));
            let same = |mirror: &Mirror| (mirror.register, mirror.single) == (register, single);
            if register < self.registers.len() && !self.mirrors.iter().any(same) {
                let ty = if single { F32X4 } else { F64X2 };
                let variable = self.b.declare_var(ty);
                self.mirrors.push(Mirror {
                    register,
                    single,
                    variable,
                });
            }
        }
    }

    /// Sets the mirrors of a register. Where they are not used, nothing is done for them.
    pub(super) fn reflect(&mut self, register: usize, value: Value) {
        for place in 0..self.mirrors.len() {
            let mirror = self.mirrors[place];
            if mirror.register == register {
                let low = self.b.ins().ireduce(I32, value);
                let floats = self.floats_of(mirror.single, low);
                self.b.def_var(mirror.variable, floats);
            }
        }
    }

    /// Where the dividend is, as a floating-point number.
    fn mirror_of(&self, at: InsnIndex) -> Option<Variable> {
        let register = usize::from((*self.by_floats.get(&at.0)?)?.number());
        let mut all = self.mirrors.iter();
        let mirror = all.find(|it| (it.register, it.single) == (register, self.is_single(at)));
        Some(mirror?.variable)
    }

    fn floats_of(&mut self, single: bool, value: Value) -> Value {
        let vector = self.b.ins().scalar_to_vector(I32X4, value);
        if single {
            return self.b.ins().fcvt_from_sint(F32X4, vector);
        }
        let wide = self.b.ins().swiden_low(vector);
        self.b.ins().fcvt_from_sint(F64X2, wide)
    }

    /// If a register was just set to a remainder: what is equal where that is 0. Then most often
    /// nothing else is asked of it, and it is not computed.
    pub(super) fn remainder(&mut self, width: Width, register: Reg) -> Option<(Value, Value)> {
        let value = self.get(register);
        let narrow = match self.b.func.dfg.value_def(value) {
            ValueDef::Result(inst, _) => match self.b.func.dfg.insts[inst] {
                InstructionData::Unary {
                    opcode: Opcode::Uextend,
                    arg,
                } => Some(arg),
                _ => None,
            },
            _ => None,
        };
        match (narrow, width) {
            (Some(narrow), _) => self.remainders.get(&narrow).copied(),
            // What is 0 in its lower half need not be 0.
            (None, Width::W32) => None,
            (None, Width::W64) => self.remainders.get(&value).copied(),
        }
    }
}
