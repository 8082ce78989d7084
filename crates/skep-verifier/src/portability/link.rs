//! What it means that an object can't be made ready for a target: it does not load there, or more
//! would have to be known.

use std::sync::Arc;

use skep_abi::{KernelVersion, Kfunc, KfuncAbsence};
use skep_btf::essential_name;
use skep_object::{Error, ExternKind, LinkOptions};

use super::{Answer, Finding, Report, finding_of};
use crate::Rule;

/// What a program waits for where the target's types are not known.
const NO_TYPES: &str = "it is made ready by the kernel's types (BTF), which are not known";

/// Since when programs call functions of modules, and attach to them.
const MODULE_FUNCTIONS: KernelVersion = KernelVersion::new(5, 11);

impl Report<'_> {
    /// A program that can't be linked.
    pub(super) fn unlinked(
        &mut self,
        program: &skep_object::Program,
        link: &LinkOptions,
        error: &Error,
    ) {
        let name = &program.name;
        match error {
            Error::NoTargetBtf { .. } => {
                self.unknown(name, NO_TYPES.to_owned());
                self.by_own_types(program, link);
            }
            Error::Extern { name: external, .. } => match self.extern_kind(external) {
                Some(ExternKind::Kconfig) if self.target.config.is_empty() => {
                    let reason = format!("{external} needs the kernel's configuration");
                    self.unknown(name, reason);
                }
                Some(ExternKind::KernelVariable { typed: false })
                    if self.target.symbols.is_empty() =>
                {
                    let reason = format!("whether the kernel has the symbol {external}");
                    self.unknown(name, reason);
                }
                Some(ExternKind::Kconfig) => {
                    self.refuse(name, Rule::CoreRelocation, error.to_string());
                }
                _ => match self.absence(external) {
                    Some(absence) => self.refuse(name, Rule::UnknownKfunc, absence.to_string()),
                    None if self.target.kernel_btf.is_none() => {
                        self.unknown(name, NO_TYPES.to_owned());
                    }
                    None => self.not_in_types(name, external, Rule::UnknownKfunc),
                },
            },
            Error::AttachTarget { problem, .. } => {
                self.not_in_types(name, problem, Rule::AttachTarget);
            }
            Error::StructOps { .. } if self.target.kernel_btf.is_none() => {
                self.unknown(name, NO_TYPES.to_owned());
            }
            error => self.findings.push(Finding {
                answer: Answer::Refused,
                subject: Some(name.clone()),
                reason: error.to_string(),
                rule: None,
                place: None,
                at_attach: false,
            }),
        }
    }

    /// Why Linux of the target's version has no such function, by that name.
    fn absence(&self, external: &str) -> Option<KfuncAbsence> {
        Kfunc::by_name(essential_name(external))?.absence(self.target.version)
    }

    fn extern_kind(&self, name: &str) -> Option<ExternKind> {
        let mut externs = self.object.externs().iter();
        Some(externs.find(|known| known.name == name)?.kind)
    }

    /// What the kernel's own types don't have. A module's may, if they are not all known.
    fn not_in_types(&mut self, program: &str, what: &str, rule: Rule) {
        let modules = self.target.version >= MODULE_FUNCTIONS && self.target.modules.is_empty();
        match modules {
            true => self.unknown(
                program,
                format!("{what}: not in the kernel's own types; a module may have it"),
            ),
            false => self.refuse(program, rule, format!("{what}: not in the kernel's types")),
        }
    }

    /// What can be told without the kernel's types: if they were as the object has them, would the
    /// version do? A refusal is no certain one, since relocations may leave code out.
    fn by_own_types(&mut self, program: &skep_object::Program, link: &LinkOptions) {
        let Some(btf) = self.object.btf() else {
            return;
        };
        let target = self.target.clone().with_core_btf(Arc::clone(btf));
        let image = match self.object.link(link, &target) {
            Ok(image) => image,
            Err(error) => {
                if let Error::Extern { name: external, .. } = error.without_file()
                    && let Some(absence) = self.absence(external)
                {
                    let reason = format!("{absence}, unless a relocation leaves that out");
                    self.unknown(&program.name, reason);
                }
                return;
            }
        };
        self.image(&image);
        let Some((found, rejection)) = self.refusal(&image, &program.name) else {
            return;
        };
        if !by_version(rejection.rule) {
            return;
        }
        let mut finding = finding_of(found, &rejection);
        finding.answer = Answer::Unknown;
        finding.reason += ", unless a relocation leaves that out";
        self.findings.push(finding);
    }
}

/// Rules that the kernel's version alone decides.
fn by_version(rule: Rule) -> bool {
    matches!(
        rule,
        Rule::InstructionNotHere
            | Rule::HelperNotHere
            | Rule::TypeNotHere
            | Rule::TooLarge
            | Rule::TooComplex
            | Rule::UnboundedLoop
            | Rule::CallTooDeep
            | Rule::ProgramFlags
    )
}
