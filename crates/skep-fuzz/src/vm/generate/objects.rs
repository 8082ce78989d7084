//! Dynptrs and iterators.

use skep_isa::opcode::*;

use super::{DYNPTR, Generator, ITERATOR, LOCALS, VALUE};
use crate::vm::{case::OUT, code::reg::*};

const FROM_MEM: u32 = 197;
const RESERVE: u32 = 198;
const SUBMIT: u32 = 199;
const DISCARD: u32 = 200;
const READ: u32 = 201;
const WRITE: u32 = 202;
const DATA: u32 = 203;

impl Generator<'_, '_, '_> {
    pub(super) fn dynptr(&mut self) {
        if !self.two_ways() {
            return self.arithmetic();
        }
        if [FROM_MEM, READ, WRITE, DATA]
            .iter()
            .any(|id| !self.has(*id))
            || !self.features.maps[OUT]
        {
            return self.arithmetic();
        }
        let ring = self
            .a_map(&[10])
            .filter(|_| self.has(RESERVE) && self.has(DISCARD));
        let ring = ring.filter(|_| self.choices.one_in(3));
        match ring {
            Some(map) => {
                self.code.map(R1, map);
                let len = self.choices.of(&[8, 40, 64, 5000]);
                self.code.set(R2, len);
                self.code.set(R3, 0);
                self.code.frame(R4, DYNPTR);
                self.code.call(RESERVE);
                self.called();
                self.code.alu_by(BPF_ADD, R7, R0);
                // What was there before is nobody's.
                self.write(0, 64);
                self.write(0, 40);
                self.write(0, 8);
            }
            None => {
                self.code.map_value(R1, OUT, 88);
                let len = self.choices.of(&[1, 8, 31, 40]);
                self.code.set(R2, len);
                let flags = i32::from(self.choices.one_in(8));
                self.code.set(R3, flags);
                self.code.frame(R4, DYNPTR);
                self.code.call(FROM_MEM);
                self.called();
                self.code.alu_by(BPF_ADD, R7, R0);
            }
        }
        for _ in 0..self.choices.below(4) {
            self.use_dynptr();
        }
        if ring.is_some() {
            self.code.frame(R1, DYNPTR);
            let flags = self.choices.of(&[0, 1, 2]);
            self.code.set(R2, flags);
            let end = if self.choices.one_in(4) {
                DISCARD
            } else {
                SUBMIT
            };
            self.code.call(end);
            self.ready = 0;
        }
    }

    fn write(&mut self, offset: i32, len: i32) {
        self.code.frame(R1, DYNPTR);
        self.code.set(R2, offset);
        self.code.frame(R3, LOCALS);
        self.code.set(R4, len);
        self.code.set(R5, 0);
        self.code.call(WRITE);
        self.called();
    }

    fn use_dynptr(&mut self) {
        let offset = self.choices.of(&[0, 0, 1, 8, 33, -1]);
        let len = self.choices.of(&[1, 8, 13, 40, 64]);
        match self.choices.below(6) {
            0 | 1 => self.write(offset, len),
            2 => {
                for slot in 0..8 {
                    self.code.store_imm(BPF_DW, FP, VALUE + slot * 8, 5);
                }
                self.code.frame(R1, VALUE);
                self.code.set(R2, len);
                self.code.frame(R3, DYNPTR);
                self.code.set(R4, offset);
                let flags = i32::from(self.choices.one_in(8));
                self.code.set(R5, flags);
                self.code.call(READ);
                self.called();
                self.code.load(BPF_DW, R8, FP, VALUE);
            }
            3 | 4 => {
                let len = self.choices.of(&[1_i16, 8, 16, 40]);
                self.code.frame(R1, DYNPTR);
                self.code.set(R2, offset);
                self.code.set(R3, len.into());
                self.code.call(DATA);
                self.ready = 0;
                let nothing = self.code.jump(BPF_JMP | BPF_JEQ | BPF_K, R0, 0, 0);
                self.code.copy(R1, R0);
                match len {
                    1 => self.code.load(BPF_B, R8, R1, 0),
                    // At an offset of any alignment, by bytes.
                    _ => {
                        let byte = self.choices.below(len as usize) as i16;
                        self.code.store(BPF_B, R1, byte, R7);
                        self.code.load(BPF_B, R8, R1, len - 1 - byte);
                    }
                }
                self.code.land(nothing);
                self.ready = 0;
                return;
            }
            _ => {
                let name = self.choices.of(&super::KFUNCS[3..7]);
                if !self.has_kfunc(name) {
                    return;
                }
                self.code.frame(R1, DYNPTR);
                if name == "bpf_dynptr_adjust" {
                    let start = self.choices.of(&[0, 1, 8, 100]);
                    self.code.set(R2, start);
                    let end = self.choices.of(&[0, 1, 16, 31, 40, 64]);
                    self.code.set(R3, end);
                }
                self.code.kfunc(name);
                self.called();
                // Some answer with a `bool` or an `int`.
                self.code.alu(BPF_AND, R0, 0xff);
            }
        }
        self.code.alu(BPF_MUL, R7, 31);
        self.code.alu_by(BPF_ADD, R7, R0);
    }

    /// Numbers one after the other.
    pub(super) fn iterator(&mut self) {
        if !self.two_ways() {
            return self.arithmetic();
        }
        if !self.features.maps[OUT]
            || !self.has_kfunc("bpf_iter_num_new")
            || !self.has_kfunc("bpf_iter_num_destroy")
        {
            return self.arithmetic();
        }
        let start = self.choices.of(&[0, 3, -5, i32::MAX - 4, i32::MIN]);
        let rounds = self.choices.below(9) as i32 - 1;
        self.code.frame(R1, ITERATOR);
        self.code.set(R2, start);
        self.code.set(R3, start.saturating_add(rounds));
        self.code.kfunc("bpf_iter_num_new");
        self.ready = 0;
        let head = self.code.here();
        self.code.frame(R1, ITERATOR);
        self.code.kfunc("bpf_iter_num_next");
        let end = self.code.jump(BPF_JMP | BPF_JEQ | BPF_K, R0, 0, 0);
        self.code.load(BPF_W, R1, R0, 0);
        // Into memory that a verifier does not follow: else it takes each round for another.
        self.code.map_value(R2, OUT, 120);
        self.code
            .raw(BPF_STX | BPF_ATOMIC | BPF_DW, R2, R1, 0, BPF_ADD.into());
        self.ready = 0;
        self.code.back(BPF_JMP | BPF_JA, 0, 0, 0, head);
        self.code.land(end);
        self.code.frame(R1, ITERATOR);
        self.code.kfunc("bpf_iter_num_destroy");
        self.ready = 0;
    }
}
