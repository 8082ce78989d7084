//! Executing an instruction elsewhere: a breakpoint takes its first byte, so a copy of it runs in a
//! slot and jumps back behind the original. No thread ever finds the breakpoint missing, and a hit
//! stops the thread once.
//!
//! What an instruction knows of its own address is made to stay true: operands relative to it,
//! targets of jumps, the return address that a call pushes.

use iced_x86::{
    BlockEncoder, BlockEncoderOptions, Code, Decoder, DecoderOptions, Instruction,
    InstructionBlock, MemoryOperand, Mnemonic, OpKind, Register,
};
use thiserror::Error;

/// Longest instruction there is.
pub(super) const LONGEST: usize = 15;

/// Bytes that a slot takes at most: three instructions, a jump back, and a target out of reach for
/// either jump.
pub(super) const SLOT: usize = 64;

/// Why an instruction can't run elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum Refusal {
    /// No instruction, or one that is cut off by the end of the mapping.
    #[error("there is no instruction")]
    Undecodable,
    /// Somebody else's breakpoint, or an interrupt by number.
    #[error("the instruction raises a trap itself")]
    Trap,
    /// What depends on where it is in ways that can't be imitated.
    #[error("the instruction can't be executed at another address")]
    Bound,
    /// What it refers to can't be reached from the slot.
    #[error("what the instruction refers to is out of reach")]
    OutOfReach,
}

/// An instruction at its own address, and how it is executed in spite of a breakpoint.
#[derive(Debug, Clone)]
pub(super) struct Decoded {
    instruction: Instruction,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Nothing is left to do but to go on there.
    Skip(u64),
    /// It runs as it is.
    Plain,
    /// The same, and the kernel goes back to it to restart a call.
    SystemCall,
    /// Pushes the original's return address, then jumps.
    Call,
}

/// Where a thread that is inside of a slot stands with the original.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Inside {
    /// Its instruction pointer, had there been no breakpoint.
    pub(super) ip: u64,
    /// What its stack pointer would be above what it is.
    pub(super) popped: u64,
    /// Whether the instruction is still to be executed.
    pub(super) before: bool,
    /// Whether it may be in the midst of it, in the kernel.
    pub(super) is_system_call: bool,
}

/// A slot's code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) bytes: Vec<u8>,
    /// Where the instructions begin.
    starts: Vec<u32>,
    address: u64,
    behind: u64,
    is_call: bool,
    /// The kernel may be inside of it, and would go back to where the thread came from.
    pub(super) is_system_call: bool,
}

impl Decoded {
    /// Reads the instruction at `address`.
    ///
    /// # Errors
    /// There is none, or it can't be executed elsewhere.
    pub(super) fn new(bytes: &[u8], address: u64) -> Result<Self, Refusal> {
        let mut decoder = Decoder::with_ip(64, bytes, address, DecoderOptions::NONE);
        let instruction = decoder.decode();
        if instruction.is_invalid() {
            return Err(Refusal::Undecodable);
        }
        let code = instruction.code();
        let kind = match instruction.mnemonic() {
            Mnemonic::Int3 | Mnemonic::Int1 | Mnemonic::Int | Mnemonic::Into => {
                return Err(Refusal::Trap);
            }
            Mnemonic::Iret | Mnemonic::Iretd | Mnemonic::Iretq | Mnemonic::Sysenter => {
                return Err(Refusal::Bound);
            }
            Mnemonic::Nop | Mnemonic::Endbr64 => Kind::Skip(instruction.next_ip()),
            Mnemonic::Syscall => Kind::SystemCall,
            Mnemonic::Jmp if matches!(code, Code::Jmp_rel8_64 | Code::Jmp_rel32_64) => {
                Kind::Skip(instruction.near_branch_target())
            }
            // Far ones, and 16-bit ones, are what no compiler emits.
            Mnemonic::Call => match code {
                Code::Call_rel32_64 => Kind::Call,
                Code::Call_rm64
                    if instruction.op0_kind() == OpKind::Memory
                        || instruction.op0_register() != Register::RSP =>
                {
                    Kind::Call
                }
                _ => return Err(Refusal::Bound),
            },
            _ => Kind::Plain,
        };
        Ok(Self { instruction, kind })
    }

    /// Its length in bytes.
    pub(super) fn len(&self) -> usize {
        self.instruction.len()
    }

    /// Where a thread goes on that has executed it, if that needs no slot.
    pub(super) fn skip(&self) -> Option<u64> {
        match self.kind {
            Kind::Skip(to) => Some(to),
            _ => None,
        }
    }

    /// Its code in a slot at this address.
    ///
    /// # Errors
    /// What it refers to is too far away.
    pub(super) fn slot(&self, slot: u64) -> Result<Slot, Refusal> {
        let behind = self.instruction.next_ip();
        let back = Instruction::with_branch(Code::Jmp_rel32_64, behind);
        let back = back.map_err(|_| Refusal::Bound)?;
        let is_call = self.kind == Kind::Call;
        let code = match is_call {
            true => self.call(behind)?,
            false => vec![self.instruction, back],
        };
        let block = InstructionBlock::new(&code, slot);
        let options = BlockEncoderOptions::RETURN_NEW_INSTRUCTION_OFFSETS;
        let encoded = BlockEncoder::encode(64, block, options).map_err(|_| Refusal::OutOfReach)?;
        if encoded.code_buffer.len() > SLOT {
            return Err(Refusal::Bound);
        }
        Ok(Slot {
            bytes: encoded.code_buffer,
            starts: encoded.new_instruction_offsets,
            address: self.instruction.ip(),
            behind,
            is_call,
            is_system_call: self.kind == Kind::SystemCall,
        })
    }

    /// A call in parts, since its own would push the slot's address. None changes a flag.
    fn call(&self, behind: u64) -> Result<Vec<Instruction>, Refusal> {
        let bound = |_| Refusal::Bound;
        let low = behind as u32;
        let push = Instruction::with1(Code::Pushq_imm32, low as i32).map_err(bound)?;
        let mut code = vec![push];
        // The push fills the upper half with its sign.
        if i64::from(low as i32) as u64 != behind {
            let upper = MemoryOperand::with_base_displ(Register::RSP, 4);
            let high = (behind >> 32) as u32;
            code.push(Instruction::with2(Code::Mov_rm32_imm32, upper, high).map_err(bound)?);
        }
        let mut jump = self.instruction;
        match jump.code() {
            Code::Call_rel32_64 => {
                let target = jump.near_branch_target();
                jump = Instruction::with_branch(Code::Jmp_rel32_64, target).map_err(bound)?;
            }
            _ => {
                jump.set_code(Code::Jmp_rm64);
                let in_memory = jump.op0_kind() == OpKind::Memory;
                if in_memory && jump.memory_base() == Register::RSP {
                    // The call would have read it before it pushed.
                    let further = jump.memory_displacement64().wrapping_add(8);
                    jump.set_memory_displacement64(further);
                    jump.set_memory_displ_size(8);
                }
            }
        }
        code.push(jump);
        Ok(code)
    }
}

impl Slot {
    /// What a thread at this offset of the slot would be doing without the breakpoint; `None`
    /// between instructions.
    pub(super) fn inside(&self, offset: u64) -> Option<Inside> {
        let starts = |start: &u32| u64::from(*start) == offset;
        let (ip, popped) = match (self.starts.iter().position(starts), self.is_call) {
            _ if offset == 0 => (self.address, 0),
            // One of several instructions that it became.
            (None, _) => return None,
            // It has pushed, and not jumped yet: as if it had not begun.
            (Some(_), true) => (self.address, 8),
            (Some(_), false) => (self.behind, 0),
        };
        Some(Inside {
            ip,
            popped,
            before: ip == self.address,
            is_system_call: self.is_system_call,
        })
    }
}

#[cfg(test)]
mod tests;
