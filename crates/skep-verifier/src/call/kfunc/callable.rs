//! Whether a kernel function may be called by this program, and here.

use skep_abi::{AttachType, Kfunc, KfuncFlags, ProgLoadFlags, ProgramType};

use super::{Descriptor, Special};
use crate::{
    Rule,
    state::HeldKind,
    verifier::{Result, Verifier},
};

impl Verifier<'_> {
    /// Checks that programs of this kind may call a kernel function. A kernel whose types tag it
    /// as one has it, though its version should have lost it.
    pub(super) fn check_callable(
        &self,
        function: &'static Kfunc,
        is_tagged: impl FnOnce() -> bool,
    ) -> Result {
        let name = function.name;
        let kernel = self.kernel();
        let absence = function.absence(kernel);
        if let Some(absence) = absence.filter(|_| kernel < function.since || !is_tagged()) {
            let rejection = self.reject(
                Rule::UnknownKfunc,
                format!("{absence}, and the target is {kernel}"),
            );
            return Err(match absence.instead() {
                Some(other) => rejection.help(format!(
                    "call {other}, or test which of them is there: `if (bpf_ksym_exists({other}))`"
                )),
                None => rejection,
            });
        }
        if !self.is_gpl() {
            return Err(self
                .reject(
                    Rule::GplOnly,
                    format!("{name} is a kernel function, which only GPL-compatible programs call"),
                )
                .help("give the program a licence such as `char LICENSE[] SEC(\"license\") = \"GPL\"`"));
        }
        let program_type = self.effective_type();
        if !function.allowed_from(program_type) || !self.passes_filter(function) {
            let rejection = self.reject(
                Rule::KfuncNotAllowed,
                format!("{name} may not be called by {program_type} programs of this kind"),
            );
            return Err(match program_type == ProgramType::Xdp && name.contains("_rx_") {
                true => rejection.help(
                    "bind the program to a device: its driver is asked (`ProgramOptions::bound_to`)",
                ),
                false => rejection,
            });
        }
        Ok(())
    }

    /// Whether a program that may call others of a function's set may call this one.
    fn passes_filter(&self, function: &Kfunc) -> bool {
        let attach = self.program.attach_type;
        match function.name {
            "bpf_get_task_exe_file"
            | "bpf_put_file"
            | "bpf_path_d_path"
            | "bpf_get_dentry_xattr"
            | "bpf_get_file_xattr"
            | "bpf_set_dentry_xattr"
            | "bpf_remove_dentry_xattr" => self.effective_type() == ProgramType::Lsm,
            "bpf_get_fsverity_digest" => self.effective_type() == ProgramType::Lsm,
            "bpf_sock_destroy" => attach == Some(AttachType::TraceIter),
            "bpf_session_cookie" | "bpf_session_is_return" => match attach {
                Some(AttachType::TraceKprobeSession) => true,
                Some(AttachType::TraceUprobeSession) => self.since(6, 13),
                _ => false,
            },
            "bpf_xdp_metadata_rx_hash"
            | "bpf_xdp_metadata_rx_timestamp"
            | "bpf_xdp_metadata_rx_vlan_tag" => self
                .program
                .flags
                .contains(ProgLoadFlags::XDP_DEV_BOUND_ONLY),
            "bpf_sock_ops_enable_tx_tstamp" => self.effective_type() == ProgramType::SockOps,
            "bpf_sock_addr_set_sun_path" => self.effective_type() == ProgramType::CgroupSockAddr,
            _ => true,
        }
    }

    /// Checks that a kernel function may be called where the verification stands.
    pub(super) fn check_call_here(&self, function: &Descriptor) -> Result {
        let name = &function.name;
        let lock = self.state.held.iter().rfind(|held| {
            matches!(
                held.kind,
                HeldKind::SpinLock { .. } | HeldKind::ResilientLock { .. }
            )
        });
        if let Some(lock) = lock
            && !function.special.allowed_under_lock()
        {
            return Err(self
                .reject(
                    Rule::CallUnderLock,
                    format!(
                        "{name} is called while the lock of instruction {} is held",
                        lock.insn
                    ),
                )
                .help("call it before the lock is taken, or after it is released"));
        }
        if function.is(KfuncFlags::DESTRUCTIVE)
            && !(self.options.bpf && self.options.perfmon && self.options.net_admin)
        {
            return Err(self.reject(
                Rule::MissingCapability,
                format!("{name} can bring the machine down, and needs CAP_SYS_BOOT"),
            ));
        }
        if function.is(KfuncFlags::SLEEPABLE) {
            self.check_may_sleep(name)?;
        }
        if function.is(KfuncFlags::RCU_PROTECTED) && self.since(6, 18) && !self.in_rcu_section() {
            return Err(self
                .reject(
                    Rule::UnbalancedSection,
                    format!("{name} is called outside of an RCU section"),
                )
                .help("call bpf_rcu_read_lock() before, and bpf_rcu_read_unlock() when done"));
        }
        if function.special == Special::Throw && !self.since(6, 7) {
            return Err(self.reject(Rule::UnknownKfunc, "exceptions are there since Linux 6.7"));
        }
        Ok(())
    }
}
