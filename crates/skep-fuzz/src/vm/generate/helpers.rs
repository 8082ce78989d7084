//! Helpers of all kinds whose answers two hosts must agree on.

use skep_isa::opcode::*;

use super::{Generator, KEY, LOCALS, SPILL, VALUE};
use crate::vm::code::reg::*;

const RINGBUF_OUTPUT: u32 = 130;
const RINGBUF_RESERVE: u32 = 131;
const RINGBUF_SUBMIT: u32 = 132;
const RINGBUF_DISCARD: u32 = 133;
const RINGBUF_QUERY: u32 = 134;
const STRTOL: u32 = 105;
const STRTOUL: u32 = 106;
const STRNCMP: u32 = 182;
const SNPRINTF: u32 = 165;
const CSUM_DIFF: u32 = 28;
const PROBE_READ_KERNEL: u32 = 113;

impl Generator<'_, '_, '_> {
    /// Records in a ring.
    pub(super) fn ring(&mut self) {
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

    /// Writes up to 16 bytes of text at the key's place.
    fn words(&mut self) {
        let texts: [&[u8; 16]; 8] = [
            b"12345\0\0\0\0\0\0\0\0\0\0\0",
            b"  -0x1fz\0\0\0\0\0\0\0\0",
            b"99999999999999\0\0",
            b"-9223372036854\0\0",
            b"0777 8\0\0\0\0\0\0\0\0\0\0",
            b"x\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
            b"\t 18446744073\0\0\0",
            b"+7\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        ];
        let text = self.choices.of(&texts);
        for (word, bytes) in text.as_chunks::<4>().0.iter().enumerate() {
            let imm = i32::from_le_bytes(*bytes);
            self.code.store_imm(BPF_W, FP, KEY + word as i16 * 4, imm);
        }
    }

    pub(super) fn text(&mut self) {
        match self.choices.below(3) {
            0 if self.has(STRTOL) && self.has(STRTOUL) => {
                self.words();
                self.code.frame(R1, KEY);
                let len = self.choices.of(&[1, 4, 15, 16]);
                self.code.set(R2, len);
                let base = self.choices.of(&[0, 8, 10, 16, 10, 3, 32]);
                self.code.set(R3, base);
                self.code.store_imm(BPF_DW, FP, VALUE, 0);
                self.code.frame(R4, VALUE);
                let helper = self.choices.of(&[STRTOL, STRTOUL]);
                self.code.call(helper);
                self.code.load(BPF_DW, R8, FP, VALUE);
            }
            1 if self.has(CSUM_DIFF) => {
                let sizes = self
                    .choices
                    .of(&[(0, 16), (8, 8), (4, 60), (64, 0), (16, 64)]);
                self.code.frame(R1, LOCALS);
                self.code.set(R2, sizes.0);
                self.code.frame(R3, LOCALS);
                self.code.set(R4, sizes.1);
                let seed = self.choices.imm();
                self.code.set(R5, seed);
                self.code.call(CSUM_DIFF);
            }
            _ if self.has(PROBE_READ_KERNEL) => {
                self.code.frame(R1, VALUE);
                let len = self.choices.of(&[1, 8, 13, 64]);
                self.code.set(R2, len);
                self.code.frame(R3, LOCALS);
                for slot in 0..8 {
                    self.code.store_imm(BPF_DW, FP, VALUE + slot * 8, 1);
                }
                self.code.call(PROBE_READ_KERNEL);
                self.code.load(BPF_DW, R8, FP, VALUE);
            }
            _ => return self.arithmetic(),
        }
        self.called();
        self.code.alu_by(BPF_XOR, R7, R0);
    }

    pub(super) fn other_helper(&mut self) {
        match self.choices.below(4) {
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
            1 if self.has(SNPRINTF) => self.arithmetic(),
            2 if self.has(STRNCMP) => self.arithmetic(),
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
