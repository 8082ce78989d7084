//! A program's instructions as bytes, into which a load writes descriptors.

use skep_host::BtfFd;
use skep_isa::{
    Endian, InsnIndex,
    opcode::{BPF_DW, BPF_IMM, BPF_LD},
};
use skep_object::ImageProgram;

use super::modules::Modules;

/// Bytes of a slot.
const SLOT: usize = 8;
/// `ld_imm64`
const LOAD_IMM64: u8 = BPF_LD | BPF_IMM | BPF_DW;

/// Instructions in the host's byte order.
pub(super) struct Instructions {
    pub(super) bytes: Vec<u8>,
    /// Descriptors that kernel functions' calls name by index; position 0 stands for the
    /// kernel's own BTF.
    pub(super) fd_array: Vec<i32>,
}

impl Instructions {
    /// Those of a program, with the BTF of modules written in; maps are still to come.
    pub(super) fn of(program: &ImageProgram, modules: &Modules<'_>) -> Self {
        let mut made = Self {
            bytes: program.instruction_bytes(Endian::NATIVE),
            fd_array: Vec::new(),
        };
        for reference in &program.module_references {
            let Some(module) = modules.get(&reference.module).map(BtfFd::raw) else {
                continue;
            };
            if made.opcode(reference.insn) == Some(LOAD_IMM64) {
                // A variable of the module: its BTF stands in the second half.
                made.set_second_imm(reference.insn, module);
            } else {
                let position = made.position(module);
                made.set(reference.insn, 2, &position.to_ne_bytes());
            }
        }
        made
    }

    fn position(&mut self, module: i32) -> i16 {
        if self.fd_array.is_empty() {
            self.fd_array.push(0);
        }
        let known = self.fd_array.iter().skip(1).position(|fd| *fd == module);
        let position = known.map_or(self.fd_array.len(), |known| known + 1);
        if position == self.fd_array.len() {
            self.fd_array.push(module);
        }
        i16::try_from(position).unwrap_or(i16::MAX)
    }

    fn opcode(&self, insn: InsnIndex) -> Option<u8> {
        self.bytes.get(insn.as_usize() * SLOT).copied()
    }

    /// Sets an instruction's immediate; of a `ld_imm64`, the first.
    pub(super) fn set_imm(&mut self, insn: InsnIndex, imm: i32) {
        self.set(insn, 4, &imm.to_ne_bytes());
    }

    /// Sets the second immediate of a `ld_imm64`.
    pub(super) fn set_second_imm(&mut self, insn: InsnIndex, imm: i32) {
        self.set(insn, SLOT + 4, &imm.to_ne_bytes());
    }

    fn set(&mut self, insn: InsnIndex, offset: usize, value: &[u8]) {
        let start = insn.as_usize() * SLOT + offset;
        if let Some(place) = self.bytes.get_mut(start..start + value.len()) {
            place.copy_from_slice(value);
        }
    }
}
