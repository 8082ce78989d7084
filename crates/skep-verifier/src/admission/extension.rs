//! Programs that replace a function of another program (`freplace`): both have the same signature.

use skep_btf::{Btf, FunctionLinkage, Kind, TypeId};

use crate::{
    AttachTarget, Rejection, Rule,
    verifier::{Result, Verifier},
};

impl Verifier<'_> {
    /// Checks what an extension program replaces.
    pub(super) fn check_extension(&self) -> Result {
        let Some(AttachTarget::Program { btf, function, .. }) = &self.program.attach else {
            return Err(Rejection::new(
                Rule::AttachTarget,
                "the program replaces a function of another program, and none is given",
            ));
        };
        let wrong = |message: &str| Err(Rejection::new(Rule::AttachTarget, message));
        let own = self.code.subprograms.first().and_then(|main| main.type_id);
        let (Some(own_btf), Some(own)) = (self.program.btf.as_deref(), own) else {
            return wrong("a program that replaces a function needs BTF");
        };
        let (Some((_, replacing)), Some((linkage, replaced))) =
            (prototype(own_btf, own), prototype(btf, *function))
        else {
            return wrong("what is replaced is no function of the other program");
        };
        if linkage != FunctionLinkage::Global {
            return wrong("only global functions can be replaced, and this one is `static`");
        }
        let (mut mine, mut theirs) = (replacing.params(), replaced.params());
        if mine.len() != theirs.len() {
            return wrong(
                "the program and the function that it replaces take other numbers of arguments",
            );
        }
        if !alike(own_btf, replacing.return_type, btf, replaced.return_type) {
            return wrong("the program and the function that it replaces return other types");
        }
        while let (Some(mine), Some(theirs)) = (mine.next(), theirs.next()) {
            if !alike(own_btf, mine.type_id, btf, theirs.type_id) {
                return wrong("the program and the function that it replaces take other types");
            }
        }
        Ok(())
    }
}

fn prototype(
    btf: &Btf,
    function: TypeId,
) -> Option<(FunctionLinkage, skep_btf::FunctionPrototype<'_>)> {
    let Kind::Function(function) = btf.type_by_id(function).ok()?.kind() else {
        return None;
    };
    match btf.type_by_id(function.prototype).ok()?.kind() {
        Kind::FunctionPrototype(prototype) => Some((function.linkage, prototype)),
        _ => None,
    }
}

/// Whether two types are the same to a caller: numbers of a size, or pointers to structures of a
/// name.
fn alike(left: &Btf, left_id: TypeId, right: &Btf, right_id: TypeId) -> bool {
    let types = (left.skip_modifiers(left_id), right.skip_modifiers(right_id));
    let (Ok(one), Ok(other)) = types else {
        return false;
    };
    match (one.kind(), other.kind()) {
        (Kind::Void, Kind::Void) => true,
        (Kind::Int(one), Kind::Int(other)) => one.size == other.size,
        (Kind::Enum(one), Kind::Enum(other)) | (Kind::Enum64(one), Kind::Enum64(other)) => {
            one.size == other.size
        }
        (Kind::Pointer { target: one }, Kind::Pointer { target: other }) => {
            match (left.skip_modifiers(one), right.skip_modifiers(other)) {
                (Ok(one), Ok(other)) => {
                    one.tag() == other.tag()
                        && one.name() == other.name()
                        && matches!(one.kind(), Kind::Struct(_) | Kind::Union(_))
                }
                _ => false,
            }
        }
        _ => false,
    }
}
