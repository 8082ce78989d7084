//! Whether a helper may be called: by the kernel's version, the program's type, its licence, the
//! loader's capabilities, and where in the program the call stands.

use skep_abi::{Capability, Helper, HelperAccess, HelperCaller, ProgramType};

use super::id;
use crate::{
    AttachTarget, Rule,
    state::{BtfRef, HeldKind},
    verifier::{Result, Verifier},
};

impl Verifier<'_> {
    /// The helper with a number, if this program may call it.
    pub(super) fn callable(&self, id: u32) -> Result<&'static Helper> {
        let Some(helper) = Helper::by_id(id) else {
            return Err(self.reject(Rule::UnknownHelper, format!("no kernel has a helper {id}")));
        };
        if helper.since > self.kernel() {
            return Err(self.reject(
                Rule::HelperNotHere,
                format!(
                    "{helper} needs Linux {}, this is for {}",
                    helper.since,
                    self.kernel()
                ),
            ));
        }
        self.check_caller(helper)?;
        if let Some(capability) = helper.capability()
            && !self.has(capability)
        {
            return Err(self.reject(
                Rule::MissingCapability,
                format!("{helper} needs a loader with {capability}"),
            ));
        }
        if helper.gpl_only() && !self.is_gpl() {
            return Err(self
                .reject(
                    Rule::GplOnly,
                    format!("{helper} is for programs with a GPL-compatible licence only"),
                )
                .help(
                    "add `char LICENSE[] SEC(\"license\") = \"GPL\";` if you may license it so",
                ));
        }
        Ok(helper)
    }

    /// Checks that programs of this type and hook may call a helper.
    fn check_caller(&self, helper: &Helper) -> Result {
        let caller = HelperCaller {
            program: self.effective_type(),
            attach: self.program.attach_type,
            target: &self.attach.name,
            structure: self.structure_of_operations(),
            kernel: self.kernel(),
        };
        if helper.allows(&caller) {
            return Ok(());
        }
        let program = caller.program;
        Err(match helper.access_from(program) {
            HelperAccess::No => self.reject(
                Rule::HelperNotAllowed,
                format!("programs of type {program} may not call {helper}"),
            ),
            _ => self.reject(
                Rule::HelperNotAllowed,
                format!(
                    "some programs of type {program} may call {helper}, but not those that attach as this one"
                ),
            ),
        })
    }

    /// The structure of operations that the program is a member of.
    fn structure_of_operations(&self) -> &str {
        match &self.program.attach {
            Some(AttachTarget::Kernel { type_id, .. })
                if self.program.program_type == ProgramType::StructOps =>
            {
                self.struct_name(BtfRef {
                    btf: self.attach.btf,
                    type_id: *type_id,
                })
            }
            _ => "",
        }
    }

    /// Whether the loader has a capability.
    fn has(&self, capability: Capability) -> bool {
        match capability {
            Capability::Bpf => self.options.bpf,
            Capability::Perfmon => self.options.perfmon,
            Capability::NetAdmin => self.options.net_admin,
            // All that root has, a loader with all of these is taken to have.
            _ => self.options.bpf && self.options.perfmon && self.options.net_admin,
        }
    }

    /// Whether the program's licence is one that the kernel takes for compatible with the GPL.
    pub(crate) fn is_gpl(&self) -> bool {
        skep_abi::is_gpl_compatible(&self.program.license)
    }

    /// Whether helpers may read and write memory in the packet.
    pub(super) fn packet_for_helpers(&self, helper: &Helper) -> bool {
        use skep_abi::ProgramType as Type;
        match self.effective_type() {
            Type::LwtIn
            | Type::LwtOut
            | Type::LwtSeg6local
            | Type::SkReuseport
            | Type::FlowDissector
            | Type::CgroupSkb
            | Type::SchedCls
            | Type::SchedAct
            | Type::Xdp
            | Type::LwtXmit
            | Type::SkSkb
            | Type::SkMsg => helper
                .properties
                .contains(skep_abi::HelperProperties::PACKET_ACCESS),
            _ => false,
        }
    }

    /// Checks that nothing is held or entered that this helper could not be called in.
    pub(super) fn check_sections(&self, helper: &Helper) -> Result {
        if let Some(lock) = self.last_lock()
            && helper.id != id::SPIN_UNLOCK
        {
            return Err(self
                .reject(
                    Rule::CallUnderLock,
                    format!(
                        "{helper} is called while the lock of instruction {} is held",
                        lock.insn
                    ),
                )
                .help("call it before the lock is taken, or after it is released"));
        }
        let sleeps = helper
            .properties
            .contains(skep_abi::HelperProperties::MAY_SLEEP);
        if !sleeps {
            return Ok(());
        }
        self.check_may_sleep(helper.name)
    }

    /// Checks that something that sleeps may be called here.
    pub(crate) fn check_may_sleep(&self, what: &str) -> Result {
        let state = &self.state;
        let where_ = if !state.in_sleepable {
            "in a program that is not sleepable"
        } else if state.rcu > 0 {
            "in an RCU section"
        } else if state.preempt > 0 {
            "while preemption is off"
        } else if state.irq.is_some() {
            "while interrupts are off"
        } else if state.held.iter().any(|held| {
            matches!(
                held.kind,
                HeldKind::SpinLock { .. } | HeldKind::ResilientLock { .. }
            )
        }) {
            "while a lock is held"
        } else {
            return Ok(());
        };
        Err(self.reject(
            Rule::MaySleep,
            format!("{what} may sleep, and is called {where_}"),
        ))
    }
}
