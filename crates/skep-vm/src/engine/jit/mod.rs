//! The compiler to machine code, by Cranelift: a program's functions become functions of the C
//! calling convention, `(run, R1–R5, end of the frame, stack arguments) -> Answer`, in one piece
//! of executable memory.

mod access;
mod alu;
mod blocks;
mod budget;
mod call;
mod chain;
mod counted;
mod division;
mod floats;
mod function;
mod jump;
mod liveness;
mod memory;
mod placement;
mod shims;
mod target;
#[cfg(test)]
mod tests;

use std::{fmt, ptr::NonNull, sync::Arc};

use cranelift_codegen::{
    Context, FinalizedMachReloc, FinalizedRelocTarget,
    binemit::Reloc,
    control::ControlPlane,
    ir::{ExternalName, Function},
    isa::TargetIsa,
};
use cranelift_frontend::FunctionBuilderContext;
use skep_host::Errno;
use skep_isa::InsnIndex;

use super::{Answer, Executable, Mode};
use crate::{FaultKind, program::Code, run::Run};

/// A program as machine code.
pub(crate) struct Compiled {
    memory: memory::Memory,
    /// Where each function begins.
    entries: Vec<NonNull<u8>>,
    mode: Mode,
    /// Shims of helpers are in the code; what else it has an address of must stay, too.
    _code: Arc<Code>,
}

// SAFETY: the entries point into `memory`, which nobody writes.
unsafe impl Send for Compiled {}
// SAFETY: as above.
unsafe impl Sync for Compiled {}

/// A function of a program.
type Entry = unsafe extern "C" fn(
    &Run<'_>,
    u64,
    u64,
    u64,
    u64,
    u64,
    u64,
    *const function::StackArguments,
) -> Answer;

impl Compiled {
    /// # Errors
    /// `EOPNOTSUPP`: there is no compiler for this machine, or the program is too large for it.
    /// Or what the system says to executable memory.
    pub(crate) fn new(code: Arc<Code>, mode: Mode) -> Result<Self, Errno> {
        let isa = target::native().ok_or(Errno::EOPNOTSUPP)?;
        let (bytes, starts) = compile(&code, mode, &**isa)?;
        let memory = memory::Memory::new(&bytes)?;
        let entries: Option<_> = starts.iter().map(|start| memory.at(*start)).collect();
        Ok(Self {
            entries: entries.ok_or(Errno::EOPNOTSUPP)?,
            memory,
            mode,
            _code: code,
        })
    }
}

impl fmt::Debug for Compiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.memory.code().len();
        write!(f, "Compiled({bytes} bytes, {:?})", self.mode)
    }
}

impl Executable for Compiled {
    unsafe fn call(&self, run: &Run<'_>, function: u32, arguments: [u64; 5], frame: u64) -> Answer {
        let Some(entry) = self.entries.get(function as usize) else {
            let target = u64::from(function);
            return run.fail(InsnIndex(0), FaultKind::Jump { target });
        };
        let [r1, r2, r3, r4, r5] = arguments;
        // SAFETY: compiled with this signature; a function that takes no stack arguments ignores
        // the last one, which the caller removes. The rest is the caller's promise.
        unsafe {
            let entry = std::mem::transmute::<NonNull<u8>, Entry>(*entry);
            entry(
                run,
                r1,
                r2,
                r3,
                r4,
                r5,
                frame,
                &raw const function::NO_ARGUMENTS,
            )
        }
    }

    fn machine_code(&self) -> &[u8] {
        self.memory.code()
    }
}

/// Operations of Cranelift that a function may have. So many take 0.7 s to compile, and twice as
/// many take minutes.
const MOST: usize = 70_000;

/// Compiles all functions; answers their code and where each begins.
fn compile(code: &Code, mode: Mode, isa: &dyn TargetIsa) -> Result<(Vec<u8>, Vec<usize>), Errno> {
    let mut context = Context::new();
    let mut builder = FunctionBuilderContext::new();
    let mut control = ControlPlane::default();
    let (mut bytes, mut starts) = (Vec::new(), Vec::new());
    let mut calls = Vec::new();
    for index in 0..code.functions() {
        context.clear();
        function::build(&mut context.func, &mut builder, code, index, mode, isa)?;
        if context.func.dfg.num_insts() > MOST {
            return Err(Errno::EOPNOTSUPP);
        }
        if context.compile(isa, &mut control).is_err() {
            return Err(Errno::EOPNOTSUPP);
        }
        let compiled = context.compiled_code().ok_or(Errno::EOPNOTSUPP)?;
        bytes.resize(bytes.len().next_multiple_of(placement::LINE), 0);
        let shift = placement::shift(code.function_instructions(index), compiled);
        let start = bytes.len() + shift;
        bytes.resize(start, 0);
        starts.push(start);
        bytes.extend_from_slice(compiled.code_buffer());
        for relocation in compiled.buffer.relocs() {
            let callee = callee(&context.func, relocation).ok_or(Errno::EOPNOTSUPP)?;
            calls.push((start, relocation.clone(), callee));
        }
    }
    for (start, relocation, callee) in calls {
        let place = start + relocation.offset as usize;
        let target = *starts.get(callee as usize).ok_or(Errno::EOPNOTSUPP)?;
        relocate(&mut bytes, place, target, &relocation).ok_or(Errno::EOPNOTSUPP)?;
    }
    Ok((bytes, starts))
}

/// The function that a relocation is to.
fn callee(function: &Function, relocation: &FinalizedMachReloc) -> Option<u32> {
    match &relocation.target {
        FinalizedRelocTarget::ExternalName(ExternalName::User(name)) => {
            let name = function.params.user_named_funcs().get(*name)?;
            Some(name.index)
        }
        _ => None,
    }
}

/// Writes the distance of a call.
fn relocate(
    bytes: &mut [u8],
    place: usize,
    target: usize,
    relocation: &FinalizedMachReloc,
) -> Option<()> {
    let distance = (target as i64) + relocation.addend - (place as i64);
    let field = bytes.get_mut(place..place + 4)?.first_chunk_mut::<4>()?;
    match relocation.kind {
        Reloc::X86CallPCRel4 | Reloc::X86PCRel4 => {
            *field = i32::try_from(distance).ok()?.to_le_bytes();
        }
        Reloc::Arm64Call if distance % 4 == 0 => {
            let words = i32::try_from(distance / 4).ok()?;
            if !(-(1 << 25)..1 << 25).contains(&words) {
                return None;
            }
            let opcode = u32::from_le_bytes(*field) & 0xfc00_0000;
            *field = (opcode | (words.cast_unsigned() & 0x03ff_ffff)).to_le_bytes();
        }
        _ => return None,
    }
    Some(())
}
