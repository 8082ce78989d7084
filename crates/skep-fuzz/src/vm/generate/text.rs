//! Helpers and kernel functions on text.

use skep_isa::opcode::*;

use super::{Generator, KEY, LOCALS, VALUE};
use crate::vm::{case::TEXT, code::reg::*};

const STRTOL: u32 = 105;
const STRTOUL: u32 = 106;
const STRNCMP: u32 = 182;
const SNPRINTF: u32 = 165;
const CSUM_DIFF: u32 = 28;
const PROBE_READ_KERNEL: u32 = 113;

/// Where the texts of the map begin, and how many numbers each prints.
const STRINGS: [(i32, i32); 10] = [
    (0, 3),
    (9, 2),
    (22, 3),
    (38, 3),
    (45, 2),
    (53, 0),
    (69, 0),
    (73, 0),
    (78, 0),
    (79, 2),
];

impl Generator<'_, '_, '_> {
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
        match self.choices.below(8) {
            3 | 4 if self.has(SNPRINTF) && self.features.maps[TEXT] => return self.print(),
            5 if self.has(STRNCMP) && self.features.maps[TEXT] => {
                self.words();
                let (text, _) = self.choices.of(&STRINGS);
                self.code.frame(R1, KEY);
                let len = self.choices.of(&[1, 3, 8, 16]);
                self.code.set(R2, len);
                self.code.map_value(R3, TEXT, text);
                self.code.call(STRNCMP);
            }
            6 | 7 if self.features.maps[TEXT] && self.has_kfunc("bpf_strlen") => {
                return self.search();
            }
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

    /// `bpf_snprintf` of locals.
    fn print(&mut self) {
        for slot in 0..8 {
            self.code.store_imm(BPF_DW, FP, VALUE + slot * 8, 0);
        }
        let (text, numbers) = self.choices.of(&STRINGS);
        self.code.frame(R1, VALUE);
        let len = self.choices.of(&[64, 64, 9, 1]);
        self.code.set(R2, len);
        self.code.map_value(R3, TEXT, text);
        self.code.frame(R4, LOCALS);
        let more = i32::from(self.choices.one_in(6));
        self.code.set(R5, (numbers + more) * 8);
        self.code.call(SNPRINTF);
        self.called();
        self.code.alu_by(BPF_ADD, R7, R0);
        for slot in 0..4 {
            self.code.load(BPF_DW, R1, FP, VALUE + slot * 8);
            self.code.alu(BPF_MUL, R8, 31);
            self.code.alu_by(BPF_XOR, R8, R1);
        }
    }

    /// Kernel functions on strings.
    fn search(&mut self) {
        let name = self.choices.of(&super::KFUNCS[7..]);
        if !self.has_kfunc(name) {
            return self.arithmetic();
        }
        self.words();
        let (first, second) = (self.choices.of(&STRINGS).0, self.choices.of(&STRINGS).0);
        match self.choices.one_in(2) {
            true => self.code.frame(R1, KEY),
            false => self.code.map_value(R1, TEXT, first),
        }
        let letter = self.choices.of(&[0, 37, 98, 32, 33, 120, 200]);
        match name {
            "bpf_strchr" | "bpf_strchrnul" | "bpf_strrchr" => self.code.set(R2, letter),
            "bpf_strnchr" | "bpf_strnlen" => {
                let most = self.choices.of(&[0, 1, 5, 100]);
                self.code.set(R2, most);
                self.code.set(R3, letter);
            }
            _ => self.code.map_value(R2, TEXT, second),
        }
        self.code.kfunc(name);
        self.called();
        // An `int`, whose upper half is nobody's.
        self.code.raw(BPF_ALU | BPF_MOV | BPF_X, R0, R0, 0, 0);
        self.code.alu_by(BPF_ADD, R7, R0);
    }
}
