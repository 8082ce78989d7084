//! What a program attaches to, looked up in BTF.

use std::sync::Arc;

use skep_btf::{Btf, Kind, Type, TypeId};

use crate::{
    AttachTarget, Program,
    state::BtfSource,
    verifier::{Result, Verifier},
};

/// What a program attaches to: a function, or what is called like one.
#[derive(Debug, Clone)]
pub(crate) struct Attached {
    /// The name of the function, tracepoint (`btf_trace_…`), iterator, or struct_ops member.
    pub(crate) name: String,
    /// Whose BTF the types are in.
    pub(crate) btf: BtfSource,
    /// The prototype (`FUNC_PROTO`), if there is one.
    pub(crate) prototype: Option<TypeId>,
    /// Whether it gives no result.
    pub(crate) returns_void: bool,
}

impl Default for Attached {
    fn default() -> Self {
        Self {
            name: String::new(),
            btf: BtfSource::Kernel,
            prototype: None,
            returns_void: false,
        }
    }
}

impl Verifier<'_> {
    /// Looks up what the program attaches to, if that is a type of the kernel.
    pub(crate) fn find_attach_target(&mut self) -> Result {
        let Some(AttachTarget::Kernel { type_id, module }) = &self.program.attach else {
            return Ok(());
        };
        let source = match module {
            None => BtfSource::Kernel,
            Some(name) => {
                let place = self.target.modules.iter().position(|one| one.name == *name);
                let Some(place) = place.and_then(|place| u16::try_from(place).ok()) else {
                    return Ok(());
                };
                BtfSource::Module(place)
            }
        };
        let Some(btf) = self.btf(source) else {
            return Ok(());
        };
        let Ok(found) = btf.type_by_id(*type_id) else {
            return Ok(());
        };
        let mut name = found.name().to_owned();
        let start = match (found.kind(), self.program.attach_member) {
            (Kind::Function(function), _) => Some(function.prototype),
            (Kind::Typedef { target }, _) => Some(target),
            (Kind::Struct(operations), Some(member)) => {
                let member = operations.members().get(member as usize);
                name = member.map_or(String::new(), |member| member.name().to_owned());
                member.map(|member| member.type_id)
            }
            _ => None,
        };
        let prototype = start.and_then(|start| prototype_behind(btf, start));
        let returns_void = prototype.is_some_and(|prototype| {
            matches!(prototype.kind(), Kind::FunctionPrototype(prototype)
                if prototype.return_type == TypeId::VOID)
        });
        self.attach = Attached {
            name,
            btf: source,
            prototype: prototype.map(|prototype| prototype.id()),
            returns_void,
        };
        Ok(())
    }
}

/// The prototype that a type is, or points to.
pub(crate) fn prototype_behind(btf: &Btf, id: TypeId) -> Option<Type<'_>> {
    let found = btf.skip_modifiers(id).ok()?;
    let found = match found.kind() {
        Kind::Pointer { target } => btf.skip_modifiers(target).ok()?,
        _ => found,
    };
    matches!(found.kind(), Kind::FunctionPrototype(_)).then_some(found)
}
