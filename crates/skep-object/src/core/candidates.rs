//! The types of a target that a type of the object may stand for: those of its name and kind, in
//! the kernel and, if there are none, in its modules.

use std::{collections::BTreeMap, sync::Arc};

use skep_btf::{Btf, TypeId, essential_name};

use super::{CoreRelocation, Fault, compat::Pair, compat::kinds_agree, matching, spec::Access};
use crate::{ModuleBtf, Target};

/// One type of the target.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) btf: Arc<Btf>,
    pub(super) id: TypeId,
    /// The module it is of.
    pub(super) module: Option<String>,
}

/// The candidates of each type that was asked for.
pub(super) struct Candidates<'a> {
    kernel: &'a Arc<Btf>,
    modules: &'a [ModuleBtf],
    found: BTreeMap<TypeId, Vec<Candidate>>,
}

/// A kernel has a handful of one name; this bounds the work for hostile ones.
const MAX_CANDIDATES: usize = 4096;

impl<'a> Candidates<'a> {
    pub(super) fn new(target: &'a Target, kernel: &'a Arc<Btf>) -> Self {
        Self {
            kernel,
            modules: &target.modules,
            found: BTreeMap::new(),
        }
    }

    /// Those of one BTF that describes the whole target.
    pub(super) fn of_btf(btf: &'a Arc<Btf>) -> Self {
        Self {
            kernel: btf,
            modules: &[],
            found: BTreeMap::new(),
        }
    }

    /// Whether each type that was asked for has a candidate.
    pub(super) fn all_found(&self) -> bool {
        self.found.values().all(|candidates| !candidates.is_empty())
    }

    pub(super) fn of(&mut self, local: &Btf, root: TypeId) -> Result<&[Candidate], Fault> {
        if !self.found.contains_key(&root) {
            let candidates = self.search(local, root)?;
            self.found.insert(root, candidates);
        }
        Ok(self.found.get(&root).map_or(&[], Vec::as_slice))
    }

    fn search(&self, local: &Btf, root: TypeId) -> Result<Vec<Candidate>, Fault> {
        let wanted = local.type_by_id(root)?;
        let name = essential_name(wanted.name());
        if name.is_empty() {
            return Err(Fault::new("a type without a name can't be looked up"));
        }
        let in_btf = |btf: &Arc<Btf>, module: Option<&str>| {
            let own = btf.candidates(name).filter(|id| *id >= btf.first_id());
            let same_kind = own.filter(|id| {
                btf.type_by_id(*id)
                    .is_ok_and(|candidate| kinds_agree(&wanted, &candidate))
            });
            let candidate = |id| Candidate {
                btf: Arc::clone(btf),
                id,
                module: module.map(str::to_owned),
            };
            same_kind
                .take(MAX_CANDIDATES)
                .map(candidate)
                .collect::<Vec<_>>()
        };
        let mut candidates = in_btf(self.kernel, None);
        if candidates.is_empty() {
            for module in self.modules {
                candidates.extend(in_btf(&module.btf, Some(&module.name)));
                candidates.truncate(MAX_CANDIDATES);
            }
        }
        Ok(candidates)
    }

    /// Drops the candidates that do not have what is asked, if others do: all accesses to a type
    /// must be to one and the same.
    pub(super) fn narrow(&mut self, local: &Btf, relocation: &CoreRelocation) -> Result<(), Fault> {
        if self.of(local, relocation.type_id)?.len() < 2 {
            return Ok(());
        }
        let access = Access::parse(local, relocation)?;
        let Some(candidates) = self.found.get_mut(&relocation.type_id) else {
            return Ok(());
        };
        let mut fit = Vec::with_capacity(candidates.len());
        for candidate in candidates.iter() {
            let pair = Pair::new(local, &candidate.btf);
            let found = matching::match_access(&pair, relocation.kind, &access, candidate.id)?;
            fit.push(matches!(found, matching::Match::Yes(_)));
        }
        if fit.contains(&true) {
            let mut fit = fit.into_iter();
            candidates.retain(|_| fit.next().unwrap_or(false));
        }
        Ok(())
    }
}
