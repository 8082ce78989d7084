//! Contexts that are no structure of the uapi header: registers, records, raw arguments.

use skep_abi::{ContextKind, ProgramType};
use skep_btf::KindTag;

use super::super::Visit;
use crate::{
    state::{BtfSource, Kind, Register},
    verifier::{Result, Verifier},
};

/// Bytes of a tracepoint's record at most (`PERF_MAX_TRACE_SIZE`).
const RECORD_SIZE: i32 = 8192;
/// Bytes of a raw tracepoint's arguments: twelve.
const RAW_ARGUMENTS: i32 = 12 * 8;
/// Bytes of the caller of a `syscall` program at most.
const CALLER_SIZE: i32 = 65535;

impl Verifier<'_> {
    pub(super) fn reach_record(&mut self, kind: ContextKind, visit: Visit) -> Result<Register> {
        let (offset, size) = (visit.offset, visit.size as i32);
        let aligned = offset >= 0 && offset % size == 0;
        let read = !visit.is_write();
        let inside = |first: i32, end: i32| aligned && offset >= first && offset < end;
        let ok = match kind {
            ContextKind::Caller => inside(0, CALLER_SIZE),
            ContextKind::Tracepoint if self.options.extensions.hooks => inside(0, RECORD_SIZE),
            _ if !read => {
                return Err(self.context_rejection(visit, "it is read-only"));
            }
            ContextKind::RawArguments
                if offset == 0 && self.effective_type() == ProgramType::RawTracepointWritable =>
            {
                if visit.size != 8 {
                    return Err(self.context_rejection(visit, "pointers are read by 8 bytes"));
                }
                return Ok(Register::pointer(Kind::TracepointBuffer));
            }
            ContextKind::Sample => offset == 0 && size == 4,
            ContextKind::PerfEvent => {
                // The registers, then two numbers of 8 bytes, which are read in parts, too.
                let registers = self.registers_size();
                inside(0, registers) && size == 8 || inside(registers, registers + 16)
            }
            ContextKind::Tracepoint => inside(8, RECORD_SIZE),
            ContextKind::RawArguments => inside(0, RAW_ARGUMENTS),
            ContextKind::Registers => {
                let end = self.registers_size();
                inside(0, end) && offset + size <= end
            }
            _ => {
                return Err(self.context_rejection(visit, "nothing is known about it"));
            }
        };
        if !ok {
            return Err(self.context_rejection(visit, "that is outside, or not aligned"));
        }
        Ok(Register::unknown())
    }

    /// Bytes of `struct pt_regs`.
    fn registers_size(&self) -> i32 {
        let btf = self.btf(BtfSource::Kernel);
        let size = btf.and_then(|btf| {
            let registers = btf.find("pt_regs", KindTag::Struct)?;
            i32::try_from(btf.size_of(registers).ok()?).ok()
        });
        size.unwrap_or(168)
    }
}
