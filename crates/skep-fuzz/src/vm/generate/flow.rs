//! Branches, loops, calls, callbacks and tail calls.

use skep_abi::ProgramType;
use skep_isa::opcode::*;

use super::{COUNTERS, Generator, LOCALS, Role, Sixth};
use crate::vm::{
    case::{OUT, PROGRAMS},
    code::reg::*,
};

const COMPARISONS: [u8; 11] = [
    BPF_JEQ, BPF_JGT, BPF_JGE, BPF_JSET, BPF_JNE, BPF_JSGT, BPF_JSGE, BPF_JLT, BPF_JLE, BPF_JSLT,
    BPF_JSLE,
];

impl Generator<'_, '_, '_> {
    fn comparison(&mut self) -> (u8, u8, u8, i32) {
        let class = self.choices.of(&[BPF_JMP, BPF_JMP32]);
        let op = class | self.choices.of(&COMPARISONS);
        let dst = self.number();
        match self.choices.one_in(2) {
            true => (op | BPF_X, dst, self.number(), 0),
            false => (op | BPF_K, dst, 0, self.choices.imm()),
        }
    }

    pub(super) fn branch(&mut self) {
        if !self.two_ways() {
            return self.arithmetic();
        }
        let (op, dst, src, imm) = self.comparison();
        let jump = self.code.jump(op, dst, src, imm);
        let before = self.ready;
        self.block();
        if self.choices.one_in(2) {
            self.code.land(jump);
            self.ready &= before;
            return;
        }
        let long = self.choices.one_in(4);
        let op = if long {
            BPF_JMP32 | BPF_JA
        } else {
            BPF_JMP | BPF_JA
        };
        let end = self.code.jump(op, 0, 0, 0);
        self.code.land(jump);
        let first = std::mem::replace(&mut self.ready, before);
        self.block();
        self.code.land(end);
        self.ready &= first;
    }

    /// A loop of few rounds, counted in R9 or in the frame.
    pub(super) fn counted_loop(&mut self) {
        let rounds = 1 + self.choices.below(4) as i32;
        let in_register = self.locked == 0 && self.choices.one_in(2);
        let place = COUNTERS + self.loops as i16 * 8;
        self.loops += 1;
        self.ready = 0;
        if in_register {
            self.locked |= 1 << R9;
            self.code.set(R9, rounds);
        } else {
            self.code.store_imm(BPF_DW, FP, place, rounds);
        }
        let head = self.code.here();
        self.block();
        if in_register {
            self.code.alu(BPF_SUB, R9, 1);
            self.code.back(BPF_JMP | BPF_JNE | BPF_K, R9, 0, 0, head);
            self.locked &= !(1 << R9);
        } else {
            self.code.load(BPF_DW, R1, FP, place);
            self.code.alu(BPF_ADD, R1, -1);
            self.code.store(BPF_DW, FP, place, R1);
            let op = self.choices.of(&[BPF_JNE, BPF_JSGT]);
            self.code.back(BPF_JMP | op | BPF_K, R1, 0, 0, head);
        }
        self.ready = 0;
        self.loops -= 1;
    }

    /// A loop that the kernel would end in any case, ended before.
    pub(super) fn may_goto_loop(&mut self) {
        if !self.features.maps[OUT] || !self.two_ways() {
            return self.arithmetic();
        }
        let rounds = 1 + self.choices.below(20) as i32;
        self.loops += 1;
        self.ready = 0;
        let place = COUNTERS + 8;
        self.code.store_imm(BPF_DW, FP, place, 0);
        let head = self.code.here();
        let spent = self.code.jump(BPF_JMP | BPF_JCOND, BPF_MAY_GOTO, 0, 0);
        self.code.load(BPF_DW, R1, FP, place);
        let enough = self.code.jump(BPF_JMP | BPF_JGT | BPF_K, R1, 0, rounds);
        self.code.alu(BPF_ADD, R1, 1);
        self.code.store(BPF_DW, FP, place, R1);
        // Into memory that a verifier does not follow: else it takes each round for another.
        self.code.map_value(R2, OUT, 112);
        for _ in 0..1 + self.choices.below(2) {
            self.code
                .raw(BPF_STX | BPF_ATOMIC | BPF_DW, R2, R1, 0, BPF_ADD.into());
        }
        self.code.back(BPF_JMP | BPF_JA, 0, 0, 0, head);
        self.code.land(spent);
        self.code.land(enough);
        self.ready = 0;
        self.loops -= 1;
    }

    /// A function of the program of this kind that this one may call.
    fn callee(&mut self, of: impl Fn(&Role) -> bool) -> Option<usize> {
        // Two frames of this size are what the kernel gives.
        if !matches!(self.role, Role::Main) {
            return None;
        }
        let all = self.roles.iter().enumerate().skip(1);
        let there: Vec<_> = all.filter(|(_, role)| of(role)).map(|(at, _)| at).collect();
        match there.is_empty() {
            true => None,
            false => Some(self.choices.of(&there)),
        }
    }

    pub(super) fn call(&mut self) {
        let Some(callee) = self.callee(|role| matches!(role, Role::Subprogram | Role::Leaf)) else {
            return self.arithmetic();
        };
        for register in [R1, R2, R3, R4, R5] {
            let src = self.choices.of(&[R7, R8, R9]);
            self.code.copy(register, src);
        }
        self.code.call_function(callee);
        self.called();
        if self.choices.one_in(2) {
            let dst = self.result();
            self.code.alu_by(BPF_XOR, dst, R0);
        }
    }

    /// `bpf_loop`, or `bpf_for_each_map_elem`.
    pub(super) fn callback(&mut self) {
        if !self.two_ways() {
            return self.arithmetic();
        }
        if self.has(164)
            && self.choices.one_in(2)
            && let Some(callee) = self.callee(|role| matches!(role, Role::Entry { .. }))
            && let Some(map) = self.a_map(&[1, 3, 4, 6, 7])
        {
            self.code.map(R1, map);
            self.code.function(R2, callee);
            self.code.frame(R3, LOCALS);
            self.code.set(R4, 0);
            self.code.call(164);
            self.called();
            return self.code.alu_by(BPF_ADD, R7, R0);
        }
        let Some(callee) = self.callee(|role| matches!(role, Role::Round)) else {
            return self.arithmetic();
        };
        if !self.has(181) {
            return self.arithmetic();
        }
        let rounds = match self.choices.below(8) {
            // More than there may be.
            0 => (1 << 23) + 1,
            1 => 0,
            _ => self.choices.below(12) as i32,
        };
        self.code.set(R1, rounds);
        if self.choices.one_in(3) && rounds < 100 {
            let by = self.choices.of(&[R7, R8]);
            self.code.copy(R1, by);
            self.code.alu(BPF_AND, R1, 7);
        }
        self.code.function(R2, callee);
        self.code.frame(R3, LOCALS);
        let flags = i32::from(self.choices.one_in(10));
        self.code.set(R4, flags);
        self.code.call(181);
        self.called();
        self.code.alu_by(BPF_ADD, R7, R0);
    }

    pub(super) fn tail_call(&mut self) {
        let sleeps = self.program_type == ProgramType::Syscall;
        let there = self.sixth == Sixth::Context && self.has(12) && self.features.maps[PROGRAMS];
        if sleeps || !there {
            return self.branch_or_arithmetic();
        }
        self.leave_numbers();
        self.code.copy(R1, R6);
        self.code.map(R2, PROGRAMS);
        let index = self.choices.below(5) as i32;
        self.code.set(R3, index);
        self.code.call(12);
        self.ready = 0;
    }

    pub(super) fn branch_or_arithmetic(&mut self) {
        match self.depth < 3 {
            true => self.branch(),
            false => self.arithmetic(),
        }
    }
}
