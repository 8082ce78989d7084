//! What of a load is checked against the loader and the target's version: program type, attach
//! type, flags and capabilities.

use skep_abi::{Capability, ExpectedAttachType, ProgramProperties, ProgramType};

use crate::{
    Rejection, Rule,
    verifier::{Result, Verifier},
};

impl Verifier<'_> {
    /// Checks that the target's kernel has the program's type.
    pub(super) fn check_program_type(&self) -> Result {
        let program_type = self.program.program_type;
        if program_type == ProgramType::Unspec {
            return Err(Rejection::new(Rule::TypeNotHere, "the program has no type"));
        }
        if program_type.since() > self.kernel() {
            return Err(Rejection::new(
                Rule::TypeNotHere,
                format!(
                    "programs of type {program_type} need Linux {}, and the target is {}",
                    program_type.since(),
                    self.kernel()
                ),
            ));
        }
        Ok(())
    }

    /// Checks that the target's kernel knows the flags.
    pub(super) fn check_flags(&self) -> Result {
        for (name, flag) in self.program.flags.iter_names() {
            if let Some(since) = flag.since().filter(|since| *since > self.kernel()) {
                return Err(Rejection::new(
                    Rule::ProgramFlags,
                    format!(
                        "the flag {name} needs Linux {since}, and the target is {}",
                        self.kernel()
                    ),
                ));
            }
        }
        let unknown = self
            .program
            .flags
            .difference(skep_abi::ProgLoadFlags::all());
        if !unknown.is_empty() {
            return Err(Rejection::new(
                Rule::ProgramFlags,
                format!("no kernel knows the flags {:#x}", unknown.bits()),
            ));
        }
        Ok(())
    }

    /// Checks that the loader has the capabilities that the program's type takes.
    pub(super) fn check_capabilities(&self) -> Result {
        let program_type = self.program.program_type;
        let free = program_type
            .properties()
            .contains(ProgramProperties::UNPRIVILEGED);
        let missing = program_type.capabilities().find(|capability| {
            let has = match capability {
                Capability::Bpf => self.options.bpf || free,
                Capability::Perfmon => self.options.perfmon,
                Capability::NetAdmin => self.options.net_admin,
                _ => true,
            };
            !has
        });
        match missing {
            Some(capability) => Err(Rejection::new(
                Rule::MissingCapability,
                format!("programs of type {program_type} take {capability} to load"),
            )),
            None => Ok(()),
        }
    }

    /// Checks that the attach type is one of the program type's, where the kernel looks.
    pub(super) fn check_attach_type(&self) -> Result {
        let program_type = self.program.program_type;
        let attach_type = self.program.attach_type;
        // Kernels before 5.14 don't look at those of sockets' choice.
        let required = program_type.expected_attach_type() == ExpectedAttachType::Required
            && (program_type != ProgramType::SkReuseport || self.since(5, 14));
        if let Some(attach_type) = attach_type
            && attach_type.since() > self.kernel()
            && required
        {
            return Err(Rejection::new(
                Rule::TypeNotHere,
                format!(
                    "the attach type {attach_type} needs Linux {}, and the target is {}",
                    attach_type.since(),
                    self.kernel()
                ),
            ));
        }
        let known = program_type.attach_types();
        let fits = match (program_type.expected_attach_type(), attach_type) {
            (ExpectedAttachType::Required, Some(attach_type)) => known.contains(&attach_type),
            // Number 0 stands for the oldest of their attach types.
            (ExpectedAttachType::Required, None) => {
                matches!(
                    program_type,
                    ProgramType::CgroupSock | ProgramType::SkReuseport
                ) || known.iter().any(|one| one.raw() == 0)
            }
            (ExpectedAttachType::Zero, attach_type) => {
                attach_type.is_none_or(|attach_type| attach_type.raw() == 0)
            }
            _ => true,
        };
        if fits {
            return Ok(());
        }
        let found = attach_type.map_or("no attach type".to_owned(), |attach_type| {
            format!("the attach type {attach_type}")
        });
        Err(Rejection::new(
            Rule::AttachTarget,
            format!("programs of type {program_type} don't load with {found}"),
        ))
    }
}
