//! What the target's kernel is too old for: instructions, and sizes of programs.

use skep_abi::KernelVersion;
use skep_isa::{AluOp, AtomicOp, ByteOrder, CallTarget, CompareOp, Imm64, Insn, Width};
use skep_object::Target;

use super::Code;
use crate::{Options, Program, Rejection, Rule, verifier::Result};

/// The most functions of a program (`BPF_MAX_SUBPROGS`).
const MOST_FUNCTIONS: usize = 256;
/// The most maps that a program uses (`MAX_USED_MAPS`).
const MOST_MAPS: usize = 64;
/// The most instructions of a program of old kernels and of loaders without capabilities
/// (`BPF_MAXINSNS`).
const FEW: usize = 4096;
/// The most of others since 5.2 (`BPF_COMPLEXITY_LIMIT_INSNS`).
const MANY: usize = 1_000_000;

/// How many instructions are followed before a program is too complex.
pub(crate) fn complexity_limit(version: KernelVersion, options: &Options) -> u64 {
    if let Some(limit) = options.instruction_limit {
        limit
    } else if version >= KernelVersion::new(5, 2) {
        MANY as u64
    } else if version >= KernelVersion::new(4, 15) {
        131_072
    } else {
        // Of 4.12 and later; kernels before that took fewer by and by.
        98_304
    }
}

/// Refuses programs that are too large.
pub(super) fn check_size(program: &Program<'_>, target: &Target, options: &Options) -> Result {
    let count = program.instructions.len();
    let many = options.bpf && target.version >= KernelVersion::new(5, 2);
    let most = if many { MANY } else { FEW };
    if count == 0 {
        return Err(Rejection::new(
            Rule::TooLarge,
            "the program has no instructions",
        ));
    }
    if count > most {
        let why = if many {
            "the kernel takes"
        } else if options.bpf {
            "kernels before 5.2 take"
        } else {
            "a loader without CAP_BPF may load"
        };
        let message = format!("the program has {count} instructions, and {why} at most {most}");
        return Err(Rejection::new(Rule::TooLarge, message));
    }
    if program.maps.len() > MOST_MAPS {
        let message = format!(
            "the program uses {} maps, and the kernel takes at most {MOST_MAPS}",
            program.maps.len()
        );
        return Err(Rejection::new(Rule::TooLarge, message));
    }
    Ok(())
}

/// Refuses programs with too many functions.
pub(super) fn check_functions(code: &Code) -> Result {
    let count = code.subprograms.len();
    if count > MOST_FUNCTIONS {
        let message =
            format!("the program has {count} functions, and the kernel takes {MOST_FUNCTIONS}");
        return Err(Rejection::new(Rule::TooLarge, message));
    }
    Ok(())
}

/// Refuses instructions that the target's kernel does not have.
pub(super) fn check_instructions(code: &Code, target: &Target) -> Result {
    for (slot, insn) in code.insns.iter().enumerate() {
        let Some(insn) = insn else { continue };
        let (major, minor) = since(insn);
        if target.version < KernelVersion::new(major, minor) {
            let message = format!(
                "`{}` needs Linux {major}.{minor}, and the target is {}",
                insn, target.version
            );
            return Err(Rejection::new(Rule::InstructionNotHere, message).at(slot));
        }
    }
    Ok(())
}

/// The first kernel that has an instruction; 3.18 for those that always were.
fn since(insn: &Insn) -> (u8, u8) {
    match *insn {
        Insn::Alu {
            op: AluOp::SDiv | AluOp::SMod,
            ..
        }
        | Insn::MovSx { .. }
        | Insn::ByteSwap {
            order: ByteOrder::Swap,
            ..
        }
        | Insn::LoadSigned { .. }
        | Insn::JumpLong { .. } => (6, 6),
        Insn::MayGoto { .. } | Insn::AddrSpaceCast { .. } => (6, 9),
        Insn::LoadAcquire { .. } | Insn::StoreRelease { .. } => (6, 15),
        Insn::JumpIndirect { .. } => (6, 19),
        Insn::LoadStackArg { .. } | Insn::StoreStackArg { .. } => (7, 2),
        Insn::JumpIf {
            width: Width::W32, ..
        } => (5, 1),
        Insn::JumpIf {
            op: CompareOp::Lt | CompareOp::Le | CompareOp::SLt | CompareOp::SLe,
            ..
        } => (4, 14),
        Insn::Atomic {
            op: AtomicOp::Add { fetch: false },
            ..
        } => (3, 18),
        Insn::Atomic { .. } => (5, 12),
        Insn::Call(CallTarget::Subprogram { .. }) => (4, 16),
        Insn::Call(CallTarget::Kfunc { .. }) => (5, 13),
        Insn::LoadImm64 { value, .. } => match value {
            Imm64::MapValue { .. } => (5, 2),
            Imm64::BtfId { .. } => (5, 10),
            Imm64::Subprogram { .. } => (5, 13),
            Imm64::MapIndex { .. } | Imm64::MapIndexValue { .. } => (5, 14),
            Imm64::Value(_) | Imm64::MapFd { .. } => (3, 18),
        },
        _ => (3, 18),
    }
}

#[cfg(test)]
mod tests {
    use skep_isa::{Operand, Reg};

    use super::*;

    #[test]
    fn instructions_know_their_kernel() {
        let jump = |op, width| Insn::JumpIf {
            width,
            op,
            dst: Reg::R1,
            src: Operand::Imm(0),
            offset: 1,
        };
        assert_eq!(since(&jump(CompareOp::Gt, Width::W64)), (3, 18));
        assert_eq!(since(&jump(CompareOp::Lt, Width::W64)), (4, 14));
        assert_eq!(since(&jump(CompareOp::Lt, Width::W32)), (5, 1));
        assert_eq!(since(&Insn::MayGoto { offset: 1 }), (6, 9));
    }
}
