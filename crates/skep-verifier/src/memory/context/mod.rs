//! The context, by what kind of context the program's type has.

mod record;
mod typed;
mod uapi;

use skep_abi::{ContextKind, ProgramType};

use super::{Visit, words};
use crate::{
    AttachTarget, Rejection, Rule,
    state::{Kind, Register},
    verifier::{Result, Verifier},
};

impl Verifier<'_> {
    /// The program's type; that of the program which it replaces a function of, for such.
    pub(crate) fn effective_type(&self) -> ProgramType {
        match (&self.program.attach, self.program.program_type) {
            (Some(AttachTarget::Program { program_type, .. }), ProgramType::Ext) => *program_type,
            (_, program_type) => program_type,
        }
    }

    pub(super) fn reach_context(&mut self, pointer: &Register, visit: Visit) -> Result<Register> {
        if pointer.offset != 0 || pointer.value.as_constant() != Some(0) {
            return Err(self
                .reject(
                    Rule::ContextAccess,
                    format!(
                        "{} of the context through {}, to which a number was added: the kernel makes other code of such accesses, and must know the field",
                        words::doing(visit.access()),
                        visit.base
                    ),
                )
                .of(visit.base)
                .help("read the field by its name, with nothing added to the context pointer"));
        }
        let end = visit.offset.cast_unsigned().saturating_add(visit.size);
        if visit.offset >= 0 {
            self.stats.context_bytes = self.stats.context_bytes.max(end);
        }
        let program_type = self.effective_type();
        match program_type.context() {
            ContextKind::Struct(_) => self.reach_uapi_context(program_type, visit),
            ContextKind::Arguments => self.reach_arguments(visit),
            ContextKind::Netfilter => self.reach_netfilter(visit),
            kind => self.reach_record(kind, visit),
        }
    }

    /// A pointer that was loaded out of the context.
    fn loaded_pointer(&mut self, kind: Kind, nullable: bool) -> Register {
        let mut register = Register::pointer(kind);
        if nullable {
            register.flags |= crate::state::PointerFlags::MAYBE_NULL;
            register.id = self.new_id();
        }
        register
    }

    #[cold]
    fn context_rejection(&self, visit: Visit, why: &str) -> Box<Rejection> {
        self.reject(
            Rule::ContextAccess,
            format!(
                "{} of {} at offset {} of the context: {why}",
                words::doing(visit.access()),
                words::bytes(visit.size.into()),
                visit.offset
            ),
        )
        .of(visit.base)
    }
}
