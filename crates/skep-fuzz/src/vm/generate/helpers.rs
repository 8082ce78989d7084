//! Helpers of all kinds whose answers two hosts must agree on.

use skep_isa::opcode::*;

use super::{Generator, LOCALS, SPILL};
use crate::vm::code::reg::*;

const RINGBUF_OUTPUT: u32 = 130;
const RINGBUF_RESERVE: u32 = 131;
const RINGBUF_SUBMIT: u32 = 132;
const RINGBUF_DISCARD: u32 = 133;
const RINGBUF_QUERY: u32 = 134;

impl Generator<'_, '_, '_> {
    /// Records in a ring.
    pub(super) fn ring(&mut self) {
        if !self.two_ways() {
            return self.arithmetic();
        }
        let Some(map) = self.a_map(&[10]) else {
            return self.arithmetic();
        };
        match self.choices.below(4) {
            0 | 1 if self.has(RINGBUF_OUTPUT) => {
                self.code.map(R1, map);
                self.code.frame(R2, LOCALS);
                let len = self.choices.of(&[1, 7, 8, 16, 40, 64]);
                self.code.set(R3, len);
                let flags = self.choices.of(&[0, 1, 2, 2, 4]);
                self.code.set(R4, flags);
                self.code.call(RINGBUF_OUTPUT);
            }
            2 if self.has(RINGBUF_QUERY) => {
                self.code.map(R1, map);
                let what = self.choices.below(5) as i32;
                self.code.set(R2, what);
                self.code.call(RINGBUF_QUERY);
            }
            _ if self.has(RINGBUF_RESERVE) && self.has(RINGBUF_SUBMIT) => return self.record(map),
            _ => return self.arithmetic(),
        }
        self.called();
        self.code.alu_by(BPF_ADD, R7, R0);
    }

    fn record(&mut self, map: usize) {
        self.code.map(R1, map);
        let len = self.choices.of(&[8_i16, 16, 64, 2000]);
        self.code.set(R2, len.into());
        self.code.set(R3, 0);
        self.code.call(RINGBUF_RESERVE);
        self.ready = 0;
        let nothing = self.code.jump(BPF_JMP | BPF_JEQ | BPF_K, R0, 0, 0);
        self.code.copy(R1, R0);
        // What was there before is the last lap's: all of it is written first.
        for slot in 0..len.min(64) / 8 {
            self.code.store(BPF_DW, R1, slot * 8, R7);
        }
        for _ in 0..1 + self.choices.below(3) {
            self.access(R1, 0, len.min(64), true);
            self.spoil(&[R1]);
        }
        let flags = self.choices.of(&[0, 1, 2]);
        self.code.set(R2, flags);
        let end = match self.choices.one_in(3) && self.has(RINGBUF_DISCARD) {
            true => RINGBUF_DISCARD,
            false => RINGBUF_SUBMIT,
        };
        self.code.call(end);
        self.code.land(nothing);
        self.ready = 0;
    }

    pub(super) fn other_helper(&mut self) {
        match self.choices.below(2) {
            0 => {
                // Answers that differ from host to host: called, not looked at.
                let helper = self.choices.of(&[5_u32, 7, 8, 14, 15, 125]);
                if !self.has(helper) {
                    return self.arithmetic();
                }
                self.code.call(helper);
                self.called();
                self.code.set(R0, 0);
            }
            _ => {
                // A pointer goes to the frame and comes back.
                let other = self.choices.of(&[R6, FP]);
                self.code.store(BPF_DW, FP, SPILL, other);
                self.code.load(BPF_DW, R1, FP, SPILL);
                self.spoil(&[R1]);
                if other == FP {
                    self.access(R1, LOCALS, 64, true);
                    self.spoil(&[R1]);
                }
            }
        }
    }
}
