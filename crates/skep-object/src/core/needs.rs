//! What the CO-RE relocations of an object need of a target's types: the input of
//! [`Minimizer`](skep_btf::Minimizer).

use std::{
    collections::{BTreeSet, btree_set},
    sync::Arc,
};

use skep_btf::{Btf, Kind, Need, TypeId};

use super::{
    CoreKind, CoreRelocation, Fault,
    candidates::Candidates,
    compat::Pair,
    matching::{Match, match_access},
    spec::{self, Access, MAX_LEVELS},
};
use crate::{CodePlace, Error, Function, Object, Result};

/// The types and members of one BTF that objects need, by id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs(BTreeSet<(TypeId, Need)>);

impl Needs {
    /// Each type with what is needed of it, by id.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (TypeId, Need)> {
        self.0.iter().copied()
    }

    /// Whether nothing is needed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl IntoIterator for Needs {
    type Item = (TypeId, Need);
    type IntoIter = btree_set::IntoIter<(TypeId, Need)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl Object {
    /// What all CO-RE relocations of the object need of a target's BTF, so that BTF which has
    /// only that relocates the object alike: every type that a relocation may mean, with the
    /// members on the way. (What `bpf_core_type_id_kernel()` gives is an id, and ids are those of
    /// the BTF that is linked against.)
    ///
    /// # Errors
    /// [`Error::Core`] for a relocation that makes no sense.
    pub fn needed_types(&self, target: &Arc<Btf>) -> Result<Needs> {
        let mut needs = Needs::default();
        let Some(local) = self.btf.as_deref() else {
            return Ok(needs);
        };
        let mut candidates = Candidates::of_btf(target);
        for function in &self.functions {
            for relocation in &function.core_relocations {
                needs
                    .add(local, &mut candidates, relocation)
                    .map_err(|fault| error(local, function, relocation, &fault))?;
            }
        }
        Ok(needs)
    }
}

fn error(local: &Btf, function: &Function, relocation: &CoreRelocation, fault: &Fault) -> Error {
    Error::Core {
        place: CodePlace {
            function: function.name.clone(),
            insn: relocation.insn,
        },
        relocation: spec::describe(local, relocation),
        problem: fault.to_string(),
    }
}

impl Needs {
    /// Adds what a relocation needs of each candidate that has what it asks. Which of them it
    /// will be is decided when the object is linked, by the relocations that are linked then.
    fn add(
        &mut self,
        local: &Btf,
        candidates: &mut Candidates<'_>,
        relocation: &CoreRelocation,
    ) -> Result<(), Fault> {
        if relocation.kind == CoreKind::TypeIdLocal {
            return Ok(());
        }
        let access = Access::parse(local, relocation)?;
        for candidate in candidates.of(local, relocation.type_id)? {
            let pair = Pair::new(local, &candidate.btf);
            let found = match_access(&pair, relocation.kind, &access, candidate.id)?;
            let Match::Yes(found) = found else { continue };
            // The candidate may be a typedef: what is behind it follows.
            let whole = relocation.kind == CoreKind::TypeMatches;
            let need = if whole { Need::Whole } else { Need::Type };
            self.0.insert((candidate.id, need));
            if relocation.kind.is_enumerator() {
                for step in &found.steps {
                    self.0.insert((step.type_id, Need::Element(step.index)));
                }
            }
            if relocation.kind.is_field() {
                self.add_fields(&pair, &found)?;
            }
        }
        Ok(())
    }

    /// The members on the way of an access, with the anonymous ones that it does not name.
    fn add_fields(&mut self, pair: &Pair<'_>, found: &Access<'_>) -> Result<(), Fault> {
        let mut id = found.root;
        for step in &found.steps {
            if step.name.is_none() {
                id = step.type_id;
                continue;
            }
            let outer = found.btf.skip_modifiers(id)?.id();
            let mut levels = MAX_LEVELS;
            if !self.add_way(pair, outer, step.type_id, &mut levels)? {
                return Err(Fault::new("a field of what is no struct"));
            }
            self.0.insert((step.type_id, Need::Element(step.index)));
            id = member_type(found.btf, step.type_id, step.index)?;
        }
        Ok(())
    }

    /// The anonymous members that lead from a struct to one that is part of it, if any do.
    fn add_way(
        &mut self,
        pair: &Pair<'_>,
        outer: TypeId,
        inner: TypeId,
        levels: &mut usize,
    ) -> Result<bool, Fault> {
        pair.step()?;
        if outer == inner {
            return Ok(true);
        }
        *levels = levels
            .checked_sub(1)
            .ok_or_else(|| Fault::new("fields nested too deeply"))?;
        let owner = pair.target.skip_modifiers(outer)?;
        let mut leads = false;
        if let Kind::Struct(composite) | Kind::Union(composite) = owner.kind() {
            for (index, member) in (0_u32..).zip(composite.members()) {
                pair.step()?;
                if !member.name().is_empty() {
                    continue;
                }
                let within = pair.target.skip_modifiers(member.type_id)?.id();
                if self.add_way(pair, within, inner, levels)? {
                    self.0.insert((owner.id(), Need::Element(index)));
                    leads = true;
                    break;
                }
            }
        }
        *levels = levels.saturating_add(1);
        Ok(leads)
    }
}

fn member_type(btf: &Btf, id: TypeId, index: u32) -> Result<TypeId, Fault> {
    let members = match btf.type_by_id(id)?.kind() {
        Kind::Struct(composite) | Kind::Union(composite) => composite.members(),
        _ => return Err(Fault::new("a field of what is no struct")),
    };
    let member = usize::try_from(index)
        .ok()
        .and_then(|index| members.get(index));
    Ok(member
        .ok_or_else(|| Fault::new("a field that is not there"))?
        .type_id)
}
