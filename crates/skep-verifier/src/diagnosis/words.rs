//! Values and calls in words.

use skep_isa::{CallTarget, Insn, InsnIndex};

use super::trace::Path;
use crate::{Scalar, state::BtfSource};

/// What a number can be: "0 to 255".
pub(super) fn range(value: &Scalar) -> String {
    if let Some(constant) = value.as_constant() {
        return constant.cast_signed().to_string();
    }
    let Scalar {
        smin,
        smax,
        umin,
        umax,
        ..
    } = *value;
    match () {
        () if smin == i64::MIN && smax == i64::MAX && umin == 0 && umax == u64::MAX => {
            "any number".into()
        }
        () if smin >= 0 && smax == i64::MAX => format!("anything from {smin} up"),
        () if smin >= 0 => format!("{smin} to {smax}"),
        () if smin == i64::MIN && smax == i64::MAX => format!("{umin} to {umax}"),
        () if smin == i64::MIN => format!("negative, or at most {smax}"),
        () if smax == i64::MAX => format!("anything from {smin} up"),
        () => format!("{smin} to {smax}"),
    }
}

/// Whether nothing is known about a number but how many bits it has.
pub(super) fn is_unbounded(value: &Scalar) -> bool {
    value.as_constant().is_none()
        && [u64::MAX, u64::from(u32::MAX)].contains(&value.umax)
        && value.umin == 0
}

impl Path<'_> {
    /// The name of what the call at a step calls.
    pub(super) fn called(&self, step: usize) -> Option<String> {
        let index = self.steps.get(step)?.insn;
        match self.insn(step)? {
            Insn::Call(CallTarget::Helper(id)) => {
                Some(skep_abi::Helper::by_id(id)?.name.to_owned())
            }
            Insn::Call(CallTarget::Kfunc { btf_id, .. }) => {
                let insn = InsnIndex(u32::try_from(index).ok()?);
                let program = self.verifier.program;
                if program.modules.iter().any(|(place, _)| *place == insn) {
                    return None;
                }
                let btf = self.verifier.btf(BtfSource::Kernel)?;
                let function = btf.type_by_id(skep_btf::TypeId(btf_id)).ok()?;
                Some(function.name().to_owned())
            }
            Insn::Call(CallTarget::Subprogram { offset }) => {
                let target = index.checked_add_signed(isize::try_from(offset).ok()? + 1)?;
                let code = &self.verifier.code;
                let function = code.subprograms.get(code.subprogram_at(target))?;
                (!function.name.is_empty()).then(|| function.name.clone())
            }
            _ => None,
        }
    }
}

/// A name in quotes, or what stands for it.
pub(super) fn quoted(name: Option<&str>, instead: &str) -> String {
    match name {
        Some(name) => format!("`{name}`"),
        None => instead.to_owned(),
    }
}
