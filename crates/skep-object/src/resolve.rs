//! Resolves externs: kernel functions and variables by the target's BTF, addresses by its
//! symbols, configuration by its place in the map of `.kconfig`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use skep_abi::Kfunc;
use skep_btf::{Btf, Kind, KindTag, TypeId, essential_name};

use crate::{
    CodePlace, Error, Extern, ExternIndex, ExternKind, MapIndex, Object, Result, Target,
    core::compat::Pair,
};

/// What an extern came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Resolved {
    /// A function or variable in the BTF of the kernel or a module.
    Btf {
        type_id: TypeId,
        module: Option<String>,
        /// It is a function.
        function: bool,
    },
    /// A place in the map of `.kconfig`.
    Kconfig { map: MapIndex, offset: u32 },
    /// An address.
    Address(u64),
    /// Nothing, which a weak extern allows; and why.
    Missing(String),
}

/// Resolves the externs of one object for one target, each once.
pub(crate) struct Resolver<'a> {
    object: &'a Object,
    target: &'a Target,
    known: BTreeMap<ExternIndex, Resolved>,
    /// Values of the configuration that instructions refer to.
    used: BTreeMap<ExternIndex, CodePlace>,
}

impl<'a> Resolver<'a> {
    pub(crate) fn new(object: &'a Object, target: &'a Target) -> Self {
        Self {
            object,
            target,
            known: BTreeMap::new(),
            used: BTreeMap::new(),
        }
    }

    /// The values of the configuration that were asked for, and where first.
    pub(crate) fn used(&self) -> &BTreeMap<ExternIndex, CodePlace> {
        &self.used
    }

    /// Whether nothing was missing, not even what is weak.
    pub(crate) fn has_found_all(&self) -> bool {
        let missing = |resolved: &Resolved| matches!(resolved, Resolved::Missing(_));
        !self.known.values().any(missing)
    }

    /// Resolves what a call goes to.
    pub(crate) fn function(&mut self, index: ExternIndex, at: CodePlace) -> Result<Resolved> {
        let resolved = self.resolve(index, at)?;
        match resolved {
            Resolved::Btf { .. } | Resolved::Missing(_) => Ok(resolved),
            Resolved::Kconfig { .. } | Resolved::Address(_) => Err(Error::Extern {
                name: self.external(index)?.name.clone(),
                problem: "it is called, but is no function".into(),
                used_at: None,
            }),
        }
    }

    /// Resolves what an address is of.
    pub(crate) fn address(&mut self, index: ExternIndex, at: CodePlace) -> Result<Resolved> {
        self.resolve(index, at)
    }

    fn external(&self, index: ExternIndex) -> Result<&'a Extern> {
        self.object
            .externs
            .get(index.as_usize())
            .ok_or_else(|| Error::Extern {
                name: index.to_string(),
                problem: "there is no such extern".into(),
                used_at: None,
            })
    }

    fn resolve(&mut self, index: ExternIndex, at: CodePlace) -> Result<Resolved> {
        if let Some(known) = self.known.get(&index) {
            return Ok(known.clone());
        }
        let external = self.external(index)?;
        let found = match external.kind {
            ExternKind::Kconfig => {
                self.used.entry(index).or_insert_with(|| at.clone());
                self.kconfig(index)
            }
            ExternKind::KernelVariable { typed: false } => self.symbol(&external.name),
            ExternKind::KernelVariable { typed: true } => self.typed(external, KindTag::Variable),
            ExternKind::KernelFunction => self.typed(external, KindTag::Function),
        };
        let resolved = match found {
            Ok(resolved) => resolved,
            Err(problem) if external.weak => {
                Resolved::Missing(format!("`{}` (a weak extern): {problem}", external.name))
            }
            Err(problem) => {
                let name = external.name.clone();
                return Err(Error::Extern {
                    name,
                    problem,
                    used_at: Some(at),
                });
            }
        };
        self.known.insert(index, resolved.clone());
        Ok(resolved)
    }

    fn kconfig(&self, index: ExternIndex) -> Result<Resolved, String> {
        let layout = self.object.kconfig.as_ref();
        layout
            .and_then(|layout| {
                let value = layout.values.iter().find(|value| value.external == index)?;
                Some(Resolved::Kconfig {
                    map: layout.map,
                    offset: value.offset,
                })
            })
            .ok_or_else(|| "it has no place in .kconfig".to_owned())
    }

    /// The one address of a symbol.
    fn symbol(&self, name: &str) -> Result<Resolved, String> {
        let addresses = self.target.symbols.get(name).map_or(&[][..], Vec::as_slice);
        match addresses {
            [] => Err(format!(
                "the {} has no symbol of that name",
                self.target.name
            )),
            [address, others @ ..] => match others.iter().find(|other| *other != address) {
                None => Ok(Resolved::Address(*address)),
                Some(other) => Err(format!(
                    "the kernel has several symbols of that name, at {address:#x} and {other:#x}"
                )),
            },
        }
    }

    /// Finds a function or variable in the BTF of the kernel, then of its modules.
    fn typed(&self, external: &Extern, tag: KindTag) -> Result<Resolved, String> {
        let what = if tag == KindTag::Function {
            "function"
        } else {
            "variable"
        };
        let Some(kernel) = &self.target.kernel_btf else {
            return Err(format!("the target has no BTF to find the {what} in"));
        };
        let name = essential_name(&external.name);
        let modules = self
            .target
            .modules
            .iter()
            .map(|module| (&module.btf, Some(&module.name)));
        let mut searched = BTreeSet::new();
        for (btf, module) in std::iter::once((kernel, None)).chain(modules) {
            searched.insert(module);
            let own = btf.find_by_name(name).find(|id| {
                *id >= btf.first_id()
                    && btf
                        .type_by_id(*id)
                        .is_ok_and(|found| found.tag() == Some(tag))
            });
            let Some(type_id) = own else { continue };
            if tag == KindTag::Function
                && let Some(called) = inner_function_of(btf, type_id)
            {
                return Err(self.absence(name).unwrap_or_else(|| {
                    format!(
                        "the {} has it for itself: programs call `{called}`",
                        self.target.name
                    )
                }));
            }
            self.compatible(external, btf, type_id, what)?;
            return Ok(Resolved::Btf {
                type_id,
                module: module.cloned(),
                function: tag == KindTag::Function,
            });
        }
        if tag == KindTag::Function
            && let Some(absence) = self.absence(name)
        {
            return Err(absence);
        }
        Err(match searched.len() {
            0 | 1 => format!(
                "the {} has no {what} of that name in its BTF",
                self.target.name
            ),
            more => format!(
                "neither the kernel nor its {} modules have a {what} of that name in their BTF",
                more.saturating_sub(1)
            ),
        })
    }

    /// Why the target has no kernel function of that name, as far as its version tells.
    fn absence(&self, name: &str) -> Option<String> {
        let known = Kfunc::by_name(name)?;
        let version = self.target.version;
        if let Some(absence) = known.absence(version) {
            return Some(absence.to_string());
        }
        let other = known.other_name_in(version)?;
        Some(format!("Linux {version} calls it {other}"))
    }

    fn compatible(
        &self,
        external: &Extern,
        btf: &Arc<Btf>,
        found: TypeId,
        what: &str,
    ) -> Result<(), String> {
        // What only a symbol table declares has no type to compare.
        let (Some(local), true) = (&self.object.btf, external.type_id != TypeId::VOID) else {
            return Ok(());
        };
        let type_of = |btf: &Btf, id| {
            btf.type_by_id(id).ok().map(|found| match found.kind() {
                Kind::Function(function) => function.prototype,
                Kind::Variable(variable) => variable.type_id,
                _ => id,
            })
        };
        let (Some(here), Some(there)) = (type_of(local, external.type_id), type_of(btf, found))
        else {
            return Err(format!("the {what}'s type can't be read"));
        };
        let (here, there) = match (local.skip_modifiers(here), btf.skip_modifiers(there)) {
            (Ok(here), Ok(there)) => (here.id(), there.id()),
            _ => return Err(format!("the {what}'s type can't be read")),
        };
        let pair = Pair::new(local, btf).declared_is_enough();
        match pair.types(here, there) {
            Ok(true) => Ok(()),
            Ok(false) => {
                let shown = |btf: &Btf, id, type_id| match external.kind {
                    ExternKind::KernelFunction => btf.declaration(id),
                    _ => btf.type_name(type_id),
                };
                let mut problem = format!("the kernel's {what} of that name has another type");
                if let (Ok(there), Ok(here)) = (
                    shown(btf, found, there),
                    shown(local, external.type_id, here),
                ) {
                    let plain = |text: &str| text.trim_end_matches(';').to_owned();
                    let (one, other) = (plain(&there), plain(&here));
                    problem.push_str(&format!(": `{one}`, and here it is `{other}`"));
                }
                Err(problem)
            }
            Err(fault) => Err(fault.to_string()),
        }
    }
}

/// What programs call in place of a function that is the kernel's own side of it: since Linux 7.0
/// the BTF has a `NAME_impl` with the arguments that the verifier gives beside some `NAME`, and only
/// that one is tagged as what programs may call.
fn inner_function_of(btf: &Btf, function: TypeId) -> Option<&str> {
    let outer = btf
        .type_by_id(function)
        .ok()?
        .name()
        .strip_suffix("_impl")?;
    let is_callable = |id| btf.decl_tags(id, None).any(|tag| tag == "bpf_kfunc");
    let mut named = btf.find_by_name(outer);
    (named.any(is_callable) && !is_callable(function)).then_some(outer)
}

#[cfg(test)]
mod tests {
    use skep_btf::{Builder, FunctionLinkage, NewType};

    use super::*;

    #[test]
    fn the_kernels_own_side_of_a_function_is_none_that_programs_call() {
        let mut types = Builder::new();
        let mut add = |name: &str, is_tagged: bool| {
            let prototype = types.prototype(TypeId::VOID, &[]);
            let function = types.function(name, prototype, FunctionLinkage::Static);
            if is_tagged {
                types.add(NewType::DeclTag {
                    name: "bpf_kfunc",
                    target: function,
                    component: None,
                    attribute: false,
                });
            }
            function
        };
        let (outer, inner) = (add("start", true), add("start_impl", false));
        // Both can be called, or nothing says what can.
        let (_, old) = (add("drop", true), add("drop_impl", true));
        let (_, untagged) = (add("other", false), add("other_impl", false));
        let alone = add("alone_impl", false);
        let btf = Btf::parse(types.build().expect("types")).expect("BTF");
        assert_eq!(inner_function_of(&btf, inner), Some("start"));
        for callable in [outer, old, untagged, alone] {
            assert_eq!(inner_function_of(&btf, callable), None);
        }
    }
}
