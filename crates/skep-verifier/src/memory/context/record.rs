//! Contexts that are no structure of the uapi header: registers, records, raw arguments.

use skep_abi::ContextKind;

use super::super::{Transfer, Visit};
use crate::{
    state::{Kind, Register},
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
        168
    }
}
