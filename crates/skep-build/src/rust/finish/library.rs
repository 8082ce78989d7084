//! Maps of the library: it defines some for what it does by itself, such as finding arguments of
//! static probes. They are in an object only where programs use them, since nobody exports them;
//! here those get the names that the library gave them, by which loaders know them.

use std::collections::HashMap;

use skep_btf::{Kind, KindTag, VariableLinkage};
use skep_isa::Endian;
use skep_object::{Binding, FileSymbol, ObjectFile, Result, SymbolKind};

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
    references(file);
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

/// What was local is referred to by its section and its place there, which the instruction has;
/// loaders look for the map's own symbol.
fn references(file: &mut ObjectFile) {
    let Some((maps, _)) = file.section(".maps") else {
        return;
    };
    let in_maps = |symbol: &FileSymbol| symbol.section == Some(maps);
    let by_place: HashMap<u64, usize> = file
        .symbols
        .iter()
        .enumerate()
        .filter(|(_, symbol)| in_maps(symbol) && symbol.kind != SymbolKind::Section)
        .map(|(index, symbol)| (symbol.value, index))
        .collect();
    let endian = file.endian;
    for section in file.sections.iter_mut().filter(|section| section.is_code()) {
        for relocation in &mut section.relocations {
            let symbol = file.symbols.get(relocation.symbol);
            let by_section =
                symbol.is_some_and(|symbol| in_maps(symbol) && symbol.kind == SymbolKind::Section);
            let imm = usize::try_from(relocation.offset)
                .ok()
                .and_then(|offset| section.data.get_mut(offset..)?.get_mut(4..8));
            let Some(imm) = imm.filter(|_| by_section) else {
                continue;
            };
            let mut place = [0; 4];
            place.copy_from_slice(imm);
            let place = match endian {
                Endian::Little => u32::from_le_bytes(place),
                Endian::Big => u32::from_be_bytes(place),
            };
            if let Some(own) = by_place.get(&place.into()) {
                relocation.symbol = *own;
                imm.fill(0);
            }
        }
    }
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
