//! Packets: fields of their contexts, direct access, and the helpers on them.

use skep_abi::ProgramType;
use skep_isa::opcode::*;

use super::{Generator, LOCALS, Sixth};
use crate::vm::{Choices, code::reg::*};

const SKB_LOAD_BYTES: u32 = 26;
const SKB_STORE_BYTES: u32 = 9;
const XDP_ADJUST_HEAD: u32 = 44;
const XDP_ADJUST_TAIL: u32 = 65;

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
        let packet = matches!(self.program_type, ProgramType::Xdp | ProgramType::SchedCls);
        if !packet || self.sixth != Sixth::Context {
            return self.sixth();
        }
        match self.choices.below(4) {
            0 if self.skb() && self.has(SKB_LOAD_BYTES) && self.has(SKB_STORE_BYTES) => {
                let helper = self.choices.of(&[SKB_LOAD_BYTES, SKB_STORE_BYTES]);
                self.code.copy(R1, R6);
                let offset = self.choices.of(&[0, 12, 14, 60, 130, 70000]);
                self.code.set(R2, offset);
                self.code.frame(R3, LOCALS);
                let len = self.choices.of(&[1, 4, 14, 64]);
                self.code.set(R4, len);
                self.code.set(R5, 0);
                self.code.call(helper);
                self.called();
                self.code.alu_by(BPF_ADD, R7, R0);
            }
            1 if !self.skb() && self.has(XDP_ADJUST_HEAD) && self.has(XDP_ADJUST_TAIL) => {
                let helper = self.choices.of(&[XDP_ADJUST_HEAD, XDP_ADJUST_TAIL]);
                self.code.copy(R1, R6);
                let by = self.choices.of(&[-8, -1, 1, 14, -300, 2000, -20]);
                self.code.set(R2, by);
                self.code.call(helper);
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
}
