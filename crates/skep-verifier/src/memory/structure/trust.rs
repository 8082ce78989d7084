//! How far a pointer that was loaded from a structure can be trusted.

use skep_btf::{Btf, Kind, KindTag, TypeId};

use crate::{
    state::{BtfRef, HeldKind, PointerFlags, Register},
    verifier::Verifier,
};

/// What the kernel promises of members of a structure: it lists them in structures of its own BTF,
/// named after it and one of these.
const TRUSTED: &str = "__safe_trusted";
const TRUSTED_OR_NULL: &str = "__safe_trusted_or_null";
const RCU: &str = "__safe_rcu";
const RCU_OR_NULL: &str = "__safe_rcu_or_null";

impl Verifier<'_> {
    /// Whether RCU protects what is read here: in a section, under a lock, and always in programs
    /// that don't sleep.
    pub(crate) fn in_rcu_section(&self) -> bool {
        let locked = self.state.held.iter().any(|held| {
            matches!(
                held.kind,
                HeldKind::SpinLock { .. } | HeldKind::ResilientLock { .. }
            )
        });
        self.state.rcu > 0 || locked || !self.state.in_sleepable
    }

    /// The flags of a pointer that was loaded from a member of a structure. `walked` is what the
    /// types on the way say.
    pub(super) fn trust_of_member(
        &self,
        pointer: &Register,
        of: BtfRef,
        to: BtfRef,
        name: &str,
        walked: PointerFlags,
    ) -> PointerFlags {
        let from = pointer.flags;
        if from.contains(PointerFlags::UNTRUSTED) {
            return PointerFlags::UNTRUSTED;
        }
        let trusted = from.intersects(PointerFlags::TRUSTED) || pointer.reference.is_some();
        let rcu = from.contains(PointerFlags::RCU);
        // What only a reader in the right place may rely on.
        let deprecated =
            walked - (PointerFlags::UNTRUSTED | PointerFlags::TRUSTED | PointerFlags::RCU);
        if !trusted && !rcu {
            return deprecated;
        }
        let promised = |list| self.is_promised(of, to, name, list);
        if promised(TRUSTED) {
            return walked | PointerFlags::TRUSTED;
        }
        if promised(TRUSTED_OR_NULL) {
            return walked | PointerFlags::TRUSTED | PointerFlags::MAYBE_NULL;
        }
        if !self.in_rcu_section() || pointer.may_be_null() {
            return PointerFlags::UNTRUSTED;
        }
        if promised(RCU) {
            return walked | PointerFlags::RCU;
        }
        let rcu_or_null = promised(RCU_OR_NULL);
        if walked.contains(PointerFlags::RCU) || rcu_or_null {
            let flags = walked | PointerFlags::RCU | PointerFlags::MAYBE_NULL;
            return if rcu_or_null {
                flags - PointerFlags::UNTRUSTED
            } else {
                flags
            };
        }
        if walked.intersects(PointerFlags::PERCPU | PointerFlags::USER) {
            return walked;
        }
        deprecated
    }

    /// Whether the kernel lists a member among those that it promises something of.
    fn is_promised(&self, of: BtfRef, to: BtfRef, name: &str, list: &str) -> bool {
        let Some(btf) = self.btf(of.btf) else {
            return false;
        };
        let Ok(structure) = btf.type_by_id(of.type_id) else {
            return false;
        };
        let listed = btf.find(&format!("{}{list}", structure.name()), KindTag::Struct);
        listed.is_some_and(|listed| lists(btf, listed, name, to.type_id))
    }
}

/// Whether a structure has a member with a name that points to a type.
fn lists(btf: &Btf, listed: TypeId, name: &str, to: TypeId) -> bool {
    let Ok(Kind::Struct(composite)) = btf.type_by_id(listed).map(|listed| listed.kind()) else {
        return false;
    };
    composite.members().any(|member| {
        let target = || match btf.skip_modifiers(member.type_id).ok()?.kind() {
            Kind::Pointer { target } => btf.skip_modifiers(target).ok(),
            _ => None,
        };
        member.name() == name && target().is_some_and(|target| target.id() == to)
    })
}
