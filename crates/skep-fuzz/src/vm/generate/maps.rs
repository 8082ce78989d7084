//! Helpers on maps.

use skep_abi::MapType;
use skep_isa::opcode::*;

use super::{Generator, KEY, Role, VALUE};
use crate::vm::{
    case::{MAPS, OUT},
    code::reg::*,
};

const LOOKUP: u32 = 1;
const UPDATE: u32 = 2;
const DELETE: u32 = 3;
const PUSH: u32 = 87;
const POP: u32 = 88;
const PEEK: u32 = 89;
const LOOKUP_PERCPU: u32 = 195;

/// Those with keys.
const KEYED: [usize; 9] = [1, 2, 3, 4, 5, 6, 7, 11, 14];
/// Those without.
const QUEUES: [usize; 3] = [8, 9, 13];

impl Generator<'_, '_, '_> {
    /// Writes a key of few, so that programs meet what they have set; R2 is its address.
    fn key(&mut self, map: usize) {
        let shape = MAPS[map];
        if shape.map_type == MapType::LpmTrie {
            let bits = self.choices.of(&[0, 1, 7, 8, 16, 24, 31, 32, 32, 32]);
            self.code.store_imm(BPF_W, FP, KEY, bits);
            let address = self.choices.below(4) as i32 | self.choices.of(&[0, 0x80, 0x0100_0a0a]);
            self.code.store_imm(BPF_W, FP, KEY + 4, address);
        } else {
            if shape.key == 8 {
                self.code.store_imm(BPF_DW, FP, KEY, 0);
            }
            if self.choices.one_in(3) {
                let number = self.number();
                self.code.copy(R1, number);
                self.code.alu(BPF_AND, R1, 7);
                self.code.store(BPF_W, FP, KEY, R1);
                self.spoil(&[R1]);
            } else {
                let few = self.choices.below(6) as i32;
                self.code.store_imm(BPF_W, FP, KEY, few);
            }
        }
        self.code.frame(R2, KEY);
        self.spoil(&[R2]);
    }

    /// Writes a value, and puts its address into `dst`.
    fn value(&mut self, map: usize, dst: u8) {
        for slot in 0..(MAPS[map].value as i16 + 7) / 8 {
            match self.choices.below(3) {
                0 => {
                    let number = self.number();
                    self.code.store(BPF_DW, FP, VALUE + slot * 8, number);
                }
                _ => {
                    let imm = self.choices.imm();
                    self.code.store_imm(BPF_DW, FP, VALUE + slot * 8, imm);
                }
            }
        }
        self.code.frame(dst, VALUE);
        self.spoil(&[dst]);
    }

    pub(super) fn map_lookup(&mut self) {
        if !self.two_ways() {
            return self.arithmetic();
        }
        let Some(map) = self.a_map(&KEYED) else {
            return self.arithmetic();
        };
        self.key(map);
        self.code.map(R1, map);
        self.code.call(LOOKUP);
        self.ready = 0;
        let nothing = self.code.jump(BPF_JMP | BPF_JEQ | BPF_K, R0, 0, 0);
        // R0 is the value; R1 too, so that R0 can be what is compared.
        let base = match self.choices.below(3) {
            0 => R0,
            _ => {
                self.code.copy(R1, R0);
                R1
            }
        };
        let len = MAPS[map].value as i16;
        for _ in 0..1 + self.choices.below(4) {
            self.access(base, 0, len, true);
        }
        if self.choices.one_in(4) {
            // At a place that the program computes.
            let number = self.number_but(base);
            self.code.copy(R2, number);
            self.code.alu(BPF_AND, R2, i32::from(len / 2) - 1);
            self.code.alu_by(BPF_ADD, R2, base);
            let (size, at) = self.choices.of(&[(BPF_B, 0), (BPF_B, 7)]);
            self.code.load(size, R8, R2, at);
        }
        self.code.land(nothing);
        self.ready = 0;
    }

    /// The only value of an array, by its address.
    pub(super) fn map_direct(&mut self) {
        if !self.features.maps[OUT] {
            return self.sixth();
        }
        let offset = self.choices.below(4) as i32 * 8;
        // The first bytes are what the program leaves at its end.
        self.code.map_value(R1, OUT, 88 + offset);
        self.spoil(&[R1]);
        for _ in 0..1 + self.choices.below(3) {
            self.access(R1, 0, 8, true);
            self.spoil(&[R1]);
        }
    }

    pub(super) fn map_update(&mut self) {
        let Some(map) = self.a_map(&KEYED) else {
            return self.arithmetic();
        };
        self.value(map, R3);
        self.key(map);
        self.code.map(R1, map);
        let flags = self.choices.of(&[0, 0, 0, 1, 2, 3, 4]);
        self.code.set(R4, flags);
        self.code.call(UPDATE);
        self.called();
        self.keep_result();
    }

    pub(super) fn map_delete(&mut self) {
        let Some(map) = self.a_map(&KEYED) else {
            return self.arithmetic();
        };
        self.key(map);
        self.code.map(R1, map);
        self.code.call(DELETE);
        self.called();
        self.keep_result();
    }

    pub(super) fn map_queue(&mut self) {
        let Some(map) = self.a_map(&QUEUES) else {
            return self.map_per_cpu();
        };
        let mut helper = self.choices.of(&[PUSH, PUSH, POP, PEEK]);
        if helper == POP && MAPS[map].map_type == MapType::BloomFilter {
            helper = PEEK;
        }
        if !self.has(helper) {
            return self.arithmetic();
        }
        self.value(map, R2);
        self.code.map(R1, map);
        if helper == PUSH {
            let flags = self.choices.of(&[0, 0, 2, 1]);
            self.code.set(R3, flags);
        }
        self.code.call(helper);
        self.called();
        self.keep_result();
        if helper != PUSH {
            self.code
                .load(BPF_DW, R8, FP, VALUE + 8 * i16::from(map != 13));
        }
    }

    fn map_per_cpu(&mut self) {
        let (true, Some(map)) = (self.has(LOOKUP_PERCPU), self.a_map(&[4, 5, 7])) else {
            return self.arithmetic();
        };
        self.key(map);
        self.code.map(R1, map);
        let cpu = self.choices.of(&[0, 1, 1 << 20]);
        self.code.set(R3, cpu);
        self.code.call(LOOKUP_PERCPU);
        self.ready = 0;
        let nothing = self.code.jump(BPF_JMP | BPF_JEQ | BPF_K, R0, 0, 0);
        // Which CPU runs it is not known: what is in there may be either.
        self.code.land(nothing);
    }

    /// An error number is worth comparing.
    fn keep_result(&mut self) {
        if self.choices.one_in(2) || matches!(self.role, Role::Main) {
            self.code.alu(BPF_MUL, R7, 31);
            self.code.alu_by(BPF_ADD, R7, R0);
        }
    }
}
