//! Which kernel functions the kernel can make a trampoline for: few arguments, each in one or two
//! registers.

use skep_btf::{Btf, Kind, TypeId};

/// The most arguments of a function that a program is attached to (`MAX_BPF_FUNC_ARGS`).
const MOST_ARGUMENTS: usize = 12;

/// Checks a prototype, and says what is wrong with it.
pub(super) fn check_prototype(btf: &Btf, prototype: TypeId) -> Result<(), String> {
    let found = btf.type_by_id(prototype).map(|found| found.kind());
    let Ok(Kind::FunctionPrototype(prototype)) = found else {
        return Err("has no prototype".to_owned());
    };
    let count = prototype.params().len();
    if count > MOST_ARGUMENTS {
        return Err(format!(
            "takes {count} arguments, and at most {MOST_ARGUMENTS} can be passed on"
        ));
    }
    let result = size_in_registers(btf, prototype.return_type);
    if prototype.return_type != TypeId::VOID && result.is_none_or(|size| size > 8) {
        return Err("gives a result that does not fit a register".to_owned());
    }
    for (index, parameter) in prototype.params().enumerate() {
        if parameter.is_variadic() {
            return Err("takes any number of arguments".to_owned());
        }
        if size_in_registers(btf, parameter.type_id).is_none_or(|size| size == 0 || size > 16) {
            return Err(format!(
                "takes an argument (number {}) that does not fit two registers",
                index + 1
            ));
        }
    }
    Ok(())
}

/// The bytes of a value, if such can be passed in registers.
fn size_in_registers(btf: &Btf, id: TypeId) -> Option<u64> {
    let found = btf.skip_modifiers(id).ok()?;
    match found.kind() {
        Kind::Int(_)
        | Kind::Pointer { .. }
        | Kind::Enum(_)
        | Kind::Enum64(_)
        | Kind::Struct(_)
        | Kind::Union(_) => btf.size_of(found.id()).ok(),
        _ => None,
    }
}
