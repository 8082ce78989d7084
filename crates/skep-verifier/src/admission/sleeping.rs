//! Which programs may be loaded as sleepable.

use skep_abi::{AttachType, LsmHook, ProgramType, TracedFunction, struct_ops_member_may_sleep};

use super::Attached;
use crate::{
    Rejection, Rule,
    verifier::{Result, Verifier},
};

impl Verifier<'_> {
    /// Checks that programs of this type and attach type may be sleepable, or must be.
    pub(super) fn check_sleepable(&self) -> Result {
        let program_type = self.program.program_type;
        if !self.program.is_sleepable() {
            return if program_type == ProgramType::Syscall {
                Err(Rejection::new(
                    Rule::ProgramFlags,
                    "programs of type syscall must be sleepable",
                ))
            } else {
                Ok(())
            };
        }
        let may = match program_type {
            ProgramType::Syscall => true,
            ProgramType::Tracing => match self.program.attach_type {
                Some(
                    AttachType::TraceFentry | AttachType::TraceFexit | AttachType::ModifyReturn,
                ) => true,
                Some(AttachType::TraceFsession) => true,
                Some(AttachType::TraceRawTp) if self.since(7, 2) => true,
                _ if self.is_multi() => true,
                Some(AttachType::TraceIter) if self.since(5, 19) => true,
                // They forgot to look.
                Some(AttachType::TraceIter | AttachType::TraceRawTp) => !self.since(6, 3),
                _ => false,
            },
            ProgramType::Lsm => self.program.attach_type != Some(AttachType::LsmCgroup),
            // Of kprobes, the kernel refuses it when they are attached.
            ProgramType::Kprobe => self.since(6, 0),
            ProgramType::StructOps => self.since(6, 1),
            // Of tracepoints, too.
            ProgramType::Tracepoint | ProgramType::RawTracepoint => self.since(7, 2),
            _ => false,
        };
        if may {
            return Ok(());
        }
        Err(Rejection::new(
            Rule::ProgramFlags,
            format!("programs of type {program_type}, attached like this, can't be sleepable"),
        )
        .help("take the `.s` off the section's name"))
    }

    /// Checks that a sleepable program is attached where sleeping is allowed.
    pub(super) fn check_sleepable_target(&self, attached: &Attached, structure: &str) -> Result {
        if !self.program.is_sleepable() {
            return Ok(());
        }
        let name = attached.name.as_str();
        let may = match self.program.program_type {
            // Of tracepoints those that system calls go through may fault.
            ProgramType::Tracing if self.program.attach_type == Some(AttachType::TraceRawTp) => {
                !self.since(7, 2) || matches!(name, "btf_trace_sys_enter" | "btf_trace_sys_exit")
            }
            // Each function is asked when the program is attached to it.
            ProgramType::Tracing if self.is_multi() => true,
            ProgramType::Tracing if self.program.attach_type != Some(AttachType::TraceIter) => {
                TracedFunction { name }.may_sleep()
            }
            ProgramType::Lsm if !self.since(5, 11) => name == "bpf_lsm_bprm_committed_creds",
            ProgramType::Lsm => LsmHook::of_function(name).is_some_and(LsmHook::may_sleep),
            ProgramType::StructOps => struct_ops_member_may_sleep(structure, name).unwrap_or(true),
            _ => true,
        };
        if may {
            return Ok(());
        }
        Err(Rejection::new(
            Rule::AttachTarget,
            format!("`{name}` runs where nothing may sleep, and the program is sleepable"),
        )
        .help("take the `.s` off the section's name, or attach it to another function"))
    }
}
