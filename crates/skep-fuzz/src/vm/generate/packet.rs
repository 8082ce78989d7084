//! Packets: fields of their contexts, direct access, and the helpers on them.

use skep_abi::ProgramType;
use skep_isa::opcode::*;

use super::{Generator, LOCALS, Role, Sixth};
use crate::vm::{Choices, code::reg::*};

/// What a helper is given beside the context.
#[derive(Debug, Clone, Copy)]
enum Argument {
    /// One of these.
    Number(&'static [i32]),
    /// The address of the locals.
    Locals,
}

use Argument::{Locals, Number};

type Table = &'static [(u32, &'static [Argument])];

const ZERO: Argument = Number(&[0]);
const PLACE: Argument = Number(&[0, 1, 12, 14, 24, 60, 130, 70000, -1]);
const LENGTH: Argument = Number(&[1, 4, 14, 64]);
const CHANGE: Argument = Number(&[-8, -1, 1, 14, -300, 2000, -20, 0, 100_000]);

/// `bpf_xdp_adjust_head` and what is like it.
const XDP: Table = &[
    (44, &[CHANGE]),
    (65, &[CHANGE]),
    (54, &[Number(&[0, -4, -8, -32, -36, -3, 4, 8])]),
    (188, &[]),
    (189, &[PLACE, Locals, LENGTH]),
    (190, &[PLACE, Locals, LENGTH]),
];

/// `bpf_skb_load_bytes` and what is like it.
const SKB: Table = &[
    (26, &[PLACE, Locals, LENGTH]),
    (9, &[PLACE, Locals, LENGTH, Number(&[0, 0, 1, 2, 3, 4])]),
    (68, &[PLACE, Locals, LENGTH, Number(&[0, 1, 2])]),
    (
        38,
        &[
            Number(&[0, 10, 14, 30, 60, 200, 1500, 70000]),
            Number(&[0, 0, 1]),
        ],
    ),
    (43, &[Number(&[0, 1, 14, 20, 300]), Number(&[0, 0, 1])]),
    (39, &[Number(&[0, 1, 14, 64, 500])]),
    (
        18,
        &[
            Number(&[0x0081, 0xa888, 0, 0x0008]),
            Number(&[0, 5, 0x2fff]),
        ],
    ),
    (19, &[]),
    (
        50,
        &[Number(&[-20, -4, 0, 4, 20, 300]), Number(&[0, 1, 2]), ZERO],
    ),
    (
        10,
        &[
            PLACE,
            Number(&[0, 0x1234]),
            Number(&[0, 0x7777, -1]),
            Number(&[0, 2, 4, 3]),
        ],
    ),
    (
        11,
        &[
            PLACE,
            Number(&[0, 0x1234]),
            Number(&[0, 0x7777, -1]),
            Number(&[0, 2, 4, 0x10, 0x22]),
        ],
    ),
    (40, &[Number(&[0, 1, -1])]),
    (32, &[Number(&[0, 1, 2, 3, 9])]),
    (41, &[]),
    (48, &[Number(&[0, 77])]),
];

/// An Ethernet frame with a little of IPv4 in it.
pub(super) fn packet(choices: &mut Choices<'_>, len: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..len).map(|_| choices.byte()).collect();
    bytes[12..14].copy_from_slice(&[8, 0]);
    if let Some(first) = bytes.get_mut(14) {
        *first = 0x45;
    }
    bytes
}

impl Generator<'_, '_, '_> {
    fn skb(&self) -> bool {
        matches!(
            self.program_type,
            ProgramType::SchedCls | ProgramType::SocketFilter
        )
    }

    /// Where the context has the packet's start and end.
    fn ends(&self) -> (i16, i16) {
        if self.skb() { (76, 80) } else { (0, 4) }
    }

    /// A field of the context.
    pub(super) fn packet_field(&mut self) {
        let dst = self.target();
        // len and protocol; of XDP, the length is computed.
        if self.skb() {
            let offset = self.choices.of(&[0_i16, 16, 48, 52]);
            match self.choices.one_in(3) && offset == 48 {
                true => self.code.store(BPF_W, R6, offset, R7),
                false => self.code.load(BPF_W, dst, R6, offset),
            }
            return;
        }
        self.code.load(BPF_W, R2, R6, 0);
        self.code.load(BPF_W, dst, R6, 4);
        self.code.alu_by(BPF_SUB, dst, R2);
        self.spoil(&[R2]);
        if dst == R2 {
            self.code.set(R2, 0);
        }
    }

    pub(super) fn packet(&mut self) {
        if !self.two_ways() {
            return self.arithmetic();
        }
        let packet = matches!(self.program_type, ProgramType::Xdp | ProgramType::SchedCls);
        if !packet || self.sixth != Sixth::Context {
            return self.sixth();
        }
        match self.choices.below(4) {
            0 | 1 => self.packet_helper(),
            2 if self.skb() && matches!(self.role, Role::Main) => {
                // Out of the packet it ends the program.
                let size = self.choices.of(&[BPF_B, BPF_H, BPF_W]);
                let offset = self.choices.of(&[0, 1, 12, 14, 40, 200]);
                match self.choices.one_in(2) {
                    true => self.code.raw(BPF_LD | BPF_ABS | size, 0, 0, 0, offset),
                    false => {
                        self.code.copy(R1, R8);
                        self.code.alu(BPF_AND, R1, 15);
                        self.code.raw(BPF_LD | BPF_IND | size, 0, R1, 0, offset);
                    }
                }
                self.called();
                self.code.alu_by(BPF_ADD, R7, R0);
            }
            _ => {
                let (start, end) = self.ends();
                let len = self.choices.of(&[1_i16, 4, 14, 34, 64]);
                self.code.load(BPF_W, R1, R6, start);
                self.code.load(BPF_W, R2, R6, end);
                self.code.copy(R3, R1);
                self.code.alu(BPF_ADD, R3, len.into());
                self.ready = 0;
                let short = self.code.jump(BPF_JMP | BPF_JGT | BPF_X, R3, R2, 0);
                for _ in 0..1 + self.choices.below(3) {
                    self.ready = 0;
                    if len >= 8 {
                        self.access(R1, 0, len, false);
                    } else {
                        self.code.load(BPF_B, R8, R1, 0);
                    }
                }
                self.code.land(short);
                self.ready = 0;
            }
        }
    }
    /// A helper on the packet, as the tables say.
    fn packet_helper(&mut self) {
        let table = if self.skb() { SKB } else { XDP };
        let (helper, arguments) = self.choices.of(table);
        if !self.has(helper) {
            return self.packet_field();
        }
        self.code.copy(R1, R6);
        for (register, argument) in (R2..=R5).zip(arguments) {
            match argument {
                Argument::Number(all) => {
                    let number = self.choices.of(all);
                    self.code.set(register, number);
                }
                Argument::Locals => self.code.frame(register, LOCALS),
            }
        }
        self.code.call(helper);
        self.called();
        self.code.alu(BPF_MUL, R7, 31);
        self.code.alu_by(BPF_ADD, R7, R0);
    }
}
