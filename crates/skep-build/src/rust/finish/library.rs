//! Maps of the library: it defines some for what it does by itself, such as finding arguments of
//! static probes. They are in an object only where programs use them, since nobody exports them;
//! here those get the names that the library gave them, by which loaders know them.

use std::collections::HashMap;

use skep_btf::{Kind, KindTag, VariableLinkage};
use skep_object::{Binding, ObjectFile, Result};

pub(super) fn run(file: &mut ObjectFile) -> Result<()> {
    let mut names = HashMap::new();
    for symbol in &mut file.symbols {
        let section = symbol.section.and_then(|index| file.sections.get(index));
        let is_map = section.is_some_and(|section| section.name == ".maps");
        if !is_map || symbol.binding != Binding::Local {
            continue;
        }
        if let Some(own) = last(&symbol.name) {
            names.insert(std::mem::replace(&mut symbol.name, own.clone()), own);
            symbol.binding = Binding::Global;
        }
    }
    if names.is_empty() {
        return Ok(());
    }
    let btf = file.btf()?;
    for found in btf.types() {
        if matches!(found.kind(), Kind::Variable(_)) && names.contains_key(found.name()) {
            let linkage = VariableLinkage::Global;
            file.types.set_variable_linkage(found.id(), linkage)?;
        }
    }
    Ok(file.types.rename_all(|kind, name| match kind {
        KindTag::Variable => names.get(name).cloned(),
        _ => None,
    })?)
}

/// The last part of a mangled path (RFC 2603): `COUNT` of `_RNvNtCs1234_4prog4maps5COUNT`.
fn last(mangled: &str) -> Option<String> {
    let path = rustc_demangle::try_demangle(mangled).ok()?;
    let path = format!("{path:#}");
    let name = path.rsplit("::").next().filter(|name| !name.is_empty());
    name.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_last_part_of_a_path() {
        let is = |mangled, name: Option<&str>| {
            assert_eq!(super::last(mangled).as_deref(), name, "{mangled}");
        };
        is(
            "_RNvNtCscFb5_2st5inner16___bpf_usdt_specs",
            Some("__bpf_usdt_specs"),
        );
        is("_RNvNtCs1234_4prog4maps5COUNT", Some("COUNT"));
        is("_RNvCs1234_4prog3a_1", Some("a_1"));
        is("COUNT", None);
        is("_R", None);
        is("_RNvCs1234_4prog9a", None);
        is("_RNvCsß", None);
    }
}
